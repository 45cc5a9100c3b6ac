import type { TcpLimits } from './limits.js';
import type { RoundTrip } from './round-trip.js';

/** RFC 8985 §7.2: shortest wait for a tail loss probe, and what a lone segment's delayed ACK may take on top. */
const MIN_TAIL_PROBE_MS = 10;
const ACK_DELAY_MS = 50;
/** Before the first measurement. */
const FIRST_TAIL_PROBE_MS = 1_000;

/** When the sending half wants to act again; monotonic ms, Infinity for never. */
export class SendTimers {
  /** Retransmission (RFC 6298 §5). */
  rtoAt = Infinity;
  /** Tail loss probe (RFC 8985 §7). */
  tailAt = Infinity;
  /** A segment is taken for lost unless it is acknowledged by then (RFC 8985 §6.2). */
  reorderAt = Infinity;
  /** Zero-window probe (RFC 9293 §3.8.6.1). */
  persistAt = Infinity;
  paceAt = Infinity;
  /** Since when something waits for an ACK that moves on. */
  stalledSince = Infinity;
  /** Retransmission timeouts in a row. */
  timeouts = 0;
  persistBackoff = 0;
  private readonly limits: TcpLimits;

  constructor(limits: TcpLimits) {
    this.limits = limits;
  }

  next(): number {
    return Math.min(
      this.rtoAt,
      this.tailAt,
      this.reorderAt,
      this.persistAt,
      this.paceAt,
      this.stalledSince + this.limits.giveUpMs,
    );
  }

  armRto(now: number, times: RoundTrip): void {
    this.rtoAt = now + times.timeout;
  }

  armTail(now: number, times: RoundTrip, alone: boolean): void {
    const wait =
      times.smoothed === undefined
        ? FIRST_TAIL_PROBE_MS
        : Math.max(2 * times.smoothed + (alone ? ACK_DELAY_MS : 0), MIN_TAIL_PROBE_MS);
    this.tailAt = Math.min(now + wait, this.rtoAt);
  }

  /** `wait` as RACK says: 0 for never. */
  armReorder(now: number, wait: number): void {
    this.reorderAt = wait > 0 ? now + wait : Infinity;
  }

  armPersist(now: number, times: RoundTrip): void {
    if (this.persistAt !== Infinity) return;
    this.persistAt = now + Math.min(this.limits.maxRtoMs, times.unbackedTimeout * 2 ** this.persistBackoff);
  }

  /** All is acknowledged. */
  clear(): void {
    this.rtoAt = Infinity;
    this.tailAt = Infinity;
    this.reorderAt = Infinity;
    this.stalledSince = Infinity;
  }
}
