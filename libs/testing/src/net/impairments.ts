import type { SeededRandom } from './seeded-random.js';

/** What one direction of a path does to datagrams. Probabilities are from 0 to 1; sizes are bytes of the datagram handed in. */
export interface Impairments {
  /** Share that is lost, each by itself. 1 is a black hole. */
  loss: number;
  /** Share that arrives twice. */
  duplicate: number;
  /** Share that is held back for up to `reorderByMs`, so that later ones overtake it. Nothing else changes the order. */
  reorder: number;
  reorderByMs: number;
  /** Share of which one bit is flipped. */
  corrupt: number;
  delayMs: number;
  /** Up to this much on top of the delay, anew for each; the order is kept. */
  jitterMs: number;
  /** Bits per second on the wire; `Infinity` for as fast as it comes. */
  rate: number;
  /** What may wait for its turn on the wire; what comes on top is lost. */
  queueBytes: number;
  /** Anything larger is lost without a word. */
  mtu: number;
}

export const noImpairments: Readonly<Impairments> = {
  loss: 0,
  duplicate: 0,
  reorder: 0,
  reorderByMs: 5,
  corrupt: 0,
  delayMs: 0,
  jitterMs: 0,
  rate: Infinity,
  queueBytes: 1_000_000,
  mtu: 65_535,
};

export interface PathCounters {
  offered: number;
  delivered: number;
  lost: number;
  tooLarge: number;
  queueFull: number;
  duplicated: number;
  reordered: number;
  corrupted: number;
}

/** One copy of a datagram on its way. */
export interface Passage {
  /** Monotonic milliseconds. */
  at: number;
  datagram: Buffer;
}

/** One direction of a path: decides when each datagram arrives, how often, and whether at all. Knows no clock and no socket. */
export class ImpairedPath {
  readonly impairments: Impairments;
  readonly counters: PathCounters = {
    offered: 0,
    delivered: 0,
    lost: 0,
    tooLarge: 0,
    queueFull: 0,
    duplicated: 0,
    reordered: 0,
    corrupted: 0,
  };
  readonly #random: SeededRandom;
  /** When the wire has sent all that waits, and when the latest in-order datagram arrives. */
  #wireFreeAt = -Infinity;
  #lastArrival = -Infinity;

  constructor(random: SeededRandom, impairments: Partial<Impairments> = {}) {
    this.#random = random;
    this.impairments = { ...noImpairments, ...impairments };
  }

  /** From now on; what is already on its way arrives as it was to. */
  impair(change: Partial<Impairments>): void {
    Object.assign(this.impairments, change);
  }

  /** Takes the datagram (the first copy is it, others are copies); none come back when it is lost. */
  pass(datagram: Buffer, now: number): Passage[] {
    const { impairments: so, counters } = this;
    counters.offered += 1;
    if (datagram.length > so.mtu) return this.#drop('tooLarge');
    if (this.#random.chance(so.loss)) return this.#drop('lost');
    const sentAt = this.#sentAt(datagram.length, now);
    if (sentAt === undefined) return this.#drop('queueFull');
    const passages = [{ at: this.#arrival(sentAt), datagram: this.#maybeCorrupt(datagram) }];
    if (this.#random.chance(so.duplicate)) {
      counters.duplicated += 1;
      passages.push({ at: this.#arrival(sentAt), datagram: Buffer.from(datagram) });
    }
    counters.delivered += passages.length;
    return passages;
  }

  #drop(reason: 'lost' | 'tooLarge' | 'queueFull'): Passage[] {
    this.counters[reason] += 1;
    return [];
  }

  /** When the last bit is on the wire; nothing when the queue has no room. */
  #sentAt(bytes: number, now: number): number | undefined {
    const { rate, queueBytes } = this.impairments;
    if (rate === Infinity) return now;
    const start = Math.max(now, this.#wireFreeAt);
    if (((start - now) * rate) / 8_000 + bytes > queueBytes) return undefined;
    this.#wireFreeAt = start + (bytes * 8_000) / rate;
    return this.#wireFreeAt;
  }

  #arrival(sentAt: number): number {
    const { delayMs, jitterMs, reorder, reorderByMs } = this.impairments;
    const arrival = Math.max(
      this.#lastArrival,
      sentAt + delayMs + (jitterMs > 0 ? this.#random.float() * jitterMs : 0),
    );
    if (this.#random.chance(reorder)) {
      this.counters.reordered += 1;
      // 1 - float(): never 0, it must fall behind.
      return arrival + (1 - this.#random.float()) * reorderByMs;
    }
    this.#lastArrival = arrival;
    return arrival;
  }

  #maybeCorrupt(datagram: Buffer): Buffer {
    if (datagram.length === 0 || !this.#random.chance(this.impairments.corrupt)) return datagram;
    this.counters.corrupted += 1;
    const bad = Buffer.from(datagram);
    const bit = this.#random.below(bad.length * 8);
    bad[bit >> 3]! ^= 1 << (bit & 7);
    return bad;
  }
}
