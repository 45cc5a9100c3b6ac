import { hash } from 'node:crypto';

/**
 * Ephemeral ports as RFC 6056 §3.3.3 has them (simple hash-based selection): a secret place to start for each
 * destination and one counter, so that a stranger cannot guess the next port and one port is not used again soon.
 */
export class PortPicker {
  readonly #secret: string;
  readonly #first: number;
  readonly #count: number;
  #next = 0;

  constructor(random: (size: number) => Buffer, first: number, last: number) {
    this.#secret = random(16).toString('hex');
    this.#first = first;
    this.#count = last - first + 1;
  }

  /** A port for which `isFree` holds; undefined when there is none. `destination` is any text that names it. */
  pick(destination: string, isFree: (port: number) => boolean): number | undefined {
    const offset = hash('sha256', `${this.#secret}|${destination}`, 'buffer').readUInt32BE(0);
    for (let tries = 0; tries < this.#count; tries += 1) {
      const port = this.#first + ((offset + this.#next) % this.#count);
      this.#next = (this.#next + 1) % this.#count;
      if (isFree(port)) return port;
    }
    return undefined;
  }
}
