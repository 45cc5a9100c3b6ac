import { parsePrefix, type Prefix } from '../allowed-ips.js';
import { MESSAGE_COOKIE_REPLY, MESSAGE_INITIATION, MESSAGE_TRANSPORT } from '../constants.js';
import type { Endpoint } from '../cookie/index.js';
import { remoteIdentity, wipeRemoteIdentity, type RemoteIdentity } from '../noise/index.js';
import { innerPacketLength } from '../transport/inner-packet.js';
import { DeviceCore } from './core.js';
import type { DeviceCounters } from './counters.js';
import { DataPath } from './data-path.js';
import { allowedIpTaken, badPeerTime, deviceClosed, tooManyPeers } from './device.errors.js';
import { sameEndpoint } from './endpoint.js';
import { Handshakes } from './handshakes.js';
import { HandshakeIntake } from './intake.js';
import { DevicePeer } from './peer.js';
import type { DeviceOptions, PeerOptions, SendResult } from './types.js';

const longestKeepaliveSeconds = 65_535;

/**
 * A WireGuard device without sockets and timers: datagrams, packets and time go in, datagrams, packets and events come out.
 * Hostile input never throws; it is counted by reason. Wrong use (`addPeer`) throws a CoralError.
 *
 * The owner calls `onDatagram` for what arrives, `runBacklog` once per turn after that (data is served first), `onTimer` at
 * `nextTimerAt`, which every other call may bring nearer.
 */
export class WireGuardDevice {
  readonly #core: DeviceCore;
  readonly #intake: HandshakeIntake;
  readonly #handshakes: Handshakes;
  readonly #data: DataPath;
  readonly #peers = new Map<string, DevicePeer>();
  #closed = false;

  /** Throws `bad_wireguard_key`. */
  constructor(options: DeviceOptions) {
    const core = new DeviceCore(options);
    this.#core = core;
    this.#handshakes = new Handshakes(core, {
      lookup: (publicKey) => this.#peers.get(mapKey(publicKey)),
      ready: (peer) => this.#data.ready(peer),
    });
    this.#intake = new HandshakeIntake(core, (message, from) => this.#handshakes.read(message, from));
    this.#data = new DataPath(core, this.#handshakes);
  }

  get publicKey(): Buffer {
    return this.#core.publicKey;
  }

  /**
   * A known key is updated in place and keeps its sessions, unless its lease is over: then a new peer takes its place. Throws
   * `bad_wireguard_key`, `bad_allowed_ip`, `allowed_ip_taken`, `bad_wireguard_peer`, `too_many_wireguard_peers`; nothing has
   * changed then.
   */
  addPeer(options: PeerOptions): DevicePeer {
    if (this.#closed) throw deviceClosed();
    const { persistentKeepaliveSeconds: keepalive = 0, expiresAt } = options;
    if (!(keepalive >= 0 && keepalive <= longestKeepaliveSeconds)) throw badPeerTime('persistent_keepalive', keepalive);
    if (expiresAt !== undefined && !Number.isFinite(expiresAt)) throw badPeerTime('expires_at', expiresAt);
    const prefixes = options.allowedIps.map(parsePrefix);
    const known = this.#peers.get(mapKey(options.publicKey));
    const live = known?.isOver() ? undefined : known;
    this.#checkFree(options, prefixes, known);
    if (!known && this.#peers.size >= this.#core.limits.peers) throw tooManyPeers(this.#core.limits.peers);
    const same = live && (!options.presharedKey || live.remote.presharedKey.equals(options.presharedKey));
    const remote = same ? live.remote : remoteIdentity(this.#core.local, options.publicKey, options.presharedKey);

    const peer = live ?? new DevicePeer(remote, this.#core);
    if (known && known !== peer) {
      // Its old initiations stay old.
      peer.greatestTimestamp = known.greatestTimestamp;
      this.#forget(known);
    }
    if (peer.remote !== remote) this.#replaceRemote(peer, remote);
    this.#peers.set(mapKey(remote.publicKey), peer);
    this.#setPrefixes(peer, prefixes);
    if (options.endpoint) peer.endpoint = options.endpoint;
    peer.renew(expiresAt);
    this.#setKeepalive(peer, keepalive * 1000);
    this.#core.heap.wake(peer);
    return peer;
  }

  /** Before it returns its keys are wiped, its indexes and allowed IPs free, and what waited for it is dropped. */
  removePeer(publicKey: Uint8Array): boolean {
    const peer = this.#peers.get(mapKey(publicKey));
    if (!peer) return false;
    this.#forget(peer);
    this.#core.output.event({ kind: 'removed', peer });
    return true;
  }

  peerByKey(publicKey: Uint8Array): DevicePeer | undefined {
    return this.#peers.get(mapKey(publicKey));
  }

  /** As they are now; adding and removing does not disturb who walks through them. */
  peers(): DevicePeer[] {
    return [...this.#peers.values()];
  }

  /** The peer that a packet to that destination would go to; undefined when none has it in its allowed IPs. */
  peerForPacket(packet: Buffer): DevicePeer | undefined {
    return innerPacketLength(packet) > 0 ? this.#core.allowedIps.ofDestination(packet) : undefined;
  }

  /** What came from the carrier. The buffer is the caller's again when this returns. */
  onDatagram(datagram: Buffer, from: Endpoint): void {
    const core = this.#core;
    core.counters.rxDatagrams += 1;
    core.counters.rxBytes += datagram.length;
    if (this.#closed || datagram.length < 4) return core.drop('malformed');
    // The type and the three reserved bytes, which are zero.
    const type = datagram.readUInt32LE(0);
    if (type === MESSAGE_TRANSPORT) this.#data.onTransport(datagram, from);
    else if (type >= MESSAGE_INITIATION && type <= MESSAGE_COOKIE_REPLY) this.#intake.take(datagram, type, from);
    else core.drop('unknown_type');
  }

  /** An inner IP packet to the peer whose allowed IPs hold its destination. The buffer is given away. */
  sendPacket(packet: Buffer): SendResult {
    return this.#data.sendPacket(packet);
  }

  /** A handshake now, unless one was sent within REKEY_TIMEOUT. */
  initiate(peer: DevicePeer): void {
    this.#handshakes.initiate(peer);
  }

  /** Where the peer is from now on, until it proves itself from elsewhere: its carrier changed. A handshake in progress is tried there at once. */
  setEndpoint(peer: DevicePeer, endpoint: Endpoint | undefined): void {
    const elsewhere = endpoint && !(peer.endpoint && sameEndpoint(peer.endpoint, endpoint));
    peer.endpoint = endpoint;
    if (elsewhere && peer.attempt) this.#handshakes.hasten(peer);
  }

  /** Monotonic ms, Infinity when there is nothing to wait for. */
  nextTimerAt(): number {
    return Math.min(this.#core.heap.nextAt(), this.#intake.nextTimerAt());
  }

  onTimer(): void {
    const { clock, heap } = this.#core;
    const now = clock.monotonic();
    this.#intake.onTimer(now);
    const due: DevicePeer[] = [];
    for (let peer = heap.takeDue(now); peer; peer = heap.takeDue(now)) due.push(peer);
    for (const peer of due) {
      if (!peer.isOver()) this.#runTimers(peer, now);
      if (!peer.isOver()) heap.wake(peer);
    }
  }

  /** Handshake messages that wait to be read. */
  get backlog(): number {
    return this.#intake.backlog;
  }

  /** Reads up to `max` of them, about a quarter of a millisecond each. */
  runBacklog(max: number): void {
    this.#intake.run(max);
  }

  /** Cookies are asked for: more handshakes come in than are read. */
  get underLoad(): boolean {
    return this.#intake.underLoad;
  }

  /** A copy. */
  counters(): DeviceCounters {
    const { counters, indexes } = this.#core;
    return { ...counters, indexes: indexes.size, sources: this.#intake.sources, drops: { ...counters.drops } };
  }

  /** All keys are wiped; nothing goes in or out any more. No events. */
  close(): void {
    this.#closed = true;
    for (const peer of this.peers()) this.#forget(peer);
    this.#core.heap.clear();
    this.#intake.close();
  }

  #runTimers(peer: DevicePeer, now: number): void {
    const { timers } = peer;
    if (timers.leaseAt <= now) peer.checkLease(now);
    if (timers.wipeAt <= now) {
      timers.wipeAt = Number.POSITIVE_INFINITY;
      peer.sessions.wipe();
      peer.jar.wipe();
    }
    if (timers.sessionEndAt <= now) {
      const { rejectAfterMs } = this.#core.limits;
      timers.sessionEndAt = peer.sessions.dropUntil(now - rejectAfterMs) + rejectAfterMs;
    }
    if (timers.retryAt <= now) this.#handshakes.retry(peer, now);
    if (timers.silenceAt <= now) {
      timers.silenceAt = Number.POSITIVE_INFINITY;
      this.#handshakes.initiate(peer);
    }
    if (timers.keepaliveAt <= now) {
      this.#data.keepalive(peer);
      timers.keepaliveDue(now);
    }
    if (timers.persistentAt <= now) {
      timers.persistentAt = now + timers.persistentMs;
      this.#data.keepalive(peer);
    }
  }

  #checkFree(options: PeerOptions, prefixes: readonly Prefix[], known: DevicePeer | undefined): void {
    for (const [i, prefix] of prefixes.entries()) {
      const holder = this.#core.allowedIps.holder(prefix);
      if (holder && holder !== known && !holder.isOver()) throw allowedIpTaken(String(options.allowedIps[i]));
    }
  }

  #setPrefixes(peer: DevicePeer, prefixes: readonly Prefix[]): void {
    this.#freePrefixes(peer);
    peer.prefixes = prefixes;
    for (const prefix of prefixes) this.#core.allowedIps.set(prefix, peer);
  }

  /** But those that went to another peer when this one's lease was over. */
  #freePrefixes(peer: DevicePeer): void {
    const { allowedIps } = this.#core;
    for (const prefix of peer.prefixes) if (allowedIps.holder(prefix) === peer) allowedIps.delete(prefix);
    peer.prefixes = [];
  }

  /** Another preshared key: sessions go on, an attempt made with the old one cannot. */
  #replaceRemote(peer: DevicePeer, remote: RemoteIdentity): void {
    const trying = peer.attempt !== undefined;
    this.#core.dropAttempt(peer);
    wipeRemoteIdentity(peer.remote);
    peer.remote = remote;
    if (trying) this.#handshakes.hasten(peer);
  }

  #setKeepalive(peer: DevicePeer, everyMs: number): void {
    const { timers } = peer;
    if (timers.persistentMs === everyMs) return;
    timers.persistentMs = everyMs;
    // At once, as `wg` does: it opens the way through a NAT.
    timers.persistentAt = everyMs > 0 ? this.#core.clock.monotonic() : Number.POSITIVE_INFINITY;
  }

  #forget(peer: DevicePeer): void {
    const core = this.#core;
    peer.removed = true;
    this.#peers.delete(mapKey(peer.publicKey));
    this.#freePrefixes(peer);
    core.wipeSessions(peer);
    core.dropQueue(peer, 'peer_removed');
    peer.timers.stopAll();
    core.heap.remove(peer);
    wipeRemoteIdentity(peer.remote);
  }
}

/** One character a byte: the cheapest string there is of a key. */
function mapKey(publicKey: Uint8Array): string {
  return Buffer.from(publicKey.buffer, publicKey.byteOffset, publicKey.byteLength).toString('latin1');
}
