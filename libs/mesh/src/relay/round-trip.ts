/** What a carrier's round trip takes, smoothed (RFC 6298 §2). Fed with clean samples only: a question and its own answer. */
export class RoundTrip {
  #smoothed: number | undefined;
  #variation = 0;

  get known(): boolean {
    return this.#smoothed !== undefined;
  }

  sample(ms: number): void {
    if (this.#smoothed === undefined) {
      this.#smoothed = ms;
      this.#variation = ms / 2;
      return;
    }
    this.#variation += (Math.abs(this.#smoothed - ms) - this.#variation) / 4;
    this.#smoothed += (ms - this.#smoothed) / 8;
  }

  /** Longer than this, and the answer is late: a peer may hold back its ACK for 40 ms. */
  late(least: number, most: number): number {
    return clamp((this.#smoothed ?? least) + 4 * this.#variation + 60, least, most);
  }

  /** An answer to a probe, which nobody holds back, has most likely come within this. */
  answer(least: number, most: number): number {
    return clamp(1.2 * (this.#smoothed ?? least) + 2 * this.#variation + 30, least, most);
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
