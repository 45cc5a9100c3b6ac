/**
 * Sequence numbers (RFC 9293 §3.4). On the wire they are 32 bits and wrap; inside a connection they are positions:
 * plain numbers that start at 0 with the SYN, so that data starts at 1, and only grow (to 2^53, not in this world's
 * time). Comparisons are then ordinary ones, and wrapping happens in this file alone.
 */
export class SequenceSpace {
  /** The wire number of the SYN: ISS of the side that sends, IRS of the side that receives. */
  readonly initial: number;

  constructor(initial: number) {
    this.initial = initial >>> 0;
  }

  toWire(position: number): number {
    return (this.initial + position) >>> 0;
  }

  /** The position nearest to `near` that has this wire number: less than 2^31 before or after it. May be negative. */
  toPosition(wire: number, near: number): number {
    return near + ((wire - this.initial - near) | 0);
  }
}

/** How far `left` is after `right` on the circle of 2^32, −2^31 … 2^31 − 1: for timestamps (RFC 7323 §5.2) too. */
export function wireDistance(left: number, right: number): number {
  return (left - right) | 0;
}
