import type { SackBlock } from '../wire/segment.js';
import type { TcpLimits } from './limits.js';
import { ReceiveQueue } from './receive-queue.js';
import type { SequenceSpace } from './sequence.js';

const MAX_WINDOW_FIELD = 0xffff;
/** RFC 5681 §4.2: at least every second segment is acknowledged. */
const SEGMENTS_PER_DELAYED_ACK = 2;

/** The receiving half: what is taken, what is offered, and when that is said. Positions as in {@link SequenceSpace}. */
export class Receiver {
  readonly queue: ReceiveQueue;
  /** Position of the peer's FIN, once known. */
  finAt: number | undefined;
  finReceived = false;
  /** Bits the window field is shifted by, once agreed on. */
  scale = 0;
  sackPermitted = false;
  /** An ACK is due at the end of the turn. */
  ackNow = false;
  /** An ACK is due before anything else of the turn is read. */
  ackAtOnce = false;
  ackAt = Infinity;
  /** RCV.NXT of the last ACK (RFC 7323 "Last.ACK.sent"). */
  acknowledged = 0;
  /** The right edge of the window as promised: it never moves back. */
  private edge = 0;
  private buffer: number;
  private waiting = 0;
  private quickAcks: number;
  private duplicate: readonly [number, number] | undefined;
  // Autotuning: bytes read since, and the round trip as this side sees it.
  private readBytes = 0;
  private readSince = 0;
  private roundTrip = 0;
  private readonly space: SequenceSpace;
  private readonly mss: number;
  private readonly limits: TcpLimits;
  private readonly mayGrow: (bytes: number) => boolean;

  constructor(space: SequenceSpace, mss: number, limits: TcpLimits, mayGrow: (bytes: number) => boolean) {
    this.space = space;
    this.mss = mss;
    this.limits = limits;
    this.mayGrow = mayGrow;
    this.queue = new ReceiveQueue(limits.maxOutOfOrderRanges);
    this.buffer = limits.initialReceiveBuffer;
    this.quickAcks = limits.quickAcks;
  }

  /** RCV.NXT. */
  get next(): number {
    return this.finReceived ? this.queue.next + 1 : this.queue.next;
  }

  /** Bytes the peer may still send. */
  get window(): number {
    return Math.max(0, this.edge - this.next);
  }

  get held(): number {
    return this.queue.unread + this.queue.early;
  }

  get bufferSize(): number {
    return this.buffer;
  }

  /** All of the peer's stream has been read. */
  get drained(): boolean {
    return this.finReceived && this.queue.unread === 0;
  }

  /** The window of a SYN or SYN-ACK: never scaled (RFC 7323 §2.2). */
  firstWindow(): number {
    const window = Math.min(this.buffer, MAX_WINDOW_FIELD);
    this.edge = Math.max(this.edge, this.next + window);
    return window;
  }

  /** The handshake took so long: what autotuning starts with. */
  open(roundTripMs: number, now: number): void {
    this.roundTrip = roundTripMs;
    this.readSince = now;
  }

  /** A segment whose sequence numbers are acceptable. `start` may lie before RCV.NXT, the end beyond the window. */
  take(start: number, payload: Buffer, fin: boolean, now: number): void {
    let bytes = payload;
    const limit = this.finAt ?? Math.max(this.edge, this.next);
    const cut = start + bytes.length > limit;
    if (cut) bytes = bytes.subarray(0, Math.max(0, limit - start));
    if (fin && !cut) this.finAt ??= start + bytes.length;
    if (bytes.length > 0) this.place(start, bytes, now);
    else if (payload.length > 0) this.ackNow = true;
    if (this.finAt !== undefined && !this.finReceived && this.queue.next === this.finAt) {
      this.finReceived = true;
      this.queue.clearEarly();
    }
    if (fin) this.ackNow = true;
  }

  /** Bytes that lie wholly before RCV.NXT came again: the ACK was lost, or the sender was hasty (RFC 2883). */
  sawDuplicate(start: number, end: number): void {
    this.ackNow = true;
    if (this.sackPermitted && end > start) this.duplicate = [this.space.toWire(start), this.space.toWire(end)];
  }

  /** What stands in the window field now; the right edge moves by whole steps only (RFC 1122 §4.2.3.3). */
  windowField(): number {
    const next = this.next;
    const target = next + Math.max(0, this.buffer - this.queue.unread);
    if (target - this.edge >= Math.min(this.buffer / 2, this.mss)) this.edge = target;
    // Rounded down: the peer then sees up to 2^scale − 1 bytes less than are still accepted.
    return Math.min(MAX_WINDOW_FIELD, Math.floor(Math.max(0, this.edge - next) / 2 ** this.scale));
  }

  /** SACK blocks for an ACK, at most `max`; `undefined` when there are none. Forgets the DSACK. */
  sackBlocks(max: number): SackBlock[] | undefined {
    if (!this.sackPermitted || (this.duplicate === undefined && !this.queue.hasEarly)) return undefined;
    const blocks: SackBlock[] = [];
    if (this.duplicate !== undefined) blocks.push(this.duplicate);
    this.duplicate = undefined;
    this.queue.sackBlocks(blocks, max, this.space);
    return blocks;
  }

  get hasSackToTell(): boolean {
    return this.sackPermitted && (this.duplicate !== undefined || this.queue.hasEarly);
  }

  /** An ACK with all there is to tell has gone out. */
  onAckSent(): void {
    this.acknowledged = this.next;
    this.ackNow = false;
    this.ackAtOnce = false;
    this.ackAt = Infinity;
    this.waiting = 0;
  }

  read(now: () => number): Buffer | undefined {
    const bytes = this.queue.read();
    if (bytes === undefined) return undefined;
    this.readBytes += bytes.length;
    if (this.readBytes * 2 > this.buffer) this.tune(now());
    this.offer();
    return bytes;
  }

  /** How long the peer's answer to one of our timestamps took. An average: the shortest is not how long a window takes. */
  onEcho(ms: number): void {
    this.roundTrip += (ms - this.roundTrip) / 8;
  }

  private place(start: number, bytes: Buffer, now: number): void {
    const placed = this.queue.place(start, bytes);
    if (placed === 'duplicate') {
      this.sawDuplicate(start, start + bytes.length);
    } else if (placed === 'in_order') {
      this.waiting++;
      if (this.queue.hasEarly) this.ackNow = true;
      else if (this.quickAcks > 0) {
        this.quickAcks--;
        this.ackNow = true;
      } else if (this.waiting >= SEGMENTS_PER_DELAYED_ACK) this.ackNow = true;
      else if (this.ackAt === Infinity) this.ackAt = now + this.limits.delayedAckMs;
      if (this.waiting >= this.limits.segmentsPerAck) this.ackAtOnce = true;
    } else {
      this.ackNow = true;
      // A sender without SACK counts duplicate ACKs: each segment out of order needs its own (RFC 5681 §4.2).
      if (!this.sackPermitted) this.ackAtOnce = true;
    }
  }

  /** Says so when reading has opened the window enough to matter: twice what the peer still knows of. */
  private offer(): void {
    const free = this.buffer - this.queue.unread;
    const known = this.edge - this.next;
    if (this.finReceived || free < 2 * known || free - known < Math.min(this.buffer / 2, this.mss)) return;
    this.ackNow = true;
  }

  /** Dynamic right-sizing: a window's worth read within a round trip means the window is what holds the peer back. */
  private tune(now: number): void {
    const roundTrip = Math.max(1, this.roundTrip);
    const took = now - this.readSince;
    if (took < roundTrip) return;
    const fast = took < 2 * roundTrip;
    const largest = Math.min(this.limits.maxReceiveBuffer, MAX_WINDOW_FIELD * 2 ** this.scale);
    const wanted = Math.min(largest, Math.max(2 * this.buffer, 2 * this.readBytes));
    this.readBytes = 0;
    this.readSince = now;
    if (fast && wanted > this.buffer && this.mayGrow(wanted - this.buffer)) this.buffer = wanted;
  }
}
