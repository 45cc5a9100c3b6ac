import type { SecretHash } from './hash-table.js';

/** Sources share this many buckets, so that memory is fixed however many there are. */
const BUCKETS = 1_024;

/**
 * A token bucket per source address, for what is answered without a connection. Two sources may share one by chance;
 * the hash is secret, so none can choose whom to share with.
 */
export class SourceRate {
  readonly #perSecond: number;
  readonly #hash: SecretHash;
  readonly #tokens: Float64Array;
  readonly #filledAt: Float64Array;

  constructor(perSecond: number, hash: SecretHash, now: number) {
    this.#perSecond = perSecond;
    this.#hash = hash;
    this.#tokens = new Float64Array(BUCKETS).fill(perSecond * 2);
    this.#filledAt = new Float64Array(BUCKETS).fill(now);
  }

  /** Whether one more may go out to this address at `now` (monotonic ms). */
  take(w0: number, w1: number, w2: number, w3: number, now: number): boolean {
    const index = this.#hash.ofAddress(w0, w1, w2, w3) & (BUCKETS - 1);
    const passed = Math.max(0, now - (this.#filledAt[index] ?? now));
    const tokens = Math.min(this.#perSecond * 2, (this.#tokens[index] ?? 0) + (passed * this.#perSecond) / 1000);
    this.#filledAt[index] = now;
    this.#tokens[index] = tokens >= 1 ? tokens - 1 : tokens;
    return tokens >= 1;
  }
}
