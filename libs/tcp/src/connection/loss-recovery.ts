import type { SackBlock } from '../wire/segment.js';
import type { Cubic, CubicMemory } from './cubic.js';
import { Rack } from './rack.js';
import { RateReduction } from './recovery.js';
import type { RoundTrip } from './round-trip.js';
import { LOST, SACKED, Scoreboard, type SentSegment } from './scoreboard.js';
import { wireDistance, type SequenceSpace } from './sequence.js';

/** RFC 5681 §3.2, for peers without SACK. */
const DUPLICATE_ACKS = 3;
/** An echo older than that answers nothing that is still on its way. */
const OLDEST_ECHO_MS = 120_000;

/** open: nothing is missing. recovery: losses are mended (RFC 6675, 6582). loss: the retransmission timer ran out. */
type Phase = 'open' | 'recovery' | 'loss';

/** An acceptable ACK (SND.UNA ≤ `ack` ≤ SND.NXT). */
export interface Acknowledgment {
  ack: number;
  /** As on the wire. */
  sack: readonly SackBlock[] | undefined;
  /** TSecr, and our timestamp clock now. */
  echo: number | undefined;
  tsNow: number;
  /** As RFC 5681 §2 defines it. */
  duplicate: boolean;
}

/** Where the sender stands; positions. */
export interface SendProgress {
  readonly una: number;
  readonly next: number;
  /** Payload of a full segment. */
  readonly segmentSize: number;
  readonly maxWindow: number;
}

interface Undo {
  memory: CubicMemory;
  /** SND.UNA when it began, and the timestamp of the first retransmission. */
  start: number;
  timestamp: number | undefined;
}

/** What is in flight, what is lost, and what that does to the congestion window. It sends nothing by itself. */
export class LossRecovery {
  readonly board: Scoreboard;
  sackPermitted = false;
  /** The next retransmission goes out whatever the window says. */
  force = false;
  /** In how many ms RACK wants to look again; 0 for not at all. */
  reorderWait = 0;
  private phase: Phase = 'open';
  private recoverPoint = 0;
  private undo: Undo | undefined;
  private duplicateAcks = 0;
  /** Without SACK: what duplicate ACKs say has left the network. */
  private duplicateBytes = 0;
  private tailProbe: { end: number; retransmitted: boolean } | undefined;
  // Of the ACK at hand.
  private now = 0;
  private echo: number | undefined;
  private sampleSentAt = -Infinity;
  /**
   * Timestamp of the latest retransmission among what it delivers: how long the rest lay there before is anyone's
   * guess, and so it is with the retransmission unless the echo is its own.
   */
  private resentAt: number | undefined;
  private readonly rack: Rack;
  private readonly reduction = new RateReduction();
  private readonly progress: SendProgress;
  private readonly space: SequenceSpace;
  private readonly cubic: Cubic;
  private readonly times: RoundTrip;

  constructor(progress: SendProgress, space: SequenceSpace, cubic: Cubic, times: RoundTrip) {
    this.progress = progress;
    this.space = space;
    this.cubic = cubic;
    this.times = times;
    this.board = new Scoreboard((segment) => this.onDelivered(segment));
    this.rack = new Rack(this.board, times);
  }

  /** Bytes in flight. */
  get pipe(): number {
    return Math.max(0, this.board.pipe - this.duplicateBytes);
  }

  /** The congestion window may grow as in slow start or congestion avoidance. */
  get isOpen(): boolean {
    return this.phase === 'open';
  }

  /**
   * Takes what the ACK says. `wasAt`: SND.UNA before it. `limited`: the congestion window is what held the sender back.
   */
  onAck(acknowledgment: Acknowledgment, wasAt: number, limited: boolean, now: number): void {
    const { ack, sack, echo, tsNow, duplicate } = acknowledgment;
    const advanced = ack > wasAt;
    this.now = now;
    this.echo = echo;
    this.sampleSentAt = -Infinity;
    this.resentAt = undefined;
    let delivered = advanced ? this.board.acknowledge(ack) : 0;
    let isDsack = false;
    if (sack !== undefined && this.sackPermitted) {
      isDsack = this.isDuplicateReport(sack, ack);
      if (isDsack) this.rack.onDuplicate(ack, this.progress.next);
      delivered += this.readSacks(sack, isDsack ? 1 : 0, ack);
    }
    this.measure(advanced, tsNow, ack);
    if (advanced) {
      this.undoIfSpurious(wasAt);
      this.duplicateBytes = Math.max(0, this.duplicateBytes - Math.max(0, ack - wasAt - this.progress.segmentSize));
    }
    this.endTailProbe(ack, isDsack, duplicate && sack === undefined);
    if (this.phase !== 'open' && ack >= this.recoverPoint) this.end();
    if (!this.sackPermitted) delivered += this.countDuplicates(advanced, duplicate, ack);
    const lostMore = this.findLosses(now);
    if (this.phase === 'recovery') {
      const safe = advanced && !lostMore;
      this.cubic.window = this.reduction.windowAfter(delivered, this.pipe, safe, this.progress.segmentSize);
    } else if (advanced) {
      this.cubic.onAck(ack - wasAt, now, this.times.smoothed ?? 0, this.phase === 'loss' || limited);
    }
  }

  /** Asks RACK; true when more is lost than before. */
  findLosses(now: number): boolean {
    const before = this.board.pipe;
    this.reorderWait = this.sackPermitted ? this.rack.detect(now, this.phase !== 'open') : 0;
    if (this.board.hasLost && this.phase === 'open') this.start();
    return this.board.pipe < before;
  }

  /** The retransmission timer ran out on `head` (RFC 6298 §5, RFC 8985 §6.3). */
  onTimeout(head: SentSegment, now: number): void {
    if (head.state === SACKED) this.board.forgetSacks();
    if (this.phase === 'open') {
      this.remember();
      this.cubic.onLoss();
    }
    this.phase = 'loss';
    this.recoverPoint = this.progress.next;
    this.cubic.onTimeout();
    this.duplicateAcks = 0;
    this.duplicateBytes = 0;
    this.tailProbe = undefined;
    this.reorderWait = 0;
    if (this.sackPermitted) this.rack.markOverdue(now);
    else this.board.markAllLost();
    this.force = true;
  }

  /** A segment that was sent before goes out again. */
  onResent(segment: SentSegment, now: number, timestamp: number): void {
    if (segment.state === LOST && this.undo !== undefined) this.undo.timestamp ??= timestamp;
    this.board.resent(segment, now, timestamp);
    this.onSent(segment.end - segment.start);
  }

  onSent(bytes: number): void {
    if (this.phase === 'recovery') this.reduction.onSent(bytes);
  }

  /** The head is to be sent again, at once. */
  resendHead(): void {
    const head = this.board.head;
    if (head !== undefined) this.board.markLost(head);
    this.force = true;
  }

  /** A tail loss probe is called for (RFC 8985 §7.2): all is well as far as we know, and none is on its way. */
  get mayProbeTail(): boolean {
    return this.sackPermitted && this.phase === 'open' && this.tailProbe === undefined && this.board.sackedCount === 0;
  }

  /** `end`: SND.NXT after a probe of new data, before one that was a retransmission. */
  onTailProbe(end: number, retransmitted: boolean): void {
    this.tailProbe = { end, retransmitted };
  }

  private onDelivered(segment: SentSegment): void {
    this.rack.onDelivered(segment, this.now, this.echo);
    if (segment.retransmitted) {
      const { timestamp } = segment;
      if (this.resentAt === undefined || wireDistance(timestamp, this.resentAt) > 0) this.resentAt = timestamp;
    } else if (segment.sentAt > this.sampleSentAt) this.sampleSentAt = segment.sentAt;
  }

  /** RFC 6298 §3 (Karn), RFC 7323 §4.1: by our own clock where one transmission is meant, else by the echo. */
  private measure(advanced: boolean, tsNow: number, ack: number): void {
    let ms: number | undefined;
    if (this.sampleSentAt > -Infinity && this.resentAt === undefined) ms = this.now - this.sampleSentAt;
    else if (advanced && this.echo !== undefined && wireDistance(this.echo, this.resentAt ?? this.echo) >= 0) {
      const elapsed = wireDistance(tsNow, this.echo);
      if (elapsed >= 0 && elapsed < OLDEST_ECHO_MS) ms = Math.max(elapsed, 1);
    }
    if (ms === undefined) return;
    this.times.sample(ms, this.now);
    this.cubic.onRoundTrip(ms, ack, this.progress.next);
  }

  /** RFC 2883 §4: the first block lies below the cumulative ACK, or inside the second. */
  private isDuplicateReport(sack: readonly SackBlock[], ack: number): boolean {
    const first = sack[0];
    if (first === undefined) return false;
    const left = this.space.toPosition(first[0], ack);
    const right = this.space.toPosition(first[1], ack);
    if (right <= ack) return left < right && left > ack - Math.max(this.progress.maxWindow, this.progress.segmentSize);
    const second = sack[1];
    if (second === undefined) return false;
    return left >= this.space.toPosition(second[0], ack) && right <= this.space.toPosition(second[1], ack);
  }

  private readSacks(sack: readonly SackBlock[], from: number, ack: number): number {
    let delivered = 0;
    for (let index = from; index < sack.length; index++) {
      const left = this.space.toPosition(sack[index]![0], ack);
      const right = this.space.toPosition(sack[index]![1], ack);
      // Blocks outside of what is in flight are nonsense or old.
      if (left < right && left > ack && right <= this.progress.next) delivered += this.board.sack(left, right);
    }
    return delivered;
  }

  /** RFC 6582, with the window of {@link RateReduction}: for peers that do not speak SACK. */
  private countDuplicates(advanced: boolean, duplicate: boolean, ack: number): number {
    if (advanced) {
      this.duplicateAcks = 0;
      // A partial ACK (§3.2): the next one is missing too, and goes out at once.
      if (this.phase === 'recovery') this.resendHead();
      return 0;
    }
    if (!duplicate || this.board.empty) return 0;
    const size = this.progress.segmentSize;
    this.duplicateAcks++;
    this.duplicateBytes = Math.min(this.board.pipe, this.duplicateBytes + size);
    if (this.duplicateAcks === DUPLICATE_ACKS && this.phase === 'open' && ack > this.recoverPoint) {
      this.board.markLost(this.board.head!);
    }
    return size;
  }

  private start(): void {
    this.remember();
    this.phase = 'recovery';
    this.recoverPoint = this.progress.next;
    this.tailProbe = undefined;
    this.cubic.onLoss();
    this.reduction.start(this.progress.next - this.progress.una, this.cubic.threshold);
  }

  private end(): void {
    if (this.phase === 'recovery') this.cubic.window = this.cubic.threshold;
    this.phase = 'open';
    this.undo = undefined;
    this.duplicateAcks = 0;
    this.duplicateBytes = 0;
    this.rack.onRecoveryEnd();
  }

  private remember(): void {
    this.undo = { memory: this.cubic.remember(), start: this.progress.una, timestamp: undefined };
  }

  /** Eifel (RFC 3522, 4015): the first ACK that moves on answers the original, not the retransmission. */
  private undoIfSpurious(wasAt: number): void {
    const undo = this.undo;
    if (undo === undefined || undo.timestamp === undefined || wasAt !== undo.start) return;
    this.undo = undefined;
    if (this.echo === undefined || wireDistance(this.echo, undo.timestamp) >= 0) return;
    this.cubic.restore(undo.memory);
    this.board.unmarkLost();
    this.phase = 'open';
  }

  /** RFC 8985 §7.4: had the tail been lost, the window must shrink as for any other loss. */
  private endTailProbe(ack: number, isDsack: boolean, plainDuplicate: boolean): void {
    const probe = this.tailProbe;
    if (probe === undefined || ack < probe.end) return;
    if (!probe.retransmitted || isDsack || plainDuplicate) {
      this.tailProbe = undefined;
    } else if (ack > probe.end) {
      this.tailProbe = undefined;
      if (this.phase !== 'open') return;
      this.cubic.onLoss();
      this.cubic.window = this.cubic.threshold;
    }
  }
}
