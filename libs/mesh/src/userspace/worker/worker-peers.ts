import type { Clock } from '@coral/model';
import type { DevicePeer } from '@coral/wireguard';
import { AddressMap, wordsOf } from '../../hub/address-map.js';
import { parsePrefix, prefixHolds, type Prefix } from '../../prefix.js';
import type { PeerMessage } from '../protocol.js';
import type { WorkerStream } from './worker-stream.js';

/** A peer as the worker has it. */
export interface WorkerPeer {
  readonly slot: number;
  readonly publicKey: Buffer;
  device: DevicePeer;
  readonly streams: Set<WorkerStream>;
  settings: PeerMessage;
  ranges: readonly Prefix[];
  /** Inner packets that came from it: unlike a handshake, they say that it knows us still. */
  rxPackets: number;
  /** Ends by either clock, ms. */
  wallEnd: number;
  monotonicEnd: number;
  /** The endpoint it was configured with, and which of the addresses behind its name is tried. */
  tried: { host: string; port: number; turn: number } | undefined;
}

/** Who the worker knows, by slot, by WireGuard peer and by address; and when the next one's time is over. */
export class WorkerPeers {
  readonly #clock: Clock;
  readonly #bySlot = new Map<number, WorkerPeer>();
  readonly #byAddress = new AddressMap<WorkerPeer>();
  #nextWallEnd = Number.POSITIVE_INFINITY;
  #nextMonotonicEnd = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#bySlot.size;
  }

  all(): IterableIterator<WorkerPeer> {
    return this.#bySlot.values();
  }

  atSlot(slot: number): WorkerPeer | undefined {
    return this.#bySlot.get(slot);
  }

  ofDevice(device: DevicePeer): WorkerPeer | undefined {
    return this.#bySlot.get(device.slot);
  }

  /** Whose address it is; not a hub that only routes to it. */
  owner(address: string): WorkerPeer | undefined {
    const { w0, w1, w2, w3 } = wordsOf(address);
    return this.#byAddress.get(w0, w1, w2, w3);
  }

  /** Its owner, else the hub with the longest prefix around it. */
  route(address: string): WorkerPeer | undefined {
    const owner = this.owner(address);
    if (owner) return owner;
    let best: WorkerPeer | undefined;
    let longest = -1;
    for (const peer of this.#bySlot.values()) {
      for (const range of peer.ranges) {
        if (range.length <= longest || !prefixHolds(range, address)) continue;
        best = peer;
        longest = range.length;
      }
    }
    return best;
  }

  /** A new peer, or new settings of a known one. */
  put(settings: PeerMessage, device: DevicePeer): WorkerPeer {
    const known = this.#bySlot.get(settings.slot);
    if (known) this.remove(known);
    const peer: WorkerPeer = known ?? {
      slot: settings.slot,
      publicKey: Buffer.from(settings.publicKey),
      device,
      streams: new Set(),
      settings,
      ranges: [],
      rxPackets: 0,
      wallEnd: 0,
      monotonicEnd: 0,
      tried: undefined,
    };
    device.slot = settings.slot;
    peer.device = device;
    peer.settings = settings;
    // Its own addresses are in the map; ranges are for what it routes besides.
    peer.ranges = (settings.allowedIps ?? []).flatMap(toPrefix);
    peer.wallEnd = settings.expiresAt;
    peer.monotonicEnd = this.#clock.monotonic() + (settings.expiresAt - this.#clock.now());
    this.#bySlot.set(peer.slot, peer);
    for (const address of settings.addresses) this.#byAddress.set(wordsOf(address), peer);
    this.#nextWallEnd = Math.min(this.#nextWallEnd, peer.wallEnd);
    this.#nextMonotonicEnd = Math.min(this.#nextMonotonicEnd, peer.monotonicEnd);
    return peer;
  }

  remove(peer: WorkerPeer): void {
    for (const address of peer.settings.addresses) {
      const words = wordsOf(address);
      if (this.#byAddress.get(words.w0, words.w1, words.w2, words.w3) === peer) this.#byAddress.delete(words);
    }
    this.#bySlot.delete(peer.slot);
    if (peer.wallEnd === Number.POSITIVE_INFINITY) return;
    if (peer.wallEnd <= this.#nextWallEnd || peer.monotonicEnd <= this.#nextMonotonicEnd) this.#findNextEnd();
  }

  /** Whether somebody's time is over; asked before every packet. */
  anyOver(): boolean {
    if (this.#nextWallEnd === Number.POSITIVE_INFINITY) return false;
    return this.#clock.now() >= this.#nextWallEnd || this.#clock.monotonic() >= this.#nextMonotonicEnd;
  }

  /** Both clocks count: a wall clock that steps back lengthens no lease, and one that steps forward ends it. */
  over(): WorkerPeer[] {
    const now = this.#clock.now();
    const monotonic = this.#clock.monotonic();
    return [...this.#bySlot.values()].filter((peer) => now >= peer.wallEnd || monotonic >= peer.monotonicEnd);
  }

  /** In how many ms the next one is over by either clock, Infinity when nobody is. */
  untilNextEnd(): number {
    if (this.#nextWallEnd === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    return Math.min(this.#nextWallEnd - this.#clock.now(), this.#nextMonotonicEnd - this.#clock.monotonic());
  }

  #findNextEnd(): void {
    this.#nextWallEnd = this.#nextMonotonicEnd = Number.POSITIVE_INFINITY;
    for (const peer of this.#bySlot.values()) {
      this.#nextWallEnd = Math.min(this.#nextWallEnd, peer.wallEnd);
      this.#nextMonotonicEnd = Math.min(this.#nextMonotonicEnd, peer.monotonicEnd);
    }
  }
}

function toPrefix(range: string): Prefix[] {
  const prefix = parsePrefix(range);
  return prefix ? [prefix] : [];
}
