/** Numbers that look random and come out the same for the same seed, on every machine (sfc32). Not for secrets. */
export class SeededRandom {
  readonly seed: number | string;
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  constructor(seed: number | string) {
    this.seed = seed;
    let hash = 0x811c9dc5;
    // FNV-1a over the seed's text, so that 1 and '1' are the same seed and a label can be put behind it.
    for (const byte of Buffer.from(String(seed))) hash = Math.imul(hash ^ byte, 0x01000193);
    this.#a = hash | 0;
    this.#b = Math.imul(hash, 0x9e3779b1) | 0;
    this.#c = ~hash | 0;
    for (let i = 0; i < 16; i += 1) this.u32();
  }

  /** The next integer from 0 to 2^32 - 1. */
  u32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** From 0 up to, but not including, 1. */
  float(): number {
    return this.u32() / 0x1_0000_0000;
  }

  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number {
    return Math.floor(this.float() * limit);
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with this probability. Draws a number only when the answer is open, so that what is off changes nothing. */
  chance(probability: number): boolean {
    return probability > 0 && (probability >= 1 || this.float() < probability);
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)];
    if (choice === undefined) throw new RangeError('nothing to pick from');
    return choice;
  }

  /** Fits `random: (size) => Buffer` of the cores. A property, so that it can be handed on by itself. */
  readonly bytes = (size: number): Buffer => {
    const bytes = Buffer.allocUnsafeSlow(size);
    for (let at = 0; at < size; at += 4) {
      const word = this.u32();
      for (let i = 0; i < 4 && at + i < size; i += 1) bytes[at + i] = word >>> (8 * i);
    }
    return bytes;
  };

  /** A source of its own under this name: what one part draws does not shift what another part gets. */
  fork(label: string): SeededRandom {
    return new SeededRandom(`${this.seed}/${label}`);
  }
}
