import { systemClock, type Clock } from '@coral/model';

/**
 * A clock that a mesh's worker thread sees too: real time, plus what its hands were turned by. The mesh takes any clock; but
 * only with this one does its worker notice a jump other than the machine's own. Jumps reach every thread at once.
 */
export class SharedClock implements Clock {
  readonly buffer: SharedArrayBuffer;
  readonly #offsets: Float64Array;

  /** `buffer` of another thread's clock, or none for a new one. */
  constructor(buffer = new SharedArrayBuffer(2 * Float64Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer;
    this.#offsets = new Float64Array(buffer);
  }

  now(): number {
    return systemClock.now() + (this.#offsets[0] as number);
  }

  monotonic(): number {
    return systemClock.monotonic() + (this.#offsets[1] as number);
  }

  /** Time passes. Backwards, only the wall clock moves, as when somebody sets it. */
  advance(ms: number): void {
    this.stepWall(ms);
    if (ms > 0) this.#offsets[1] = (this.#offsets[1] as number) + ms;
  }

  /** Somebody sets the wall clock. */
  stepWall(ms: number): void {
    this.#offsets[0] = (this.#offsets[0] as number) + ms;
  }
}
