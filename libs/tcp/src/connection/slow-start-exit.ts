/** RFC 9406 §4.2 and §4.3. */
const MIN_RTT_THRESHOLD_MS = 4;
const MAX_RTT_THRESHOLD_MS = 16;
const RTT_DIVISOR = 8;
const SAMPLES = 8;
const CONSERVATIVE_DIVISOR = 4;
const CONSERVATIVE_ROUNDS = 5;

/** HyStart++ (RFC 9406): leaves slow start when round trips grow longer, before a queue runs over. */
export class SlowStartExit {
  /** By how much growth is slowed down: 1 in slow start, 4 in conservative slow start. */
  divisor = 1;
  private roundEnd = 0;
  private lastMin = Infinity;
  private currentMin = Infinity;
  private samples = 0;
  private baseline = Infinity;
  private rounds = 0;

  /** True: slow start is over. `acknowledged` and `sent` are SND.UNA and SND.NXT as positions. */
  onRoundTrip(ms: number, acknowledged: number, sent: number): boolean {
    if (acknowledged >= this.roundEnd) {
      this.roundEnd = sent;
      this.lastMin = this.currentMin;
      this.currentMin = Infinity;
      this.samples = 0;
      if (this.divisor !== 1 && ++this.rounds >= CONSERVATIVE_ROUNDS) return true;
    }
    this.currentMin = Math.min(this.currentMin, ms);
    this.samples++;
    if (this.samples < SAMPLES) return false;
    if (this.divisor === 1) {
      if (this.lastMin === Infinity) return false;
      const threshold = Math.min(Math.max(this.lastMin / RTT_DIVISOR, MIN_RTT_THRESHOLD_MS), MAX_RTT_THRESHOLD_MS);
      if (this.currentMin >= this.lastMin + threshold) {
        this.baseline = this.currentMin;
        this.divisor = CONSERVATIVE_DIVISOR;
        this.rounds = 0;
      }
    } else if (this.currentMin < this.baseline) {
      // It was noise: the round trip is short again.
      this.baseline = Infinity;
      this.divisor = 1;
    }
    return false;
  }
}
