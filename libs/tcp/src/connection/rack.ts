import { wireDistance } from './sequence.js';
import type { RoundTrip } from './round-trip.js';
import type { Scoreboard, SentSegment } from './scoreboard.js';

/** RFC 8985 §6.2: so many SACKed segments stand for a loss as long as no reordering was seen. */
const DUPLICATE_THRESHOLD = 3;
/** Recoveries that a reordering window widened by DSACKs lives for (§6.2 step 4). */
const REORDER_PERSIST = 16;
/** What is overdue but for this counts as overdue: a timer so short would be lost in the rounding of the clock. */
const TIMER_GRAIN_MS = 0.001;

/**
 * RACK (RFC 8985 §6): a segment is lost when one sent later has arrived, and a reordering window has passed. Time is
 * told by the last transmission, so lost retransmissions are found too.
 */
export class Rack {
  /** Of the delivered segment that was sent last. */
  private sentAt = -Infinity;
  private end = 0;
  private roundTrip = 0;
  /** Highest sequence number delivered. */
  private forward = 0;
  private reordering = false;
  private reorderFactor = 1;
  private reorderPersist = 0;
  private dsackRoundEnd = -1;
  private readonly board: Scoreboard;
  private readonly times: RoundTrip;

  constructor(board: Scoreboard, times: RoundTrip) {
    this.board = board;
    this.times = times;
  }

  /** Step 1–3: a segment was delivered. `echo`: TSecr of the ACK, `undefined` without timestamps. */
  onDelivered(segment: SentSegment, now: number, echo: number | undefined): void {
    const elapsed = now - segment.sentAt;
    if (segment.retransmitted) {
      // The ACK may be for the first transmission: then it says nothing about the last.
      if (echo !== undefined && wireDistance(echo, segment.timestamp) < 0) return;
      if (elapsed < this.times.min) return;
    } else if (segment.end < this.forward) {
      this.reordering = true;
    }
    this.forward = Math.max(this.forward, segment.end);
    if (sentAfter(segment.sentAt, segment.end, this.sentAt, this.end)) {
      this.sentAt = segment.sentAt;
      this.end = segment.end;
      this.roundTrip = elapsed;
    }
  }

  /** Step 4: a DSACK shows that something was retransmitted in vain; the window widens, once per round trip. */
  onDuplicate(acknowledged: number, sent: number): void {
    if (acknowledged < this.dsackRoundEnd) return;
    this.dsackRoundEnd = sent;
    this.reorderFactor++;
    this.reorderPersist = REORDER_PERSIST;
    this.reordering = true;
  }

  onRecoveryEnd(): void {
    if (this.reorderPersist > 0 && --this.reorderPersist === 0) this.reorderFactor = 1;
  }

  /**
   * Step 5: marks segments lost. Returns how many milliseconds to wait before asking again, 0 when nothing is in
   * doubt.
   */
  detect(now: number, recovering: boolean): number {
    if (this.sentAt === -Infinity) return 0;
    const { board } = this;
    const patience = this.roundTrip + this.reorderWindow(recovering);
    let wait = 0;
    let segment = board.oldest;
    while (segment !== undefined && sentAfter(this.sentAt, this.end, segment.sentAt, segment.end)) {
      const next: SentSegment | undefined = segment.newer;
      const left = segment.sentAt + patience - now;
      if (left < TIMER_GRAIN_MS) board.markLost(segment);
      else wait = Math.max(wait, left);
      segment = next;
    }
    return wait;
  }

  /** §6.3: the retransmission timer ran out; the first segment is lost, and all that are overdue. */
  markOverdue(now: number): void {
    const { board } = this;
    const patience = this.roundTrip + this.reorderWindow(true);
    const head = board.head;
    if (head !== undefined) board.markLost(head);
    let segment = board.oldest;
    while (segment !== undefined) {
      const next: SentSegment | undefined = segment.newer;
      if (segment.sentAt + patience <= now) board.markLost(segment);
      segment = next;
    }
  }

  private reorderWindow(recovering: boolean): number {
    if (!this.reordering && (recovering || this.board.sackedCount >= DUPLICATE_THRESHOLD)) return 0;
    const min = this.times.min;
    if (min === Infinity) return 0;
    return Math.min((this.reorderFactor * min) / 4, this.times.smoothed ?? min);
  }
}

function sentAfter(leftAt: number, leftEnd: number, rightAt: number, rightEnd: number): boolean {
  return leftAt > rightAt || (leftAt === rightAt && leftEnd > rightEnd);
}
