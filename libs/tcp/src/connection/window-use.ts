/** RFC 7661: the congestion window grows only while it is what holds the sender back. Positions. */
export class WindowUse {
  /** What was sent before this was held back. */
  private heldBackUntil = 0;
  /** The fullest pipe of this round trip, and where the round trip ends. */
  private fullest = 0;
  private roundEnd = 0;

  onHeldBack(next: number): void {
    this.heldBackUntil = next;
  }

  onSent(una: number, next: number, pipe: number): void {
    if (una >= this.roundEnd) {
      this.roundEnd = next;
      this.fullest = 0;
    }
    this.fullest = Math.max(this.fullest, pipe);
  }

  /** In slow start half a window in use is enough: it may double. */
  isLimited(una: number, window: number, slowStart: boolean): boolean {
    return una < this.heldBackUntil || (slowStart && window < 2 * this.fullest);
  }
}
