import type { Clock } from '@coral/model';
import { HANDSHAKE_BURST, HANDSHAKES_PER_SECOND } from '../constants.js';

/** Sources remembered at one time, twice over: see `RateLimiter`. */
export const RATE_LIMITED_SOURCES = 16_384;

export interface RateLimits {
  perSecond: number;
  burst: number;
  /** New sources past it are refused until others are forgotten, at most one refill time later. */
  sources: number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/**
 * A token bucket per source. A bucket not asked for the time it takes to fill up is as good as a new one, so sources
 * live in two generations of that length and the older is thrown away whole: memory is bounded by `2 × sources`, no
 * sweep runs.
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #limits: RateLimits;
  readonly #refillMs: number;
  #young = new Map<string, Bucket>();
  #old = new Map<string, Bucket>();
  #turnAt: number;

  constructor(clock: Clock, limits: Partial<RateLimits> = {}) {
    this.#clock = clock;
    this.#limits = {
      perSecond: HANDSHAKES_PER_SECOND,
      burst: HANDSHAKE_BURST,
      sources: RATE_LIMITED_SOURCES,
      ...limits,
    };
    this.#refillMs = (this.#limits.burst / this.#limits.perSecond) * 1000;
    this.#turnAt = clock.monotonic() + this.#refillMs;
  }

  /** Takes a token of `source` (from `sourceKey`), or says no. */
  allows(source: string): boolean {
    const now = this.#clock.monotonic();
    this.#forget(now);
    const bucket = this.#bucket(source, now);
    if (!bucket) return false;
    const refilled = ((now - bucket.at) / 1000) * this.#limits.perSecond;
    bucket.tokens = Math.min(this.#limits.burst, bucket.tokens + refilled);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Sources remembered now. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  #bucket(source: string, now: number): Bucket | undefined {
    const young = this.#young.get(source);
    if (young) return young;
    const old = this.#old.get(source);
    if (this.#young.size >= this.#limits.sources) return old;
    if (old) this.#old.delete(source);
    const bucket = old ?? { tokens: this.#limits.burst, at: now };
    this.#young.set(source, bucket);
    return bucket;
  }

  #forget(now: number): void {
    if (now < this.#turnAt) return;
    // Idle through a whole generation more: the young ones are full again too.
    this.#old = now < this.#turnAt + this.#refillMs ? this.#young : new Map();
    this.#young = new Map();
    this.#turnAt = now + this.#refillMs;
  }
}
