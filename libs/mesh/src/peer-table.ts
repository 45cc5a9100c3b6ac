import { isIPv6, SocketAddress, isIP } from 'node:net';
import type { CoralError } from '@coral/errors';
import { keyIdOf, type Clock, type KeyId } from '@coral/model';
import { badPeer, meshPeerConflict, meshPeerGone } from './mesh.errors.js';
import type { Peer, WireGuardPeer } from './mesh.js';
import { parsePrefix, prefixHolds } from './prefix.js';

const keyBytes = 32;

/** A peer's place in the table, and everything that must end with it. */
export class PeerEntry {
  /** Streams and dials in progress: each is called once, with the reason, when the peer is over. */
  readonly cuts = new Set<(error: CoralError) => void>();
  readonly #clock: Clock;
  #peer: Peer;
  #monotonicEnd = Number.POSITIVE_INFINITY;
  #over: CoralError | undefined;

  constructor(peer: Peer, clock: Clock) {
    this.#clock = clock;
    this.#peer = peer;
    this.renew(peer);
  }

  get peer(): Peer {
    return this.#peer;
  }

  /** A new end for the same peer. Does not revive one that is over. */
  renew(peer: Peer): void {
    this.#peer = peer;
    this.#monotonicEnd =
      peer.expiresAt === undefined
        ? Number.POSITIVE_INFINITY
        : this.#clock.monotonic() + (peer.expiresAt - this.#clock.now());
  }

  /**
   * Why the peer is over, or undefined while it may pass. Asked on every read and write; the first time it is over,
   * everything is cut. Both clocks count: a wall clock that steps back does not lengthen a lease, one that steps
   * forward shortens it, and a lease once over stays over.
   */
  over(): CoralError | undefined {
    if (this.#over) return this.#over;
    const { expiresAt } = this.#peer;
    if (expiresAt === undefined) return undefined;
    if (this.#clock.now() < expiresAt && this.#clock.monotonic() < this.#monotonicEnd) return undefined;
    return this.end('its time on the mesh is over');
  }

  /** Cuts everything before it returns. */
  end(problem: string): CoralError {
    this.#over ??= meshPeerGone(this.#peer.keyId, problem);
    const cuts = [...this.cuts];
    this.cuts.clear();
    for (const cut of cuts) cut(this.#over);
    return this.#over;
  }

  /** Milliseconds until it may be over by either clock. */
  remaining(): number {
    const { expiresAt } = this.#peer;
    if (this.#over || expiresAt === undefined) return Number.POSITIVE_INFINITY;
    return Math.min(expiresAt - this.#clock.now(), this.#monotonicEnd - this.#clock.monotonic());
  }
}

/**
 * Who may be on the mesh. A peer that expired stays, refused, until it is removed or another takes its place: so a late
 * caller hears that its time is over, not that it was never known.
 */
export class PeerTable {
  readonly #clock: Clock;
  readonly #byKey = new Map<KeyId, PeerEntry>();
  readonly #byAddress = new Map<string, PeerEntry>();
  readonly #byCertificate = new Map<string, PeerEntry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adding a known key again moves its end and addresses; with another certificate, it cuts what the old one opened. */
  add(given: Peer): PeerEntry {
    const peer = checked(given);
    const certificate = certificateOf(peer);
    const previous = this.#byKey.get(peer.keyId);
    const holders = [
      ...peer.addresses.map((address) => this.#byAddress.get(address)),
      certificate === undefined ? undefined : this.#byCertificate.get(certificate),
    ];
    for (const holder of holders) {
      if (!holder || holder === previous) continue;
      if (!holder.over()) {
        const taken = certificate !== undefined && this.#byCertificate.get(certificate) === holder;
        throw meshPeerConflict(
          `its ${taken ? 'certificate' : 'address'} belongs to the live peer ${holder.peer.keyId}`,
        );
      }
      this.remove(holder.peer.keyId);
    }
    const same = previous !== undefined && !previous.over() && certificateOf(previous.peer) === certificate;
    if (previous) this.#forget(previous);
    if (previous && !same) previous.end('it came back with another certificate');
    const entry = previous && same ? previous : new PeerEntry(peer, this.#clock);
    entry.renew(peer);
    this.#byKey.set(peer.keyId, entry);
    for (const address of peer.addresses) this.#byAddress.set(address, entry);
    if (certificate !== undefined) this.#byCertificate.set(certificate, entry);
    entry.over();
    return entry;
  }

  /** The peer is forgotten and its streams are cut before this returns. Unknown keys are no error. */
  remove(keyId: KeyId): void {
    const entry = this.#byKey.get(keyId);
    if (!entry) return;
    this.#forget(entry);
    entry.end('it was removed from the mesh');
  }

  atAddress(address: string): PeerEntry | undefined {
    return isIP(address) === 0 ? undefined : this.#byAddress.get(canonicalAddress(address));
  }

  withKey(keyId: KeyId): PeerEntry | undefined {
    return this.#byKey.get(keyId);
  }

  /** Who packets to this address go to: its owner, else the hub with the longest prefix around it. */
  routeTo(address: string): PeerEntry | undefined {
    const owner = this.atAddress(address);
    if (owner || isIP(address) === 0) return owner;
    let best: PeerEntry | undefined;
    let longest = -1;
    for (const entry of this.#byKey.values()) {
      for (const range of entry.peer.wireguard?.allowedIps ?? []) {
        const prefix = parsePrefix(range);
        if (!prefix || prefix.length <= longest || !prefixHolds(prefix, address)) continue;
        best = entry;
        longest = prefix.length;
      }
    }
    return best;
  }

  isOwnAddress(entry: PeerEntry, address: string): boolean {
    return this.atAddress(address) === entry;
  }

  /** `sha256` is lower-case hex of the certificate's DER. */
  withCertificate(sha256: string): PeerEntry | undefined {
    return this.#byCertificate.get(sha256);
  }

  /** Cuts what is over; tells in how many ms the next peer may be, Infinity when none will. */
  sweep(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.#byKey.values()) {
      if (!entry.over()) next = Math.min(next, entry.remaining());
    }
    return next;
  }

  #forget(entry: PeerEntry): void {
    this.#byKey.delete(entry.peer.keyId);
    for (const address of entry.peer.addresses) this.#byAddress.delete(address);
    const certificate = certificateOf(entry.peer);
    if (certificate !== undefined) this.#byCertificate.delete(certificate);
  }
}

function checked(peer: Peer): Peer {
  if (peer.publicKey.length !== keyBytes) throw badPeer(`its public key has ${peer.publicKey.length} bytes, not 32`);
  if (peer.keyId !== keyIdOf(peer.publicKey)) throw badPeer('its key id is not that of its public key');
  if (peer.addresses.length === 0) throw badPeer('it has no address');
  for (const address of peer.addresses) {
    if (isIP(address) === 0) throw badPeer(`${JSON.stringify(address.slice(0, 60))} is not an IP address`);
  }
  if (peer.expiresAt !== undefined && !Number.isFinite(peer.expiresAt)) throw badPeer('its end is not a time');
  if (peer.direct && peer.direct.certificateSha256.length !== 32) {
    throw badPeer(`its certificate hash has ${peer.direct.certificateSha256.length} bytes, not 32`);
  }
  if (peer.wireguard) checkWireGuard(peer.wireguard);
  return { ...peer, addresses: peer.addresses.map(canonicalAddress) };
}

const maxKeepaliveSeconds = 65_535;

function checkWireGuard({ endpoint, allowedIps, persistentKeepaliveSeconds, presharedKey }: WireGuardPeer): void {
  if (presharedKey && presharedKey.length !== keyBytes) {
    throw badPeer(`its preshared key has ${presharedKey.length} bytes, not 32`);
  }
  for (const range of allowedIps ?? []) {
    if (!parsePrefix(range)) throw badPeer(`${JSON.stringify(range.slice(0, 60))} is not an address range`);
  }
  if (endpoint) {
    const { host, port } = endpoint;
    if (host === '' || host.length > 253) throw badPeer('its endpoint has no host');
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw badPeer(`its endpoint's port is ${port}`);
  }
  const keepalive = persistentKeepaliveSeconds ?? 0;
  if (!Number.isInteger(keepalive) || keepalive < 0 || keepalive > maxKeepaliveSeconds) {
    throw badPeer(`${keepalive} is not a number of seconds between keepalives`);
  }
}

/** One text per address: `fd42::0001` and `fd42:0::1` are the same peer. */
function canonicalAddress(address: string): string {
  return isIPv6(address) ? new SocketAddress({ address, family: 'ipv6' }).address : address;
}

function certificateOf(peer: Peer): string | undefined {
  return peer.direct && Buffer.from(peer.direct.certificateSha256).toString('hex');
}
