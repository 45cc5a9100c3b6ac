import type { SackBlock } from '../wire/segment.js';
import { Cubic, type CubicMemory } from './cubic.js';
import type { TcpLimits } from './limits.js';
import { Pacer } from './pacing.js';
import { Rack } from './rack.js';
import { RateReduction } from './recovery.js';
import { RoundTrip } from './round-trip.js';
import { LOST, SACKED, Scoreboard, type SentSegment } from './scoreboard.js';
import { SendQueue } from './send-queue.js';
import { SendTimers } from './send-timers.js';
import { wireDistance, type SequenceSpace } from './sequence.js';

/** RFC 5681 §3.2, for peers without SACK. */
const DUPLICATE_ACKS = 3;
/** Payload sizes tried one after the other when full segments vanish (RFC 4821 §7.7: a black hole is guessed, not told). */
const BLACK_HOLE_STEPS = [1_024, 512];
/** RFC 5961 §5 and kernels: before the head counts as reneged the peer gets this long to say otherwise. */
const RENEGE_GRACE_MS = 10;

/** How a segment gets onto the wire; the connection adds ports, ACK, window and options. */
export interface SegmentSink {
  /** Sends `length` bytes of data from `start`, and the FIN. Returns the timestamp option it bore. */
  sendData(start: number, length: number, fin: boolean, push: boolean): number;
  /** An empty segment before the window: the peer must answer it with an ACK (zero-window probe). */
  sendProbe(): void;
}

/** open: nothing is missing. recovery: losses are mended (RFC 6675, 6582). loss: the retransmission timer ran out. */
type Phase = 'open' | 'recovery' | 'loss';

interface Undo {
  memory: CubicMemory;
  /** SND.UNA when it began, and the timestamp of the first retransmission. */
  start: number;
  timestamp: number | undefined;
}

/** The sending half: what may go out when. Positions as in {@link SequenceSpace}; the SYN (position 0) is the handshake's. */
export class Sender {
  readonly queue = new SendQueue();
  readonly timers: SendTimers;
  readonly times: RoundTrip;
  readonly cubic: Cubic;
  /** SND.UNA, SND.NXT, SND.WND (bytes) and the largest window the peer ever offered. */
  una = 1;
  next = 1;
  window = 0;
  maxWindow = 0;
  /** Position of the FIN once `end` was called. */
  finAt: number | undefined;
  retransmissions = 0;
  private payloadMax: number;
  private sackPermitted = false;
  private phase: Phase = 'open';
  private recoverPoint = 0;
  private undo: Undo | undefined;
  /** The next retransmission goes out whatever the window says. */
  private force = false;
  private duplicateAcks = 0;
  /** Without SACK: what duplicate ACKs say has left the network. */
  private duplicateBytes = 0;
  /** What was sent before this was held back by the congestion window. */
  private limitedUntil = 0;
  private maxPipe = 0;
  private maxPipeUntil = 0;
  private lastSentAt = -Infinity;
  private tailProbe: { end: number; retransmitted: boolean } | undefined;
  // Of the ACK at hand.
  private now = 0;
  private echo: number | undefined;
  private sampleSentAt = -Infinity;
  /** A retransmission was answered: how long the others lay there before is anyone's guess. */
  private sampleSpoilt = false;
  private readonly board: Scoreboard;
  private readonly rack: Rack;
  private readonly reduction = new RateReduction();
  private readonly pacer: Pacer;
  private readonly space: SequenceSpace;
  private readonly limits: TcpLimits;
  private readonly sink: SegmentSink;

  constructor(space: SequenceSpace, payloadMax: number, limits: TcpLimits, sink: SegmentSink) {
    this.space = space;
    this.payloadMax = payloadMax;
    this.limits = limits;
    this.sink = sink;
    this.times = new RoundTrip(limits);
    this.timers = new SendTimers(limits);
    this.cubic = new Cubic(payloadMax);
    this.pacer = new Pacer(limits.burstSegments * payloadMax);
    this.board = new Scoreboard((segment) => this.onDelivered(segment));
    this.rack = new Rack(() => this.board, this.times);
  }

  /** The handshake is over. */
  open(o: { payloadMax: number; window: number; sackPermitted: boolean; synLost: boolean }): void {
    this.setPayloadMax(o.payloadMax);
    this.cubic.window = this.cubic.initialWindow();
    if (o.synLost) this.cubic.startSmall();
    this.sackPermitted = o.sackPermitted;
    this.setWindow(o.window);
  }

  setPayloadMax(bytes: number): void {
    this.payloadMax = bytes;
    this.cubic.setMss(bytes);
    this.pacer.setBurst(this.limits.burstSegments * bytes);
  }

  get segmentSize(): number {
    return this.payloadMax;
  }

  /** All that was written is acknowledged, the FIN too. */
  get allAcknowledged(): boolean {
    return this.finAt !== undefined && this.una > this.finAt;
  }

  get outstanding(): boolean {
    return this.next > this.una;
  }

  /** Bytes written and not yet sent for the first time. */
  get unsent(): number {
    return Math.max(0, this.queue.end - this.next);
  }

  /** Bytes written and not yet acknowledged. */
  get held(): number {
    return this.queue.end - this.queue.start;
  }

  /** Above this `write` says false: twice the window, so that the next round trip's data is at hand. */
  get highWater(): number {
    return Math.min(Math.max(2 * this.cubic.window, this.limits.minSendBuffer), this.limits.maxSendBuffer);
  }

  end(): void {
    this.finAt ??= this.queue.end;
  }

  setWindow(bytes: number): void {
    if (bytes > 0 && this.window === 0 && this.timers.timeouts > 0) {
      // Retransmissions ran into a closed window: what they say of the path counts no more.
      this.times.forgetBackoff();
      const head = this.board.head;
      if (head !== undefined) this.board.markLost(head);
      this.force = true;
    }
    this.window = bytes;
    this.maxWindow = Math.max(this.maxWindow, bytes);
    if (bytes === 0) return;
    this.timers.persistBackoff = 0;
    if (!this.outstanding) {
      this.timers.persistAt = Infinity;
      this.timers.stalledSince = Infinity;
    }
  }

  /**
   * An acceptable ACK (SND.UNA ≤ `ack` ≤ SND.NXT). `duplicate`: as RFC 5681 §2 defines it. `echo`: TSecr; `sack`: as
   * on the wire. The window must have been set before.
   */
  onAck(
    ack: number,
    sack: readonly SackBlock[] | undefined,
    echo: number | undefined,
    tsNow: number,
    duplicate: boolean,
    now: number,
  ): void {
    const wasAt = this.una;
    const advanced = ack > wasAt;
    this.now = now;
    this.echo = echo;
    this.sampleSentAt = -Infinity;
    this.sampleSpoilt = false;
    let delivered = 0;
    if (advanced) {
      delivered = this.board.acknowledge(ack);
      this.una = ack;
      this.queue.release(Math.min(ack, this.queue.end));
    }
    let isDsack = false;
    if (sack !== undefined && this.sackPermitted) {
      isDsack = this.isDuplicateReport(sack);
      if (isDsack) this.rack.onDuplicate(ack, this.next);
      delivered += this.readSacks(sack, isDsack ? 1 : 0);
    }
    this.measure(advanced, tsNow);
    if (advanced) {
      this.timers.timeouts = 0;
      this.undoIfSpurious(wasAt);
      this.duplicateBytes = Math.max(0, this.duplicateBytes - Math.max(0, ack - wasAt - this.payloadMax));
    }
    this.endTailProbe(ack, isDsack, duplicate && sack === undefined);
    if (this.phase !== 'open' && ack >= this.recoverPoint) this.endRecovery();
    if (!this.sackPermitted) delivered += this.countDuplicates(advanced, duplicate);
    const lostMore = this.findLosses(now);
    if (this.phase === 'recovery') {
      this.cubic.window = this.reduction.windowAfter(delivered, this.pipe, advanced && !lostMore, this.payloadMax);
    } else if (advanced) {
      this.cubic.onAck(ack - wasAt, now, this.times.smoothed ?? 0, this.phase === 'loss' || this.wasLimited(wasAt));
    }
    if (advanced || this.window === 0)
      this.timers.stalledSince = this.outstanding || this.window === 0 ? now : Infinity;
    this.rearm(advanced, now);
  }

  /** Sends what window, congestion window and pacer allow: first what is lost, then what is new. */
  flush(now: number): void {
    this.timers.paceAt = Infinity;
    if (!this.board.hasLost && this.next > this.lastPosition) return;
    if (!this.outstanding && this.lastSentAt > -Infinity && now - this.lastSentAt > this.times.unbackedTimeout) {
      this.cubic.restart();
    }
    this.pacer.refill(now, this.cubic.window, this.times.smoothed, this.cubic.slowStart);
    let sentNew = false;
    for (;;) {
      const lost = this.board.nextLost();
      if (lost === undefined && this.next > this.lastPosition) break;
      if (!this.pacer.open && !this.force) {
        this.timers.paceAt = this.pacer.readyAt();
        break;
      }
      if (lost !== undefined) {
        if (!this.resend(lost, now)) break;
      } else {
        if (!this.sendNew(now)) break;
        sentNew = true;
      }
    }
    this.force = false;
    this.notePipe();
    if (this.outstanding) {
      this.timers.persistAt = Infinity;
      if (this.timers.rtoAt === Infinity) this.timers.armRto(now, this.times);
      if (sentNew) this.armTailProbe(now);
    } else if (this.next <= this.lastPosition && this.timers.paceAt === Infinity) {
      this.timers.armPersist(now, this.times);
    }
  }

  /** Does what is due; {@link flush} must follow. */
  onTimer(now: number): void {
    const timers = this.timers;
    if (now >= timers.paceAt) timers.paceAt = Infinity;
    if (now >= timers.reorderAt) {
      timers.reorderAt = Infinity;
      this.findLosses(now);
      if (this.board.hasLost) timers.armRto(now, this.times);
    }
    // The probe first: where both are due, it stands in for the timeout (RFC 8985 §7.2).
    if (now >= timers.tailAt) this.probeTail(now);
    else if (now >= timers.rtoAt) this.onTimeout(now);
    if (now >= timers.persistAt) this.probeWindow(now);
  }

  /** Nothing is sent any more. */
  discard(): void {
    this.queue.discard();
    this.timers.clear();
  }

  /** The path takes less than we thought: what is too long is cut when it is sent again. */
  shrink(payloadMax: number, now: number): void {
    if (payloadMax >= this.payloadMax) return;
    this.setPayloadMax(payloadMax);
    const head = this.board.head;
    if (head === undefined || head.end - head.start <= payloadMax) return;
    this.board.markLost(head);
    this.force = true;
    this.timers.armRto(now, this.times);
  }

  /** Sequence numbers in flight: what an ICMP message may quote. */
  covers(position: number): boolean {
    return position >= this.una && position < this.next;
  }

  /** One after the last sequence number there is to send, less one: `next` beyond it means all is sent. */
  private get lastPosition(): number {
    return this.finAt ?? this.queue.end - 1;
  }

  private get pipe(): number {
    return Math.max(0, this.board.pipe - this.duplicateBytes);
  }

  private onDelivered(segment: SentSegment): void {
    this.rack.onDelivered(segment, this.now, this.echo);
    if (segment.retransmitted) this.sampleSpoilt = true;
    else if (segment.sentAt > this.sampleSentAt) this.sampleSentAt = segment.sentAt;
  }

  /** RFC 6298 §3 (Karn), RFC 7323 §4.1: by our own clock where one transmission is meant, else by the echo. */
  private measure(advanced: boolean, tsNow: number): void {
    let ms: number | undefined;
    if (this.sampleSentAt > -Infinity && !this.sampleSpoilt) ms = this.now - this.sampleSentAt;
    else if (advanced && this.echo !== undefined) {
      const elapsed = wireDistance(tsNow, this.echo);
      if (elapsed >= 0 && elapsed < this.limits.giveUpMs) ms = Math.max(elapsed, 1);
    }
    if (ms !== undefined) {
      this.times.sample(ms, this.now);
      this.cubic.onRoundTrip(ms, this.una, this.next);
    }
  }

  /** RFC 2883 §4: the first block lies below the cumulative ACK, or inside the second. */
  private isDuplicateReport(sack: readonly SackBlock[]): boolean {
    const first = sack[0];
    if (first === undefined) return false;
    const left = this.space.toPosition(first[0], this.una);
    const right = this.space.toPosition(first[1], this.una);
    if (right <= this.una) return left < right && left > this.una - Math.max(this.maxWindow, this.payloadMax);
    const second = sack[1];
    if (second === undefined) return false;
    return left >= this.space.toPosition(second[0], this.una) && right <= this.space.toPosition(second[1], this.una);
  }

  private readSacks(sack: readonly SackBlock[], from: number): number {
    let delivered = 0;
    for (let index = from; index < sack.length; index++) {
      const left = this.space.toPosition(sack[index]![0], this.una);
      const right = this.space.toPosition(sack[index]![1], this.una);
      // Blocks outside of what is in flight are nonsense or old.
      if (left < right && left > this.una && right <= this.next) delivered += this.board.sack(left, right);
    }
    return delivered;
  }

  /** RFC 6582, with the window of {@link RateReduction}: for peers that do not speak SACK. */
  private countDuplicates(advanced: boolean, duplicate: boolean): number {
    if (advanced) {
      this.duplicateAcks = 0;
      if (this.phase === 'recovery' && this.board.head !== undefined) {
        // A partial ACK (RFC 6582 §3.2): the next one is missing too, and goes out at once.
        this.board.markLost(this.board.head);
        this.force = true;
      }
      return 0;
    }
    if (!duplicate || this.board.empty) return 0;
    this.duplicateAcks++;
    this.duplicateBytes = Math.min(this.board.pipe, this.duplicateBytes + this.payloadMax);
    if (this.duplicateAcks === DUPLICATE_ACKS && this.phase === 'open' && this.una > this.recoverPoint) {
      this.board.markLost(this.board.head!);
    }
    return this.payloadMax;
  }

  /** True when more is lost than before. */
  private findLosses(now: number): boolean {
    const pipeBefore = this.board.pipe;
    if (this.sackPermitted) {
      const wait = this.rack.detect(now, this.phase !== 'open');
      this.timers.reorderAt = wait > 0 ? now + wait : Infinity;
    }
    if (this.board.hasLost && this.phase === 'open') this.startRecovery();
    return this.board.pipe < pipeBefore;
  }

  private startRecovery(): void {
    this.remember();
    this.phase = 'recovery';
    this.recoverPoint = this.next;
    this.cubic.onLoss();
    this.reduction.start(this.next - this.una, this.cubic.threshold);
    this.timers.tailAt = Infinity;
    this.tailProbe = undefined;
  }

  private endRecovery(): void {
    if (this.phase === 'recovery') this.cubic.window = this.cubic.threshold;
    this.phase = 'open';
    this.undo = undefined;
    this.duplicateAcks = 0;
    this.duplicateBytes = 0;
    this.rack.onRecoveryEnd();
  }

  private onTimeout(now: number): void {
    const head = this.board.head;
    if (head === undefined) {
      this.timers.rtoAt = Infinity;
      return;
    }
    if (head.state === SACKED) this.board.forgetSacks();
    if (this.phase === 'open') {
      this.remember();
      this.cubic.onLoss();
    }
    this.phase = 'loss';
    this.recoverPoint = this.next;
    this.cubic.onTimeout();
    this.duplicateAcks = 0;
    this.duplicateBytes = 0;
    this.tailProbe = undefined;
    if (this.sackPermitted) this.rack.markOverdue(now);
    else
      for (let segment = this.board.oldest; segment !== undefined; segment = this.board.oldest)
        this.board.markLost(segment);
    this.force = true;
    this.timers.timeouts++;
    this.times.backOff();
    this.timers.armRto(now, this.times);
    this.timers.reorderAt = Infinity;
    if (this.timers.timeouts >= this.limits.blackHoleTimeouts && this.window > 0) this.suspectBlackHole(head);
  }

  private suspectBlackHole(head: SentSegment): void {
    const size = head.end - head.start;
    const smaller = BLACK_HOLE_STEPS.find((step) => step < size && step < this.payloadMax);
    if (smaller === undefined || size < this.payloadMax) return;
    this.setPayloadMax(smaller);
    this.timers.timeouts = 0;
  }

  private remember(): void {
    this.undo = { memory: this.cubic.remember(), start: this.una, timestamp: undefined };
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

  private rearm(advanced: boolean, now: number): void {
    if (!this.outstanding) {
      this.timers.clear();
      return;
    }
    if (advanced) {
      this.timers.armRto(now, this.times);
      this.armTailProbe(now);
    }
    if (this.board.head?.state === SACKED) {
      // A cumulative ACK that stops before what was SACKed: the peer has thrown that away.
      const grace = Math.max((this.times.smoothed ?? 0) / 2, RENEGE_GRACE_MS);
      this.timers.rtoAt = Math.min(this.timers.rtoAt, now + grace);
    }
  }

  private armTailProbe(now: number): void {
    if (!this.sackPermitted || this.phase !== 'open' || this.tailProbe !== undefined || this.board.sackedCount > 0) {
      this.timers.tailAt = Infinity;
      return;
    }
    this.timers.armTail(now, this.times, this.board.head === this.board.last);
  }

  /** TLP (RFC 8985 §7.3): something at the end, so that the ACK tells what is missing before the RTO does. */
  private probeTail(now: number): void {
    this.timers.tailAt = Infinity;
    const last = this.board.last;
    if (last === undefined || this.phase !== 'open') return;
    const before = this.next;
    this.force = true;
    if (this.next <= this.lastPosition && this.sendNew(now)) {
      this.tailProbe = { end: this.next, retransmitted: false };
    } else if (last.state !== SACKED) {
      this.transmitAgain(last, now);
      this.tailProbe = { end: before, retransmitted: true };
    }
    this.force = false;
    this.timers.armRto(now, this.times);
  }

  /** §7.4: had the tail been lost, the window must shrink as for any other loss. */
  private endTailProbe(ack: number, isDsack: boolean, plainDuplicate: boolean): void {
    const probe = this.tailProbe;
    if (probe === undefined || ack < probe.end) return;
    if (!probe.retransmitted || isDsack || plainDuplicate) {
      this.tailProbe = undefined;
    } else if (ack > probe.end) {
      this.tailProbe = undefined;
      if (this.phase === 'open') {
        this.cubic.onLoss();
        this.cubic.window = this.cubic.threshold;
      }
    }
  }

  /** Nothing in flight and the window is shut, or too small for a whole segment (RFC 9293 §3.8.6.1, §3.8.6.2.1). */
  private probeWindow(now: number): void {
    this.timers.persistAt = Infinity;
    if (this.outstanding || this.next > this.lastPosition) return;
    this.timers.persistBackoff++;
    this.timers.stalledSince = Math.min(this.timers.stalledSince, now);
    this.force = true;
    if (this.window > 0 && this.sendNew(now)) this.timers.armRto(now, this.times);
    else {
      this.sink.sendProbe();
      this.timers.armPersist(now, this.times);
    }
    this.force = false;
  }

  private resend(lost: SentSegment, now: number): boolean {
    if (lost.start >= this.una + this.window && lost.start !== this.una) return false;
    if (lost.end - lost.start > this.payloadMax + (lost.fin ? 1 : 0)) this.board.split(lost, this.payloadMax);
    const size = lost.end - lost.start;
    if (!this.force && this.pipe > 0 && this.pipe + size > this.cubic.window) {
      this.limitedUntil = this.next;
      return false;
    }
    this.force = false;
    this.transmitAgain(lost, now);
    return true;
  }

  private transmitAgain(segment: SentSegment, now: number): void {
    const length = segment.end - segment.start - (segment.fin ? 1 : 0);
    const timestamp = this.sink.sendData(
      segment.start,
      length,
      segment.fin,
      length > 0 && segment.end > this.lastPosition,
    );
    const wasLost = segment.state === LOST;
    this.board.resent(segment, now, timestamp);
    if (wasLost && this.undo !== undefined) this.undo.timestamp ??= timestamp;
    this.retransmissions++;
    this.spent(segment.end - segment.start, now);
  }

  private sendNew(now: number): boolean {
    const available = this.queue.end - this.next;
    const usable = this.una + this.window - this.next;
    if (usable <= 0) return false;
    const length = Math.max(0, Math.min(available, this.payloadMax, usable));
    // Silly windows (RFC 1122 §4.2.3.4): a piece only when it is all there is, half of the peer's buffer, or overdue.
    if (length < this.payloadMax && length < available && length < this.maxWindow / 2 && !this.force) return false;
    const fin = this.finAt !== undefined && length === available && usable > length;
    if (length === 0 && !fin) return false;
    const size = length + (fin ? 1 : 0);
    if (!this.force && this.pipe > 0 && this.pipe + size > this.cubic.window) {
      this.limitedUntil = this.next;
      return false;
    }
    const start = this.next;
    const timestamp = this.sink.sendData(start, length, fin, length > 0 && length === available);
    if (!this.outstanding) this.timers.stalledSince = Math.min(this.timers.stalledSince, now);
    this.next = start + size;
    this.board.add(start, this.next, fin, now, timestamp);
    this.spent(size, now);
    return true;
  }

  private spent(bytes: number, now: number): void {
    this.lastSentAt = now;
    this.pacer.spend(bytes);
    if (this.phase === 'recovery') this.reduction.onSent(bytes);
  }

  /** RFC 7661: the window grows only while it is used. The fullest pipe of each round trip is what counts. */
  private notePipe(): void {
    if (this.una >= this.maxPipeUntil) {
      this.maxPipeUntil = this.next;
      this.maxPipe = 0;
    }
    this.maxPipe = Math.max(this.maxPipe, this.pipe);
  }

  private wasLimited(at: number): boolean {
    return at < this.limitedUntil || (this.cubic.slowStart && this.cubic.window < 2 * this.maxPipe);
  }
}
