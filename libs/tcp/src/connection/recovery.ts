/**
 * Proportional rate reduction (RFC 6937, with the slow-start bound): how much may be sent for each ACK while losses
 * are mended, so that the window arrives at the threshold without a pause or a burst.
 */
export class RateReduction {
  private threshold = 0;
  private flightAtStart = 1;
  private delivered = 0;
  private sent = 0;

  start(flight: number, threshold: number): void {
    this.threshold = threshold;
    this.flightAtStart = Math.max(1, flight);
    this.delivered = 0;
    this.sent = 0;
  }

  onSent(bytes: number): void {
    this.sent += bytes;
  }

  /**
   * The congestion window after an ACK that delivered `delivered` bytes and leaves `pipe` in flight. `safe`: it moved
   * SND.UNA and showed no new loss.
   */
  windowAfter(delivered: number, pipe: number, safe: boolean, mss: number): number {
    this.delivered += delivered;
    let allowed: number;
    if (pipe > this.threshold) {
      allowed = Math.ceil((this.delivered * this.threshold) / this.flightAtStart) - this.sent;
    } else {
      let limit = Math.max(this.delivered - this.sent, delivered);
      if (safe) limit += mss;
      allowed = Math.min(this.threshold - pipe, limit);
    }
    // The first retransmission goes out whatever the arithmetic says (RFC 6937 §3).
    return pipe + Math.max(allowed, this.sent === 0 ? mss : 0);
  }
}
