import { Cubic } from './cubic.js';
import type { TcpLimits } from './limits.js';
import { LossRecovery, type Acknowledgment, type SendProgress } from './loss-recovery.js';
import { Pacer } from './pacing.js';
import { RoundTrip } from './round-trip.js';
import { SACKED, type SentSegment } from './scoreboard.js';
import { SendQueue } from './send-queue.js';
import { SendTimers } from './send-timers.js';
import type { SequenceSpace } from './sequence.js';
import { WindowUse } from './window-use.js';

/** Payload sizes tried one after the other when full segments vanish (RFC 4821 §7.7: a black hole is guessed, not told). */
const BLACK_HOLE_STEPS = [1_024, 512];
/** Before the head counts as reneged the peer gets at least this long to say otherwise, as kernels have it. */
const RENEGE_GRACE_MS = 10;

/** How a segment gets onto the wire; the connection adds ports, ACK, window and options. */
export interface SegmentSink {
  /** Sends `length` bytes of data from `start`, and the FIN. Returns the timestamp option it bore. */
  sendData(start: number, length: number, fin: boolean, push: boolean): number;
  /** An empty segment before the window: the peer must answer it with an ACK (zero-window probe). */
  sendProbe(): void;
}

/**
 * The sending half: what may go out when. Positions as in {@link SequenceSpace}; the SYN (position 0) is the
 * handshake's.
 */
export class Sender implements SendProgress {
  readonly queue = new SendQueue();
  readonly timers: SendTimers;
  readonly times: RoundTrip;
  readonly cubic: Cubic;
  /** SND.UNA, SND.NXT, SND.WND (bytes) and the largest window the peer ever offered. */
  una = 1;
  next = 1;
  window = 0;
  maxWindow = 0;
  /** Payload of a full segment. */
  segmentSize: number;
  /** Position of the FIN once `end` was called. */
  finAt: number | undefined;
  retransmissions = 0;
  private lastSentAt = -Infinity;
  private readonly recovery: LossRecovery;
  private readonly use = new WindowUse();
  private readonly pacer: Pacer;
  private readonly limits: TcpLimits;
  private readonly sink: SegmentSink;

  constructor(space: SequenceSpace, segmentSize: number, limits: TcpLimits, sink: SegmentSink) {
    this.segmentSize = segmentSize;
    this.limits = limits;
    this.sink = sink;
    this.times = new RoundTrip(limits);
    this.timers = new SendTimers(limits);
    this.cubic = new Cubic(segmentSize);
    this.pacer = new Pacer(limits.burstSegments * segmentSize);
    this.recovery = new LossRecovery(this, space, this.cubic, this.times);
  }

  /** The handshake is over. */
  open(o: { segmentSize: number; window: number; sackPermitted: boolean; synLost: boolean }): void {
    this.setSegmentSize(o.segmentSize);
    this.cubic.window = this.cubic.initialWindow();
    if (o.synLost) this.cubic.startSmall();
    this.recovery.sackPermitted = o.sackPermitted;
    this.setWindow(o.window);
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
      this.recovery.resendHead();
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

  /** The window must have been set before. */
  onAck(acknowledgment: Acknowledgment, now: number): void {
    const { ack } = acknowledgment;
    const wasAt = this.una;
    const advanced = ack > wasAt;
    const limited = this.use.isLimited(wasAt, this.cubic.window, this.cubic.slowStart);
    this.una = ack;
    this.recovery.onAck(acknowledgment, wasAt, limited, now);
    if (advanced) {
      this.timers.timeouts = 0;
      this.queue.release(Math.min(ack, this.queue.end));
    }
    this.rearm(advanced, now);
  }

  /** Sends what window, congestion window and pacer allow: first what is lost, then what is new. */
  flush(now: number): void {
    const { recovery, timers } = this;
    timers.paceAt = Infinity;
    if (!recovery.board.hasLost && this.allSent) return;
    if (!this.outstanding && this.lastSentAt > -Infinity && now - this.lastSentAt > this.times.unbackedTimeout) {
      this.cubic.restart();
    }
    this.pacer.refill(now, this.cubic.window, this.times.smoothed, this.cubic.slowStart);
    let sentNew = false;
    for (;;) {
      const lost = recovery.board.nextLost();
      if (lost === undefined && this.allSent) break;
      if (!this.pacer.open && !recovery.force) {
        timers.paceAt = this.pacer.readyAt();
        break;
      }
      if (lost === undefined ? !this.sendNew(now) : !this.resend(lost, now)) break;
      if (lost === undefined) sentNew = true;
    }
    recovery.force = false;
    this.use.onSent(this.una, this.next, recovery.pipe);
    if (this.outstanding) {
      timers.persistAt = Infinity;
      if (timers.rtoAt === Infinity) timers.armRto(now, this.times);
      if (sentNew) this.armTailProbe(now);
    } else if (!this.allSent && timers.paceAt === Infinity) {
      timers.armPersist(now, this.times);
    }
  }

  /** Does what is due; {@link flush} must follow. */
  onTimer(now: number): void {
    const { timers } = this;
    if (now >= timers.paceAt) timers.paceAt = Infinity;
    if (now >= timers.reorderAt) {
      this.recovery.findLosses(now);
      timers.armReorder(now, this.recovery.reorderWait);
      if (!this.recovery.isOpen) timers.tailAt = Infinity;
      if (this.recovery.board.hasLost) timers.armRto(now, this.times);
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
  shrink(segmentSize: number, now: number): void {
    if (segmentSize >= this.segmentSize) return;
    this.setSegmentSize(segmentSize);
    const head = this.recovery.board.head;
    if (head === undefined || head.end - head.start <= segmentSize) return;
    this.recovery.resendHead();
    this.timers.armRto(now, this.times);
  }

  /** Sequence numbers in flight: what an ICMP message may quote. */
  covers(position: number): boolean {
    return position >= this.una && position < this.next;
  }

  private get allSent(): boolean {
    return this.next > (this.finAt ?? this.queue.end - 1);
  }

  private setSegmentSize(bytes: number): void {
    this.segmentSize = bytes;
    this.cubic.setMss(bytes);
    this.pacer.setBurst(this.limits.burstSegments * bytes);
  }

  private onTimeout(now: number): void {
    const head = this.recovery.board.head;
    if (head === undefined) {
      this.timers.rtoAt = Infinity;
      return;
    }
    this.recovery.onTimeout(head, now);
    this.timers.timeouts++;
    this.times.backOff();
    this.timers.armRto(now, this.times);
    this.timers.tailAt = Infinity;
    this.timers.reorderAt = Infinity;
    // Into a shut window retransmissions go in vain; that is no black hole.
    if (this.timers.timeouts >= this.limits.blackHoleTimeouts && this.window > 0) this.suspectBlackHole(head);
  }

  private suspectBlackHole(head: SentSegment): void {
    const size = head.end - head.start;
    const smaller = BLACK_HOLE_STEPS.find((step) => step < size && step < this.segmentSize);
    if (smaller === undefined || size < this.segmentSize) return;
    this.setSegmentSize(smaller);
    this.timers.timeouts = 0;
  }

  private rearm(advanced: boolean, now: number): void {
    const { timers } = this;
    if (advanced || this.window === 0) timers.stalledSince = this.outstanding || this.window === 0 ? now : Infinity;
    if (!this.outstanding) {
      const { stalledSince } = timers;
      timers.clear();
      // A shut window with more to send: the probes have their own patience.
      if (!this.allSent && this.window === 0) timers.stalledSince = stalledSince;
      return;
    }
    timers.armReorder(now, this.recovery.reorderWait);
    if (advanced) {
      timers.armRto(now, this.times);
      this.armTailProbe(now);
    } else if (!this.recovery.isOpen) timers.tailAt = Infinity;
    if (this.recovery.board.head?.state === SACKED) {
      // A cumulative ACK that stops before what was SACKed: the peer has thrown that away.
      const grace = Math.max((this.times.smoothed ?? 0) / 2, RENEGE_GRACE_MS);
      timers.rtoAt = Math.min(timers.rtoAt, now + grace);
    }
  }

  private armTailProbe(now: number): void {
    const { board, mayProbeTail } = this.recovery;
    if (mayProbeTail) this.timers.armTail(now, this.times, board.head === board.last);
    else this.timers.tailAt = Infinity;
  }

  /** TLP (RFC 8985 §7.3): something at the end, so that the ACK tells what is missing before the RTO does. */
  private probeTail(now: number): void {
    const { recovery } = this;
    this.timers.tailAt = Infinity;
    const last = recovery.board.last;
    if (last === undefined || !recovery.mayProbeTail) return;
    const before = this.next;
    recovery.force = true;
    if (!this.allSent && this.sendNew(now)) recovery.onTailProbe(this.next, false);
    else if (last.state !== SACKED) {
      this.transmitAgain(last, now);
      recovery.onTailProbe(before, true);
    }
    recovery.force = false;
    this.timers.armRto(now, this.times);
  }

  /** Nothing in flight and the window is shut, or too small for a whole segment (RFC 9293 §3.8.6.1, §3.8.6.2.1). */
  private probeWindow(now: number): void {
    const { recovery, timers } = this;
    timers.persistAt = Infinity;
    if (this.outstanding || this.allSent) return;
    timers.persistBackoff++;
    timers.stalledSince = Math.min(timers.stalledSince, now);
    recovery.force = true;
    if (this.window > 0 && this.sendNew(now)) timers.armRto(now, this.times);
    else {
      this.sink.sendProbe();
      timers.armPersist(now, this.times);
    }
    recovery.force = false;
  }

  private resend(lost: SentSegment, now: number): boolean {
    const { recovery } = this;
    if (lost.start >= this.una + this.window && lost.start !== this.una) return false;
    if (lost.end - lost.start > this.segmentSize + (lost.fin ? 1 : 0)) recovery.board.split(lost, this.segmentSize);
    else recovery.board.joinLost(lost, Math.min(this.segmentSize, this.una + this.window - lost.start));
    if (!this.hasRoom(lost.end - lost.start)) return false;
    recovery.force = false;
    this.transmitAgain(lost, now);
    return true;
  }

  private transmitAgain(segment: SentSegment, now: number): void {
    const size = segment.end - segment.start;
    const length = size - (segment.fin ? 1 : 0);
    const push = length > 0 && segment.end >= this.queue.end;
    const timestamp = this.sink.sendData(segment.start, length, segment.fin, push);
    this.recovery.onResent(segment, now, timestamp);
    this.retransmissions++;
    this.spent(size, now);
  }

  private sendNew(now: number): boolean {
    const { recovery } = this;
    const available = this.queue.end - this.next;
    const usable = this.una + this.window - this.next;
    if (usable <= 0) return false;
    const length = Math.max(0, Math.min(available, this.segmentSize, usable));
    // Silly windows (RFC 1122 §4.2.3.4): a piece only when it is all there is, half of the peer's buffer, or overdue.
    const isPiece = length < this.segmentSize && length < available;
    if (isPiece && length < this.maxWindow / 2 && !recovery.force) return false;
    const fin = this.finAt !== undefined && length === available && usable > length;
    if (length === 0 && !fin) return false;
    const size = length + (fin ? 1 : 0);
    if (!this.hasRoom(size)) return false;
    const start = this.next;
    const timestamp = this.sink.sendData(start, length, fin, length > 0 && length === available);
    if (!this.outstanding) this.timers.stalledSince = Math.min(this.timers.stalledSince, now);
    this.next = start + size;
    recovery.board.add(start, this.next, fin, now, timestamp);
    recovery.onSent(size);
    this.spent(size, now);
    return true;
  }

  /** One segment may always be in flight, whatever the congestion window. */
  private hasRoom(size: number): boolean {
    const { force, pipe } = this.recovery;
    if (force || pipe === 0 || pipe + size <= this.cubic.window) return true;
    this.use.onHeldBack(this.next);
    return false;
  }

  private spent(bytes: number, now: number): void {
    this.lastSentAt = now;
    this.pacer.spend(bytes);
  }
}
