/**
 * Which counters were seen (RFC 6479): a ring of 8192 bits. Moving forward clears whole words only, so the words at the edge
 * are not counted on: 8128 is what wireguard-go and the kernel promise too.
 */
const wordBits = 32;
const words = 256;
const wordMask = words - 1;

/** How far a packet may lag behind the newest and still pass. */
export const REPLAY_WINDOW = 8_128;

/** One per session and direction. To be asked only about authenticated packets: anybody can invent a counter. */
export class ReplayWindow {
  readonly #seen = new Int32Array(words);
  #newest = -1;
  #newestWord = 0;

  /** The greatest counter accepted so far, -1 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** True once for each counter, unless it lags by more than {@link REPLAY_WINDOW}. Counters are whole numbers below 2^53. */
  accept(counter: number): boolean {
    const word = Math.floor(counter / wordBits);
    if (counter > this.#newest) {
      const steps = word - this.#newestWord;
      if (steps >= words) this.#seen.fill(0);
      else for (let i = 1; i <= steps; i++) this.#seen[(this.#newestWord + i) & wordMask] = 0;
      this.#newestWord = word;
      this.#newest = counter;
    } else if (this.#newest - counter > REPLAY_WINDOW) {
      return false;
    }
    // `&` reads the low 32 bits of a number of any size below 2^53, which is all a ring needs.
    const place = word & wordMask;
    const bit = 1 << (counter % wordBits);
    const before = this.#seen[place] as number;
    if ((before & bit) !== 0) return false;
    this.#seen[place] = before | bit;
    return true;
  }
}
