import type { InitiatorHandshake, RandomBytes } from '../noise/index.js';
import type { TransportSession } from '../transport/session.js';
import type { DevicePeer } from './peer.js';

/** What a receiver index stands for: an attempt that waits for its response, or a session. */
export interface IndexSlot {
  readonly peer: DevicePeer;
  attempt: InitiatorHandshake | undefined;
  session: TransportSession | undefined;
}

/**
 * Receiver indexes: random, so that nobody can guess one, and unique in the device. Keys are signed 32-bit numbers, which V8
 * holds without a heap object.
 */
export class IndexTable {
  readonly #slots = new Map<number, IndexSlot>();
  readonly #random: RandomBytes;

  constructor(random: RandomBytes) {
    this.#random = random;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** An index that is free, unsigned as it goes on the wire. */
  draw(): number {
    for (;;) {
      const index = this.#random(4).readUInt32LE(0);
      if (!this.#slots.has(index | 0)) return index;
    }
  }

  set(index: number, slot: IndexSlot): void {
    this.#slots.set(index | 0, slot);
  }

  /** By the index as it stands in the message, read as signed. */
  get(index: number): IndexSlot | undefined {
    return this.#slots.get(index);
  }

  delete(index: number): void {
    this.#slots.delete(index | 0);
  }
}
