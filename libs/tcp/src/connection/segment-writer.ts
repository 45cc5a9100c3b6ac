import { ACK, FIN, MAX_SACK_BLOCKS, PSH, RST, SYN } from '../wire/segment.js';
import type { ConnectionOutput } from './flow.js';
import type { Receiver } from './receiver.js';
import { SegmentSlot } from './segment-slot.js';
import type { SendQueue } from './send-queue.js';
import type { SequenceSpace } from './sequence.js';
import type { Timestamps } from './timestamps.js';

/** What the timestamp option takes of a segment, and a SACK option of so many blocks. */
export const TIMESTAMP_BYTES = 12;
const sackBytes = (blocks: number): number => 4 + 8 * blocks;

/** Gives each segment its ACK, window and options (RFC 9293 §3.1), and tells the receiver what has been said by that. */
export class SegmentWriter {
  receiver: Receiver;
  receiveSpace: SequenceSpace;
  /** Monotonic ms of what is being done; asked of the clock once for all the segments of it. */
  now = 0;
  /** The most a segment may hold, options included. */
  maxSegment: number;
  private readonly sendSpace: SequenceSpace;
  private readonly timestamps: Timestamps;
  private readonly output: ConnectionOutput;
  private readonly slot: SegmentSlot;

  constructor(o: {
    receiver: Receiver;
    receiveSpace: SequenceSpace;
    sendSpace: SequenceSpace;
    maxSegment: number;
    timestamps: Timestamps;
    output: ConnectionOutput;
    queue: SendQueue;
  }) {
    this.receiver = o.receiver;
    this.receiveSpace = o.receiveSpace;
    this.sendSpace = o.sendSpace;
    this.maxSegment = o.maxSegment;
    this.timestamps = o.timestamps;
    this.output = o.output;
    this.slot = new SegmentSlot(o.queue);
  }

  /** Payload of a full segment: what the options of every segment leave of it. */
  get maxPayload(): number {
    return this.maxSegment - (this.timestamps.enabled ? TIMESTAMP_BYTES : 0);
  }

  syn(o: { answers: boolean; mss: number; scale: number | undefined; sack: boolean; timestamps: boolean }): void {
    const { slot } = this;
    slot.setHandshakeOptions(o.mss, o.scale, o.sack);
    slot.setSack(undefined);
    if (o.timestamps) slot.setTimestamp(this.timestamps.value(this.now), this.timestamps.recent);
    else slot.options.timestamp = undefined;
    this.transmit(o.answers ? SYN | ACK : SYN, 0, 0, this.receiver.firstWindow());
    slot.setHandshakeOptions(undefined, undefined, false);
    this.receiver.onAckSent();
  }

  /** Returns the timestamp it bore. */
  data(start: number, length: number, fin: boolean, push: boolean): number {
    const timestamp = this.stamp();
    // SACK blocks ride along where there is room; a full segment leaves them to an ACK of their own.
    const sack = this.receiver.hasSackToTell;
    const fits = sack && this.maxPayload - length >= sackBytes(this.maxSackBlocks);
    this.slot.setSack(fits ? this.receiver.sackBlocks(this.maxSackBlocks) : undefined);
    this.slot.position = start;
    this.transmit(ACK | (push ? PSH : 0) | (fin ? FIN : 0), start, length, this.receiver.windowField());
    if (!sack || fits) this.receiver.onAckSent();
    return timestamp;
  }

  /** No data, at this position: an ACK at SND.NXT, before SND.UNA a probe that the peer must answer. */
  empty(position: number): void {
    this.stamp();
    this.slot.setSack(this.receiver.sackBlocks(this.maxSackBlocks));
    this.transmit(ACK, position, 0, this.receiver.windowField());
    this.receiver.onAckSent();
  }

  /** Ends this connection. */
  reset(position: number): void {
    this.stamp();
    this.slot.setSack(undefined);
    this.transmit(RST | ACK, position, 0, 0);
  }

  /** Answers an ACK that is none of ours: `wireSeq` is the number it acknowledged (RFC 9293 §3.10.7.3, §3.10.7.4). */
  resetStranger(wireSeq: number): void {
    this.slot.options.timestamp = undefined;
    this.slot.setSack(undefined);
    this.put(RST, wireSeq, 0, 0, 0);
  }

  private get maxSackBlocks(): number {
    return this.timestamps.enabled ? MAX_SACK_BLOCKS - 1 : MAX_SACK_BLOCKS;
  }

  private stamp(): number {
    if (!this.timestamps.enabled) {
      this.slot.options.timestamp = undefined;
      return 0;
    }
    const value = this.timestamps.value(this.now);
    this.slot.setTimestamp(value, this.timestamps.recent);
    return value;
  }

  private transmit(flags: number, position: number, length: number, window: number): void {
    const ack = flags & ACK ? this.receiveSpace.toWire(this.receiver.next) : 0;
    this.put(flags, this.sendSpace.toWire(position), ack, length, window);
  }

  private put(flags: number, seq: number, ack: number, length: number, window: number): void {
    const { slot } = this;
    slot.seq = seq;
    slot.ack = ack;
    slot.flags = flags;
    slot.window = window;
    slot.payloadLength = length;
    this.output.transmit(slot);
  }
}
