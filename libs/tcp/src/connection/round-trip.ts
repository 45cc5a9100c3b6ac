import type { TcpLimits } from './limits.js';

/** How long a minimum counts (as kernels keep it): a path may change for the worse. */
const MIN_WINDOW_MS = 10_000;

/** Round-trip time and retransmission timeout (RFC 6298), in milliseconds. */
export class RoundTrip {
  /** `undefined` until the first measurement. */
  smoothed: number | undefined;
  private variation = 0;
  private base: number;
  private backoffs = 0;
  private minimum = Infinity;
  private minimumBefore = Infinity;
  private minimumSince = -Infinity;
  private readonly limits: TcpLimits;

  constructor(limits: TcpLimits) {
    this.limits = limits;
    this.base = limits.initialRtoMs;
  }

  /** Smallest of the last 10 to 20 s; Infinity before the first measurement. */
  get min(): number {
    return Math.min(this.minimum, this.minimumBefore);
  }

  /** RTO, with every backoff since the last measurement (Karn). */
  get timeout(): number {
    return Math.min(this.limits.maxRtoMs, this.base * 2 ** this.backoffs);
  }

  /** RTO without backoff: what a prompt answer would take at most. */
  get unbackedTimeout(): number {
    return this.base;
  }

  /** Only of segments that were sent once, or that a timestamp tells apart. */
  sample(ms: number, now: number): void {
    if (this.smoothed === undefined) {
      this.smoothed = ms;
      this.variation = ms / 2;
    } else {
      this.variation += (Math.abs(this.smoothed - ms) - this.variation) / 4;
      this.smoothed += (ms - this.smoothed) / 8;
    }
    // The floor stands in for the variation, not for the sum: a peer's delayed ACK comes on top of the round trip.
    this.base = Math.min(this.limits.maxRtoMs, this.smoothed + Math.max(this.limits.minRtoMs, 4 * this.variation));
    this.backoffs = 0;
    if (now - this.minimumSince > MIN_WINDOW_MS) {
      this.minimumBefore = this.minimum;
      this.minimum = ms;
      this.minimumSince = now;
    } else if (ms < this.minimum) {
      this.minimum = ms;
    }
  }

  /** Until there is a measurement. */
  assume(timeoutMs: number): void {
    if (this.smoothed === undefined) this.base = timeoutMs;
  }

  backOff(): void {
    if (this.timeout < this.limits.maxRtoMs) this.backoffs++;
  }

  /** The path is alive again, though nothing could be measured. */
  forgetBackoff(): void {
    this.backoffs = 0;
  }
}
