import type { CarrierRaceLimits } from './carrier-race.types.js';

const never = Number.POSITIVE_INFINITY;

/**
 * When, while the WebSocket carries, UDP is asked whether it works again. Three answers in a row bring it back. Each switch
 * away from UDP makes the next return wait longer, so that a path that comes and goes does not drag the session along.
 */
export class WayBack {
  readonly #limits: CarrierRaceLimits;
  #nextAt = never;
  #running = false;
  #everyMs: number;
  #holdMs: number;
  #leftAt = -never;
  #waitsFor: number | undefined;
  /** The latest question has no answer yet. */
  #inVain = false;
  #answers = 0;

  constructor(limits: CarrierRaceLimits) {
    this.#limits = limits;
    this.#everyMs = limits.returnMs;
    this.#holdMs = limits.holdMs;
  }

  get nextAt(): number {
    return this.#nextAt;
  }

  /** The WebSocket carries from now on; `switched`: UDP did before. */
  start(now: number, switched: boolean): void {
    const { holdMs, longestHoldMs, calmMs, returnMs } = this.#limits;
    if (now - this.#leftAt > calmMs) this.#holdMs = holdMs;
    this.#running = true;
    this.#everyMs = returnMs;
    this.#answers = 0;
    this.#inVain = false;
    this.#waitsFor = undefined;
    this.#nextAt = now + this.#holdMs;
    if (!switched) return;
    this.#leftAt = now;
    this.#holdMs = Math.min(longestHoldMs, this.#holdMs * 2);
  }

  stop(): void {
    this.#running = false;
    this.#nextAt = never;
  }

  /** Nothing is being sent: nothing is asked, until `wake`. */
  sleep(): void {
    this.#answers = 0;
    this.#inVain = false;
    this.#waitsFor = undefined;
    this.#nextAt = never;
  }

  wake(now: number): void {
    if (this.#running && this.#nextAt === never) this.#nextAt = now + this.#limits.returnStepMs;
  }

  /** `nextAt` has come, and UDP was asked with this probe. */
  asked(probe: number | undefined, now: number): void {
    if (this.#inVain) {
      this.#answers = 0;
      this.#everyMs = Math.min(this.#limits.longestReturnMs, this.#everyMs * 2);
    }
    this.#waitsFor = probe;
    this.#inVain = true;
    this.#nextAt = now + this.#everyMs;
  }

  /** True when UDP has answered often enough. */
  answered(probe: number, now: number): boolean {
    if (probe !== this.#waitsFor) return false;
    this.#waitsFor = undefined;
    this.#inVain = false;
    this.#answers += 1;
    this.#nextAt = now + this.#limits.returnStepMs;
    return this.#answers >= this.#limits.returnProbes;
  }
}
