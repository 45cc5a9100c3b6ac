import { SlowStartExit } from './slow-start-exit.js';

/** RFC 9438 §4.6 and §5: the cut on a loss, and how fast the cubic grows (segments per second cubed). */
const BETA = 0.7;
const C = 0.4;
/** RFC 9438 §4.3: growth of the Reno-friendly estimate, until it is back where the loss was. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
/** RFC 6928: ten segments, or what 14,600 bytes hold. */
const INITIAL_SEGMENTS = 10;
const INITIAL_BYTES = 14_600;
const MIN_SSTHRESH_SEGMENTS = 2;

/** What a loss changed, to be put back when the loss turns out not to have been one. */
export interface CubicMemory {
  window: number;
  threshold: number;
  maximum: number;
  prior: number;
}

/** The congestion window: CUBIC (RFC 9438) after slow start with HyStart++ (RFC 9406). Bytes; times in milliseconds. */
export class Cubic {
  window: number;
  threshold = Infinity;
  private mss: number;
  /** In segments: where the last loss was, and the window just before it. */
  private maximum = 0;
  private prior = 0;
  private epochStart: number | undefined;
  private k = 0;
  private friendly = 0;
  private lastAck = 0;
  private readonly exit = new SlowStartExit();

  constructor(mss: number) {
    this.mss = mss;
    this.window = this.initialWindow();
  }

  get slowStart(): boolean {
    return this.window < this.threshold;
  }

  /** IW10; one segment when the SYN or SYN-ACK was lost (RFC 6928 §2, RFC 5681 §3.1). */
  initialWindow(): number {
    return Math.min(INITIAL_SEGMENTS * this.mss, Math.max(2 * this.mss, INITIAL_BYTES));
  }

  startSmall(): void {
    this.window = this.mss;
  }

  setMss(mss: number): void {
    this.mss = mss;
    this.window = Math.max(this.window, mss);
  }

  /** A round trip was measured; `acknowledged` and `sent` are SND.UNA and SND.NXT as positions. */
  onRoundTrip(ms: number, acknowledged: number, sent: number): void {
    if (this.slowStart && this.threshold === Infinity && this.exit.onRoundTrip(ms, acknowledged, sent)) {
      this.threshold = this.window;
    }
  }

  /** `bytes` were acknowledged outside of recovery; `limited`: the window is what held the sender back. */
  onAck(bytes: number, now: number, roundTripMs: number, limited: boolean): void {
    const gap = now - this.lastAck;
    this.lastAck = now;
    if (!limited) {
      // Time in which the window was not used does not count for its growth (RFC 9438 §5.8).
      if (this.epochStart !== undefined) this.epochStart += gap;
      return;
    }
    let left = bytes;
    if (this.slowStart) {
      const grown = Math.min(left / this.exit.divisor, this.threshold - this.window);
      this.window += grown;
      left -= grown * this.exit.divisor;
      if (left < 1) return;
    }
    this.avoidCongestion(left / this.mss, now, roundTripMs);
  }

  onLoss(): void {
    const segments = this.window / this.mss;
    this.prior = segments;
    // Fast convergence (§4.7): a window smaller than at the loss before makes room for others.
    this.maximum = segments < this.maximum ? (segments * (1 + BETA)) / 2 : segments;
    this.threshold = Math.max(this.window * BETA, MIN_SSTHRESH_SEGMENTS * this.mss);
    this.epochStart = undefined;
  }

  /** After {@link onLoss}: the retransmission timer ran out (§4.8); one segment, then slow start. */
  onTimeout(): void {
    this.window = this.mss;
  }

  /** RFC 5681 §4.1: after a pause longer than the RTO nothing is known of the path any more. */
  restart(): void {
    this.window = Math.min(this.window, this.initialWindow());
    this.epochStart = undefined;
  }

  remember(): CubicMemory {
    return { window: this.window, threshold: this.threshold, maximum: this.maximum, prior: this.prior };
  }

  restore(memory: CubicMemory): void {
    this.window = Math.max(this.window, memory.window);
    this.threshold = memory.threshold;
    this.maximum = memory.maximum;
    this.prior = memory.prior;
    this.epochStart = undefined;
  }

  private avoidCongestion(acked: number, now: number, roundTripMs: number): void {
    let segments = this.window / this.mss;
    if (this.epochStart === undefined) {
      this.epochStart = now;
      if (segments < this.maximum) {
        this.k = Math.cbrt((this.maximum - segments) / C);
      } else {
        this.k = 0;
        this.maximum = segments;
      }
      this.friendly = segments;
    }
    const seconds = (now - this.epochStart) / 1_000;
    this.friendly += (this.friendly >= this.prior ? 1 : ALPHA) * (acked / segments);
    const here = this.maximum + C * (seconds - this.k) ** 3;
    if (here < this.friendly) {
      segments = Math.max(segments, this.friendly);
    } else {
      const ahead = this.maximum + C * (seconds + roundTripMs / 1_000 - this.k) ** 3;
      const target = Math.min(Math.max(ahead, segments), 1.5 * segments);
      segments += ((target - segments) / segments) * acked;
    }
    this.window = segments * this.mss;
  }
}
