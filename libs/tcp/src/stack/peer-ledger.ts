import { type IpAddress, sameAddress } from '../wire/address.js';
import { Route } from '../wire/packet-writer.js';
import { HashTable, type Chained, type SecretHash } from './hash-table.js';
import type { StackCounters } from './counters.js';
import type { TcpFlow } from './tcp-flow.js';
import type { TimeWaitFlow } from './time-wait.js';

/** What one remote address has of us. It exists as long as it has anything. */
export class PeerEntry implements Chained<PeerEntry> {
  readonly hash: number;
  next: PeerEntry | undefined = undefined;
  readonly address: IpAddress;
  /** Open connections, and closed ones that still hold unread bytes. */
  readonly flows = new Set<TcpFlow>();
  readonly timeWaits = new Set<TimeWaitFlow>();
  connections = 0;
  halfOpen = 0;
  memoryBytes = 0;
  readonly #routes: (Route | undefined)[] = [];

  constructor(address: IpAddress, hash: number) {
    this.address = address;
    this.hash = hash;
  }

  /** The way from our address of that index to the peer. */
  route(localIndex: number, local: IpAddress): Route {
    return (this.#routes[localIndex] ??= new Route(local, this.address));
  }

  get isIdle(): boolean {
    return this.flows.size === 0 && this.timeWaits.size === 0;
  }
}

export class PeerLedger {
  readonly #table = new HashTable<PeerEntry>();
  readonly #hash: SecretHash;
  readonly #counters: StackCounters;

  constructor(hash: SecretHash, counters: StackCounters) {
    this.#hash = hash;
    this.#counters = counters;
  }

  find(address: IpAddress): PeerEntry | undefined {
    const hash = this.#hash.ofAddress(address.w0, address.w1, address.w2, address.w3);
    for (let peer = this.#table.chain(hash); peer !== undefined; peer = peer.next) {
      if (peer.hash === hash && sameAddress(peer.address, address)) return peer;
    }
    return undefined;
  }

  all(): PeerEntry[] {
    return this.#table.entries();
  }

  /** Who holds the most memory. */
  largest(): PeerEntry | undefined {
    let largest: PeerEntry | undefined;
    for (const peer of this.all()) if (peer.memoryBytes > (largest?.memoryBytes ?? 0)) largest = peer;
    return largest;
  }

  /** The entry, made if there is none. Whoever made one and did not use it calls `release`. */
  open(address: IpAddress): PeerEntry {
    const known = this.find(address);
    if (known !== undefined) return known;
    const peer = new PeerEntry(address, this.#hash.ofAddress(address.w0, address.w1, address.w2, address.w3));
    this.#table.add(peer);
    this.#counters.peers = this.#table.size;
    return peer;
  }

  /** Forgets the entry if it has nothing left. */
  release(peer: PeerEntry): void {
    if (!peer.isIdle) return;
    this.#table.delete(peer);
    this.#counters.peers = this.#table.size;
  }
}
