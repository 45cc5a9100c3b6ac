import type { Clock } from '@coral/model';
import { ACK, FIN, RST, SYN, type Segment } from '../wire/segment.js';
import { ChallengeAcks } from './challenge-acks.js';
import type {
  ActiveOpen,
  ConnectionOptions,
  ConnectionOutput,
  KeepAlive,
  PassiveOpen,
  TcpAddress,
  TcpHandlers,
  TcpState,
} from './flow.js';
import { KeepAliveTimer } from './keep-alive-timer.js';
import { DEFAULT_MSS_IPV4, DEFAULT_MSS_IPV6, defaultLimits, MIN_MSS, type TcpLimits } from './limits.js';
import { Receiver } from './receiver.js';
import { SegmentWriter } from './segment-writer.js';
import { Sender, type SegmentSink } from './sender.js';
import { SequenceSpace, wireDistance } from './sequence.js';
import {
  tcpAborted,
  tcpConnectTimeout,
  tcpRefused,
  tcpReset,
  tcpTimedOut,
  tcpUnreachable,
  writeAfterEnd,
  type TcpError,
} from './tcp.errors.js';
import { Timestamps } from './timestamps.js';

/** RFC 7323 §2.3. */
const MAX_WINDOW_SCALE = 14;
/** RFC 6298 §5.7: the RTO after a handshake in which the SYN had to be sent again and nothing could be measured. */
const RTO_AFTER_LOST_SYN_MS = 3_000;
/** What is acceptable before there are words from the peer. */
const FIRST = 1;

const NO_HANDLERS: TcpHandlers = {};

/**
 * One TCP connection, sans-IO: segments, time and calls go in; segments and events come out. Read RFC 9293 §3.3.2
 * (states), §3.10.7 (segment arrives; {@link receive} follows its order), RFC 5961 (what a blind attacker may not do).
 *
 * ```
 *  connect ─▶ syn_sent ──SYN-ACK──▶ established ◀──ACK── syn_received ◀─ accept
 *                └──────SYN────────────────────────────────▲
 *  established ──end()──▶ fin_wait_1 ─ACK─▶ fin_wait_2 ─FIN─▶ time_wait ─2 MSL─▶ closed
 *       │                     └─FIN─▶ closing ─ACK─────────────▲
 *       └──FIN──▶ close_wait ──end()──▶ last_ack ──ACK──▶ closed
 * ```
 */
export class TcpConnection {
  readonly local: TcpAddress;
  readonly remote: TcpAddress;
  private current: TcpState;
  private handlers: TcpHandlers;
  private readonly acceptor: PassiveOpen['accept'] | undefined;
  private readonly clock: Clock;
  private readonly output: ConnectionOutput;
  private readonly limits: TcpLimits;
  private readonly sendSpace: SequenceSpace;
  private receiveSpace: SequenceSpace;
  private readonly sender: Sender;
  private receiver: Receiver;
  private readonly timestamps: Timestamps;
  private readonly challenges: ChallengeAcks;
  private readonly alive = new KeepAliveTimer();
  private readonly writer: SegmentWriter;
  /** MSS we announced. */
  private readonly ownMss: number;
  private readonly ownScale: number;
  private offered: { scale: boolean; timestamps: boolean; sack: boolean } = {
    scale: true,
    timestamps: true,
    sack: true,
  };
  private sendScale = 0;
  /** Sequence and acknowledgment of the segment the window was last taken from (RFC 9293 §3.10.7.4 "SND.WL1", "SND.WL2"). */
  private windowSeq = 0;
  private windowAck = 0;
  // Handshake.
  private readonly openedAt: number;
  private synAt = Infinity;
  private synTries = 0;
  private synSentAt = 0;
  private timeWaitAt = Infinity;
  // What the application is to hear at the end of the turn.
  private awake = false;
  private tellConnected = false;
  private tellReadable = false;
  private tellWritable = false;
  private wantsRoom = false;
  private toldEnded = false;
  private toldClosed = false;
  private heldBefore = 0;

  /** Active open: the SYN goes out with the next `endOfTurn`. */
  static connect(options: ActiveOpen): TcpConnection {
    const connection = new TcpConnection(options, 'syn_sent', options.handlers, undefined);
    connection.synAt = connection.openedAt;
    connection.wake();
    return connection;
  }

  /** Passive open by a SYN (no ACK, no RST) that a listener wants; the SYN-ACK goes out with the next `endOfTurn`. */
  static accept(options: PassiveOpen, syn: Segment): TcpConnection {
    const connection = new TcpConnection(options, 'syn_received', NO_HANDLERS, options.accept);
    connection.takeSyn(syn, connection.openedAt);
    connection.synAt = connection.openedAt;
    connection.wake();
    return connection;
  }

  private constructor(
    options: ConnectionOptions,
    state: TcpState,
    handlers: TcpHandlers,
    acceptor: PassiveOpen['accept'] | undefined,
  ) {
    this.local = options.local;
    this.remote = options.remote;
    this.current = state;
    this.handlers = handlers;
    this.acceptor = acceptor;
    this.clock = options.clock;
    this.output = options.output;
    this.limits = { ...defaultLimits, ...options.limits };
    this.openedAt = options.clock.monotonic();
    this.ownMss = options.mss;
    this.ownScale = scaleFor(this.limits.maxReceiveBuffer);
    this.sendSpace = new SequenceSpace(options.initialSequence);
    this.receiveSpace = new SequenceSpace(0);
    this.timestamps = new Timestamps(options.timestampOffset);
    this.challenges = new ChallengeAcks(this.limits.challengeAcksPerSecond);
    const sink: SegmentSink = {
      sendData: (start, length, fin, push) => this.writer.data(start, length, fin, push),
      sendProbe: () => this.writer.empty(this.sender.una - 1),
    };
    this.sender = new Sender(this.sendSpace, options.mss, this.limits, sink);
    this.receiver = this.newReceiver();
    this.writer = new SegmentWriter({
      receiver: this.receiver,
      receiveSpace: this.receiveSpace,
      sendSpace: this.sendSpace,
      maxSegment: options.mss,
      timestamps: this.timestamps,
      output: options.output,
      queue: this.sender.queue,
    });
  }

  get state(): TcpState {
    return this.current;
  }

  /** Bytes that can be read now. */
  get unread(): number {
    return this.receiver.queue.unread;
  }

  /** Bytes written and not yet sent. */
  get unsent(): number {
    return this.sender.unsent;
  }

  /** For measurements: round trip and congestion window as this side sees them. */
  get figures(): {
    roundTripMs: number | undefined;
    congestionWindow: number;
    retransmissions: number;
    receiveBuffer: number;
    segmentSize: number;
  } {
    return {
      roundTripMs: this.sender.times.smoothed,
      congestionWindow: this.sender.cubic.window,
      retransmissions: this.sender.retransmissions,
      receiveBuffer: this.receiver.bufferSize,
      segmentSize: this.sender.segmentSize,
    };
  }

  /**
   * Takes all of `bytes`, which must not be changed afterwards; they go out at the end of the turn. False: more is held
   * than the path needs; wait for `writable`. After the connection is over bytes are dropped, after `end` it throws.
   */
  write(bytes: Buffer): boolean {
    if (this.sender.finAt !== undefined) throw writeAfterEnd(this.remote);
    if (this.current === 'closed') return true;
    this.sender.queue.append(bytes);
    this.account();
    this.wake();
    const room = this.sender.held < this.sender.highWater;
    if (!room) this.wantsRoom = true;
    return room;
  }

  /** The next bytes in order, `undefined` when there are none. Reading opens the window. */
  read(): Buffer | undefined {
    const bytes = this.receiver.read(() => this.clock.monotonic());
    if (bytes === undefined) return undefined;
    this.account();
    if (this.receiver.ackNow || this.receiver.drained) this.wake();
    return bytes;
  }

  /** FIN after what was written; the other direction stays open. */
  end(): void {
    if (this.sender.finAt !== undefined || this.current === 'closed') return;
    this.sender.end();
    if (this.current === 'established') this.current = 'fin_wait_1';
    else if (this.current === 'close_wait') this.current = 'last_ack';
    this.wake();
  }

  /** Gives the connection up: RST to the peer, `closed` with `tcp_aborted` here, at once. */
  reset(): void {
    if (this.current === 'closed') return;
    if (this.current !== 'syn_sent' && this.current !== 'time_wait') {
      this.tick();
      this.writer.reset(this.sender.next);
    }
    this.fail(tcpAborted(this.remote));
  }

  keepAlive(settings: KeepAlive | undefined): void {
    this.alive.set(settings, this.clock.monotonic());
    this.wake();
  }

  /** Asks an idle peer now whether it still knows this connection; one that does not answers with a reset. */
  probe(): void {
    const mayAsk = this.current === 'established' || this.current === 'close_wait' || this.current === 'fin_wait_2';
    if (mayAsk && !this.sender.outstanding) this.writer.empty(this.sender.next - 1);
  }

  /** False: a SYN for a new incarnation of a flow in TIME-WAIT; this one is `closed` now, hand the SYN to the listener. */
  receive(segment: Segment): boolean {
    if (this.current === 'closed') return true;
    const now = this.tick();
    if (this.current === 'syn_sent') this.receiveInSynSent(segment, now);
    else if (this.current === 'time_wait' && this.isNewIncarnation(segment, now)) {
      this.finish();
      return false;
    } else this.receiveSynchronized(segment, now);
    if (this.state !== 'closed') {
      this.account();
      if (this.receiver.ackAtOnce) this.sendAck();
      this.wake();
    }
    return true;
  }

  /** Tells the application, then sends what the turn has made due. Call it for each connection that asked by `wake`. */
  endOfTurn(): void {
    try {
      // Still awake meanwhile: what a handler asks for is done below.
      this.tell();
    } finally {
      // A handler that throws costs nobody the rest of the turn.
      this.awake = false;
      this.sendDue();
    }
  }

  /** Monotonic ms, Infinity when none. */
  nextTimerAt(): number {
    if (this.current === 'closed') return Infinity;
    if (this.current === 'time_wait') return Math.min(this.timeWaitAt, this.receiver.ackAt);
    if (this.current === 'syn_sent' || this.current === 'syn_received') {
      return Math.min(this.synAt, this.openedAt + this.limits.connectTimeoutMs);
    }
    return Math.min(this.sender.timers.next(), this.receiver.ackAt, this.alive.at);
  }

  /** Does what is due and not more; wakes. */
  onTimer(): void {
    if (this.current === 'closed') return;
    const now = this.tick();
    if (now < this.nextTimerAt()) return;
    if (this.current === 'time_wait') {
      if (now >= this.timeWaitAt) {
        this.finish();
        return;
      }
    } else if (this.current === 'syn_sent' || this.current === 'syn_received') {
      if (now >= this.openedAt + this.limits.connectTimeoutMs) {
        this.fail(tcpConnectTimeout(this.remote, this.limits.connectTimeoutMs));
        return;
      }
    } else if (!this.runTimers(now)) return;
    if (now >= this.receiver.ackAt) this.receiver.ackNow = true;
    this.wake();
  }

  /** ICMP "too big" (checked by the stack to be ours): `mss` is MTU less headers; `seq` the quoted sequence number. */
  pathMss(mss: number, seq: number): void {
    if (this.current === 'closed' || this.current === 'syn_sent' || this.current === 'syn_received') return;
    if (!this.sender.covers(this.sendSpace.toPosition(seq, this.sender.una))) return;
    const smaller = Math.max(MIN_MSS, mss);
    if (smaller >= this.writer.maxSegment) return;
    this.writer.maxSegment = smaller;
    this.sender.shrink(this.writer.maxPayload, this.tick());
    this.wake();
  }

  /** ICMP unreachable: ends a connection that is being opened; otherwise it is a passing trouble and the timers decide. */
  unreachable(problem: string, seq: number): void {
    if (this.current !== 'syn_sent' || seq !== this.sendSpace.initial) return;
    this.fail(tcpUnreachable(this.remote, problem));
  }

  /** Ends it at once with this error and nothing on the wire. */
  abort(error: TcpError): void {
    if (this.current !== 'closed') this.fail(error);
  }

  private receiveInSynSent(segment: Segment, now: number): void {
    const acknowledges = (segment.flags & ACK) !== 0;
    if (acknowledges && this.sendSpace.toPosition(segment.ack, FIRST) !== FIRST) {
      if (!(segment.flags & RST)) this.writer.resetStranger(segment.ack);
      return;
    }
    if (segment.flags & RST) {
      if (acknowledges) this.fail(tcpRefused(this.remote));
      return;
    }
    if (!(segment.flags & SYN)) return;
    this.takeSyn(segment, now);
    if (acknowledges) {
      this.windowAck = FIRST;
      this.establish(segment.window, segment, now);
      this.receiver.ackNow = true;
    } else {
      // Simultaneous open (§3.5): both have sent a SYN.
      this.current = 'syn_received';
      this.synAt = now;
      this.synTries = 0;
    }
  }

  private receiveSynchronized(segment: Segment, now: number): void {
    const { flags, payload } = segment;
    let seq = this.receiveSpace.toPosition(segment.seq, this.receiver.next);
    let length = payload.length + (flags & FIN ? 1 : 0);
    let crossed = false;
    if (this.current === 'syn_received' && flags & SYN && seq === 0) {
      if (!(flags & ACK)) {
        // Our SYN-ACK was lost: the peer's SYN comes again.
        if (now > this.synSentAt) this.synAt = Math.min(this.synAt, now);
        return;
      }
      // Simultaneous open: the SYN of this SYN-ACK is known, its ACK is what counts.
      crossed = true;
      seq = FIRST;
      this.receiver.ackNow = true;
    } else if (flags & SYN) length++;
    if (this.timestamps.enabled && !(flags & RST)) {
      const timestamp = segment.options.timestamp;
      // §3.2 of RFC 7323: once agreed on, a segment without timestamps is not the peer's.
      if (timestamp === undefined) return;
      if (!this.timestamps.inOrder(timestamp.value, now)) {
        this.answerUnacceptable(seq, payload.length, now);
        return;
      }
    }
    if (!this.isAcceptable(seq, length)) {
      if (flags & RST) return;
      // A shut window takes no data, but still ACKs (§3.10.7.4).
      if (seq === this.receiver.next && length > 0) {
        this.receiver.ackNow = true;
        if (flags & ACK && !(flags & SYN)) this.receiveAck(segment, seq, now);
        return;
      }
      if (this.current === 'time_wait' && flags & FIN && seq + length === this.receiver.next) {
        // Our last ACK was lost.
        this.timeWaitAt = now + this.limits.timeWaitMs;
        this.receiver.ackNow = true;
        return;
      }
      this.answerUnacceptable(seq, payload.length, now);
      return;
    }
    this.timestamps.remember(segment, seq, this.receiver.acknowledged, now);
    if (flags & RST) {
      this.receiveReset(seq, now);
      return;
    }
    if (flags & SYN && !crossed) {
      this.challenge(now);
      return;
    }
    if (!(flags & ACK) || !this.receiveAck(segment, seq, now)) return;
    this.alive.onHeard(now);
    if (this.receivesData && (payload.length > 0 || flags & FIN)) this.receiveData(segment, seq, now);
  }

  private isAcceptable(seq: number, length: number): boolean {
    const next = this.receiver.next;
    const window = this.receiver.window;
    if (length === 0) return window === 0 ? seq === next : seq >= next && seq < next + window;
    if (window === 0) return false;
    return seq < next + window && seq + length > next;
  }

  /** An ACK, so that a peer out of step learns where we are; nothing that could keep two sides answering each other. */
  private answerUnacceptable(seq: number, bytes: number, now: number): void {
    if (this.current === 'syn_received') {
      this.challenge(now);
    } else if (bytes > 0) {
      const end = Math.min(seq + bytes, this.receiver.next);
      this.receiver.sawDuplicate(Math.max(seq, FIRST), end);
    } else this.challenge(now);
  }

  private challenge(now: number): void {
    if (this.challenges.allow(now)) this.sendAck();
  }

  /** RFC 5961 §3: only the exact number resets; a guess within the window is asked about. */
  private receiveReset(seq: number, now: number): void {
    if (seq !== this.receiver.next) {
      this.challenge(now);
    } else if (this.current === 'syn_received' && this.acceptor === undefined) {
      this.fail(tcpRefused(this.remote));
    } else if (this.current === 'time_wait' || this.current === 'last_ack' || this.current === 'closing') {
      // Nothing of ours is missing any more but the last word.
      this.resetLate();
    } else this.fail(tcpReset(this.remote));
  }

  private resetLate(): void {
    if (this.current === 'time_wait' || this.sender.held === 0) this.finish();
    else this.fail(tcpReset(this.remote));
  }

  /** False: drop the segment. */
  private receiveAck(segment: Segment, seq: number, now: number): boolean {
    const ack = this.sendSpace.toPosition(segment.ack, this.sender.una);
    if (this.current === 'syn_received') {
      if (ack !== FIRST) {
        this.writer.resetStranger(segment.ack);
        return false;
      }
      this.windowSeq = seq;
      this.windowAck = ack;
      this.establish(segment.flags & SYN ? segment.window : segment.window * 2 ** this.sendScale, segment, now);
      return this.state !== 'closed';
    }
    const sender = this.sender;
    // RFC 5961 §5.2.
    if (ack > sender.next || ack < sender.una - sender.maxWindow) {
      this.challenge(now);
      return false;
    }
    if (ack < sender.una) return true;
    const window = segment.window * 2 ** this.sendScale;
    const windowBefore = sender.window;
    if (this.windowSeq < seq || (this.windowSeq === seq && this.windowAck <= ack)) {
      this.windowSeq = seq;
      this.windowAck = ack;
      sender.setWindow(window);
    }
    const duplicate =
      ack === sender.una &&
      sender.outstanding &&
      segment.payload.length === 0 &&
      !(segment.flags & (SYN | FIN)) &&
      window === windowBefore;
    const echo = this.timestamps.enabled ? segment.options.timestamp?.echo : undefined;
    const tsNow = echo === undefined ? 0 : this.timestamps.value(now);
    if (ack > sender.una || sender.outstanding || segment.options.sack !== undefined || sender.window === 0) {
      sender.onAck({ ack, sack: segment.options.sack, echo, tsNow, duplicate }, now);
    }
    if (echo !== undefined && segment.payload.length > 0) this.measureAsReceiver(tsNow, echo);
    if (this.wantsRoom && sender.held <= sender.highWater / 2) {
      this.wantsRoom = false;
      this.tellWritable = true;
    }
    if (sender.allAcknowledged) this.finAcknowledged(now);
    return this.state !== 'closed';
  }

  private measureAsReceiver(tsNow: number, echo: number): void {
    const elapsed = wireDistance(tsNow, echo);
    if (elapsed >= 0 && elapsed < this.limits.giveUpMs) this.receiver.onEcho(elapsed);
  }

  private finAcknowledged(now: number): void {
    if (this.current === 'fin_wait_1') this.current = 'fin_wait_2';
    else if (this.current === 'closing') this.enterTimeWait(now);
    else if (this.current === 'last_ack') this.finish();
  }

  private receiveData(segment: Segment, seq: number, now: number): void {
    const receiver = this.receiver;
    const before = receiver.queue.next;
    receiver.take(seq, segment.payload, (segment.flags & FIN) !== 0, now);
    if (receiver.queue.next > before) this.tellReadable = true;
    if (!receiver.finReceived) return;
    if (this.current === 'established') this.current = 'close_wait';
    else if (this.current === 'fin_wait_1') this.current = this.sender.allAcknowledged ? 'time_wait' : 'closing';
    else if (this.current === 'fin_wait_2') this.current = 'time_wait';
    if (this.current === 'time_wait') this.enterTimeWait(now);
  }

  /** The peer's SYN: its numbers and what it can do. */
  private takeSyn(syn: Segment, now: number): void {
    const { options } = syn;
    this.receiveSpace = new SequenceSpace(syn.seq);
    const scale = options.windowScale !== undefined;
    const timestamps = options.timestamp !== undefined;
    this.offered = { scale, timestamps, sack: options.sackPermitted };
    this.receiver = this.newReceiver();
    this.writer.receiver = this.receiver;
    this.writer.receiveSpace = this.receiveSpace;
    if (timestamps) this.timestamps.first(options.timestamp!.value, now);
    if (scale) {
      this.sendScale = Math.min(MAX_WINDOW_SCALE, options.windowScale!);
      this.receiver.scale = this.ownScale;
    }
    this.receiver.sackPermitted = options.sackPermitted;
    const unsaid = this.remote.address.includes(':') ? DEFAULT_MSS_IPV6 : DEFAULT_MSS_IPV4;
    this.writer.maxSegment = Math.max(MIN_MSS, Math.min(this.ownMss, options.mss ?? unsaid));
    this.receiver.firstWindow();
  }

  private newReceiver(): Receiver {
    return new Receiver(this.receiveSpace, this.ownMss, this.limits, (bytes) => this.output.mayGrow(bytes));
  }

  private establish(window: number, segment: Segment, now: number): void {
    const echo = this.timestamps.enabled ? segment.options.timestamp?.echo : undefined;
    const measurable = this.synTries === 1 || (echo !== undefined && echo !== 0);
    const elapsed =
      this.synTries === 1 ? now - this.synSentAt : Math.max(1, wireDistance(this.timestamps.value(now), echo ?? 0));
    if (measurable && elapsed < this.limits.connectTimeoutMs) this.sender.times.sample(elapsed, now);
    else this.sender.times.assume(RTO_AFTER_LOST_SYN_MS);
    this.sender.open({
      segmentSize: this.writer.maxPayload,
      window,
      sackPermitted: this.offered.sack,
      synLost: this.synTries > 1,
    });
    this.receiver.open(this.sender.times.smoothed ?? 0, now);
    this.synAt = Infinity;
    this.current = this.sender.finAt === undefined ? 'established' : 'fin_wait_1';
    this.alive.onHeard(now);
    if (this.acceptor === undefined) {
      this.tellConnected = true;
      return;
    }
    const handlers = this.acceptor(this);
    if (this.state === 'closed') return;
    if (handlers === undefined) this.reset();
    else this.handlers = handlers;
  }

  private isNewIncarnation(segment: Segment, now: number): boolean {
    if ((segment.flags & (SYN | ACK | RST | FIN)) !== SYN) return false;
    const timestamp = segment.options.timestamp;
    // RFC 6191 §2.
    if (this.timestamps.enabled && timestamp !== undefined) {
      if (wireDistance(timestamp.value, this.timestamps.recent) > 0) return true;
      if (!this.timestamps.inOrder(timestamp.value, now)) return false;
    }
    return this.receiveSpace.toPosition(segment.seq, this.receiver.next) > this.receiver.next;
  }

  private enterTimeWait(now: number): void {
    this.current = 'time_wait';
    this.timeWaitAt = now + this.limits.timeWaitMs;
  }

  /** The orderly end. What is unread can still be read. */
  private finish(): void {
    this.current = 'closed';
    this.account();
    this.output.closed(this);
    this.wake();
  }

  private fail(error: TcpError): void {
    const alreadyDone = this.current === 'time_wait';
    this.current = 'closed';
    this.sender.discard();
    this.receiver.queue.clear();
    this.account();
    this.output.closed(this);
    if (this.toldClosed) return;
    this.toldClosed = true;
    this.handlers.closed?.(alreadyDone && this.toldEnded ? undefined : error);
  }

  private runTimers(now: number): boolean {
    const timers = this.sender.timers;
    if (now >= timers.stalledSince + this.limits.giveUpMs) {
      this.fail(tcpTimedOut(this.remote, now - timers.stalledSince));
      return false;
    }
    this.sender.onTimer(now);
    const verdict = this.alive.due(now, this.sender.outstanding);
    if (verdict === 'dead') {
      this.fail(tcpTimedOut(this.remote, this.alive.silentMs(now)));
      return false;
    }
    if (verdict === 'probe') this.writer.empty(this.sender.next - 1);
    return true;
  }

  private wake(): void {
    if (this.awake) return;
    this.awake = true;
    this.output.wake(this);
  }

  private tell(): void {
    if (this.tellConnected) {
      this.tellConnected = false;
      this.handlers.connected?.();
    }
    if (this.tellReadable && this.unread > 0) {
      this.tellReadable = false;
      this.handlers.readable?.();
    }
    if (this.receiver.drained && !this.toldEnded && !this.toldClosed) {
      this.toldEnded = true;
      this.handlers.ended?.();
    }
    if (this.tellWritable && this.current !== 'closed') {
      this.tellWritable = false;
      this.handlers.writable?.();
    }
    const over = this.current === 'time_wait' || this.current === 'closed';
    if (over && this.toldEnded && !this.toldClosed) {
      this.toldClosed = true;
      this.handlers.closed?.(undefined);
    }
  }

  private account(): void {
    const held = this.sender.held + this.receiver.held;
    if (held === this.heldBefore) return;
    const delta = held - this.heldBefore;
    this.heldBefore = held;
    this.output.memory(delta);
  }

  private get sends(): boolean {
    return this.current !== 'syn_sent' && this.current !== 'syn_received' && this.current !== 'time_wait';
  }

  private get receivesData(): boolean {
    return this.current === 'established' || this.current === 'fin_wait_1' || this.current === 'fin_wait_2';
  }

  /** Every way in begins with it. */
  private tick(): number {
    const now = this.clock.monotonic();
    this.writer.now = now;
    return now;
  }

  private sendDue(): void {
    if (this.current === 'closed') return;
    const now = this.tick();
    if (now >= this.synAt) this.sendSyn(now);
    if (this.sends) this.sender.flush(now);
    if (this.receiver.ackNow) this.sendAck();
  }

  private sendSyn(now: number): void {
    this.synTries++;
    this.synSentAt = now;
    const backedOff = this.limits.initialRtoMs * 2 ** (this.synTries - 1);
    this.synAt = now + Math.min(backedOff, this.limits.maxRtoMs);
    const { scale, timestamps, sack } = this.offered;
    this.writer.syn({
      answers: this.current === 'syn_received',
      mss: this.ownMss,
      scale: scale ? this.ownScale : undefined,
      sack,
      timestamps,
    });
  }

  private sendAck(): void {
    if (this.current !== 'syn_sent') this.writer.empty(this.sender.next);
  }
}

/** The smallest shift that lets 16 bits name the whole buffer. */
function scaleFor(buffer: number): number {
  let scale = 0;
  while (scale < MAX_WINDOW_SCALE && 0xffff * 2 ** scale < buffer) scale++;
  return scale;
}
