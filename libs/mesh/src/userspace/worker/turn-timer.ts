import type { Clock } from '@coral/model';

/** One timer for everything that waits. It may come early, never late: whoever is woken looks at the clock. */
export class TurnTimer {
  readonly #clock: Clock;
  readonly #due: () => void;
  #timer: NodeJS.Timeout | undefined;
  #at = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, due: () => void) {
    this.#clock = clock;
    this.#due = due;
  }

  /** `at`: monotonic ms. A timer that comes sooner is kept: moving it at every turn would cost more than waking early. */
  arm(at: number): void {
    if (this.#timer && this.#at <= at) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#at = at;
    if (at === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#at = Number.POSITIVE_INFINITY;
        this.#due();
      },
      Math.max(0, Math.ceil(at - this.#clock.monotonic())),
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#at = Number.POSITIVE_INFINITY;
  }
}
