const WINDOW_MS = 1_000;

/**
 * How often a connection answers segments that make no sense to it (RFC 5961 §7). Counted per connection: a budget
 * shared by all would tell a stranger about other people's connections.
 */
export class ChallengeAcks {
  private readonly perSecond: number;
  private since = -Infinity;
  private sent = 0;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
  }

  allow(now: number): boolean {
    if (now - this.since >= WINDOW_MS) {
      this.since = now;
      this.sent = 0;
    }
    if (this.sent >= this.perSecond) return false;
    this.sent++;
    return true;
  }
}
