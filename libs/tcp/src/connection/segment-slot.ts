import type { OutgoingSegment, SackBlock, SegmentOptions } from '../wire/segment.js';
import type { SendQueue } from './send-queue.js';

/** The one segment object a connection sends with, again and again: the stack keeps nothing of it. */
export class SegmentSlot implements OutgoingSegment {
  seq = 0;
  ack = 0;
  flags = 0;
  window = 0;
  payloadLength = 0;
  /** Position of the payload in the queue. */
  position = 0;
  readonly options: SegmentOptions = {
    mss: undefined,
    windowScale: undefined,
    sackPermitted: false,
    sack: undefined,
    timestamp: undefined,
  };
  private readonly timestamp = { value: 0, echo: 0 };
  private readonly queue: SendQueue;

  constructor(queue: SendQueue) {
    this.queue = queue;
  }

  setTimestamp(value: number, echo: number): void {
    this.timestamp.value = value;
    this.timestamp.echo = echo;
    this.options.timestamp = this.timestamp;
  }

  setHandshakeOptions(mss: number | undefined, windowScale: number | undefined, sackPermitted: boolean): void {
    this.options.mss = mss;
    this.options.windowScale = windowScale;
    this.options.sackPermitted = sackPermitted;
  }

  setSack(blocks: readonly SackBlock[] | undefined): void {
    this.options.sack = blocks;
  }

  writePayload(target: Buffer, offset: number): void {
    this.queue.copy(this.position, this.payloadLength, target, offset);
  }
}
