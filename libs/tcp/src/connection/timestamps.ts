import type { Segment } from '../wire/segment.js';
import { wireDistance } from './sequence.js';

/** RFC 7323 §5.5: after so long an old timestamp says nothing any more (the clock may have gone half around). */
const OUTDATED_MS = 24 * 24 * 3_600_000;

/** The timestamp option (RFC 7323): our clock of 1 ms, what to echo, and protection against wrapped sequence numbers. */
export class Timestamps {
  enabled = false;
  /** TS.Recent. */
  recent = 0;
  private recentAt = 0;
  private readonly offset: number;

  constructor(offset: number) {
    this.offset = offset;
  }

  value(now: number): number {
    return (this.offset + Math.floor(now)) >>> 0;
  }

  first(value: number, now: number): void {
    this.enabled = true;
    this.recent = value;
    this.recentAt = now;
  }

  /** PAWS (§5.3): is the segment not older than what was taken last? */
  inOrder(value: number, now: number): boolean {
    return wireDistance(value, this.recent) >= 0 || now - this.recentAt > OUTDATED_MS;
  }

  /** §4.3: only from segments that move the acknowledged edge, so that a delayed ACK echoes the first of its segments. */
  remember(segment: Segment, position: number, acknowledged: number, now: number): void {
    const timestamp = segment.options.timestamp;
    if (timestamp === undefined || position > acknowledged) return;
    if (!this.inOrder(timestamp.value, now)) return;
    this.recent = timestamp.value;
    this.recentAt = now;
  }
}
