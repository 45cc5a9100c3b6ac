// What both threads know of each peer without a message: whether it has been revoked. The main thread writes before
// `removePeer` returns; the worker looks before every packet, so that it acts even with a thousand packets queued.

/** Cell 0 counts revocations: the worker compares one number per packet. Cell 1 + slot: the peer's state. */
const header = 1;
const [free, live, revoked] = [0, 1, 2];

/** More than the addresses of a /16 mesh. */
export const maxPeers = 65_536;

/** The main thread's half: hands out slots and revokes them. A slot is used again only once the worker has let go of it. */
export class PeerSlots {
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Int32Array;
  #next = 0;

  constructor(capacity = maxPeers) {
    // Untouched pages cost no memory.
    this.buffer = new SharedArrayBuffer((header + capacity) * Int32Array.BYTES_PER_ELEMENT);
    this.#cells = new Int32Array(this.buffer);
  }

  /** Undefined when all are taken. Round and round, so that a late message does not meet the next peer of its slot. */
  take(): number | undefined {
    const capacity = this.#cells.length - header;
    for (let tried = 0; tried < capacity; tried++) {
      const slot = this.#next;
      this.#next = (slot + 1) % capacity;
      if (Atomics.compareExchange(this.#cells, header + slot, free, live) === free) return slot;
    }
    return undefined;
  }

  /** Seen by the worker before its next packet. */
  revoke(slot: number): void {
    Atomics.store(this.#cells, header + slot, revoked);
    Atomics.add(this.#cells, 0, 1);
  }

  /** The worker has let go of it. */
  release(slot: number): void {
    Atomics.store(this.#cells, header + slot, free);
  }
}

/** The worker's half. */
export class RevocationView {
  readonly #cells: Int32Array;
  #seen = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Int32Array(buffer);
  }

  /** True once after any revocation. */
  hasNews(): boolean {
    const count = Atomics.load(this.#cells, 0);
    if (count === this.#seen) return false;
    this.#seen = count;
    return true;
  }

  isRevoked(slot: number): boolean {
    return Atomics.load(this.#cells, header + slot) !== live;
  }
}
