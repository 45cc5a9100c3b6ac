/** As kernels do: twice the window per round trip in slow start, a fifth above it later, so that pacing never starves. */
const SLOW_START_GAIN = 2;
const STEADY_GAIN = 1.2;
/** A timer shorter than that would be lost in the rounding of the clock. */
const TIMER_GRAIN_MS = 0.001;

/**
 * Spreads a window over the round trip. A default UDP socket buffer holds some 90 datagrams, so a whole window at once
 * would be lost in the peer's socket; bursts up to `burst` bytes pass unhindered, which keeps short answers prompt.
 */
export class Pacer {
  private tokens: number;
  private burst: number;
  private rate = Infinity;
  private at = -Infinity;

  constructor(burst: number) {
    this.burst = burst;
    this.tokens = burst;
  }

  setBurst(bytes: number): void {
    this.burst = bytes;
    this.tokens = Math.min(this.tokens, bytes);
  }

  /** `window` bytes per `roundTripMs` (undefined: not known, not paced). */
  refill(now: number, window: number, roundTripMs: number | undefined, slowStart: boolean): void {
    this.rate =
      roundTripMs === undefined || roundTripMs <= 0
        ? Infinity
        : ((slowStart ? SLOW_START_GAIN : STEADY_GAIN) * window) / roundTripMs;
    if (this.rate === Infinity || this.at === -Infinity) this.tokens = this.burst;
    else this.tokens = Math.min(this.burst, this.tokens + (now - this.at) * this.rate);
    this.at = now;
  }

  get open(): boolean {
    return this.tokens > 0;
  }

  /** May go below zero by one segment. */
  spend(bytes: number): void {
    this.tokens -= bytes;
  }

  /** When to go on after `open` was false: with a millisecond's worth, or half a burst, so that timers are few. */
  readyAt(): number {
    const wanted = Math.min(this.burst / 2, Math.max(this.rate, 1));
    return this.at + Math.max(TIMER_GRAIN_MS, (wanted - this.tokens) / this.rate);
  }
}
