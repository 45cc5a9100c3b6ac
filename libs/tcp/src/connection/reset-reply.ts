import { ACK, FIN, NO_OPTIONS, RST, SYN, type OutgoingSegment, type Segment } from '../wire/segment.js';

/** The RST for a segment that belongs to no connection (RFC 9293 §3.10.7.1); `undefined` for a RST: never answered. */
export function resetFor(segment: Segment): OutgoingSegment | undefined {
  if (segment.flags & RST) return undefined;
  const acknowledges = (segment.flags & ACK) !== 0;
  const length = segment.payload.length + (segment.flags & SYN ? 1 : 0) + (segment.flags & FIN ? 1 : 0);
  return {
    seq: acknowledges ? segment.ack : 0,
    ack: acknowledges ? 0 : (segment.seq + length) >>> 0,
    flags: acknowledges ? RST : RST | ACK,
    window: 0,
    options: NO_OPTIONS,
    payloadLength: 0,
    writePayload: () => undefined,
  };
}
