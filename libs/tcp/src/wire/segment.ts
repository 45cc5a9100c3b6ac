/**
 * What the connection and the stack say to each other (RFC 9293 §3.1). Sequence numbers are unsigned 32-bit integers
 * held as JavaScript numbers 0 … 2^32 − 1.
 */

/** Bits of {@link Segment.flags}, as they stand in byte 13 of the TCP header. */
export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
/** ECN-Echo (RFC 3168). */
export const ECE = 0x40;
/** Congestion window reduced (RFC 3168). */
export const CWR = 0x80;

/** Bytes of a TCP header without options. */
export const TCP_HEADER_BYTES = 20;
/** Room for options: the data offset counts to 15 words. */
export const MAX_OPTION_BYTES = 40;
/** As much as fits beside nothing else (RFC 2018 §3); beside timestamps it is three. */
export const MAX_SACK_BLOCKS = 4;

/** One SACK block: [first sequence number, sequence number after the last]. As the peer sent it: not judged. */
export type SackBlock = readonly [left: number, right: number];

/**
 * The options we know; every key is always present so that all segments share one shape. Unknown options are skipped.
 * A parsed `windowScale` is as sent (it may be over 14: RFC 7323 §2.3 says to use 14 then).
 */
export interface SegmentOptions {
  mss: number | undefined;
  windowScale: number | undefined;
  sackPermitted: boolean;
  sack: readonly SackBlock[] | undefined;
  /** RFC 7323 §3: TSval and TSecr, unsigned 32 bits. */
  timestamp: { value: number; echo: number } | undefined;
}

export const NO_OPTIONS: SegmentOptions = Object.freeze({
  mss: undefined,
  windowScale: undefined,
  sackPermitted: false,
  sack: undefined,
  timestamp: undefined,
});

/** A segment that came in: header, lengths and checksum are right; nothing else is judged. */
export interface Segment {
  sourcePort: number;
  destinationPort: number;
  seq: number;
  /** Meaningless without the ACK flag. */
  ack: number;
  flags: number;
  /** As it stands in the header: not scaled. */
  window: number;
  options: SegmentOptions;
  /** A view into the packet, which nobody else holds: it may be kept, at the price of the packet's memory. */
  payload: Buffer;
  /** The IP header said "congestion experienced" (RFC 3168). */
  congestionExperienced: boolean;
}

/**
 * A segment to send. Ports and addresses are the flow's own; the stack writes them, the checksum and the IP header.
 * The stack reads it before `transmit` returns and keeps nothing of it: one object may be used again and again.
 */
export interface OutgoingSegment {
  seq: number;
  /** Written as 0 without the ACK flag. */
  ack: number;
  flags: number;
  /** As it is to stand in the header: scaled already, 0 … 65535. */
  window: number;
  /** Written in a fixed order, padded with NOPs; more SACK blocks than fit are left out from the end. */
  options: SegmentOptions;
  /** Bytes of payload; 0 for a pure ACK. */
  payloadLength: number;
  /** Copies `payloadLength` bytes into `target` at `offset`: the only copy on the way out. Not called for 0 bytes. */
  writePayload(target: Buffer, offset: number): void;
}

/** Bytes these options take in a header, padded to whole words. What is left of the MSS is payload (RFC 6691). */
export function optionBytes(options: SegmentOptions): number {
  if (options === NO_OPTIONS) return 0;
  let bytes = 0;
  if (options.mss !== undefined) bytes += 4;
  if (options.windowScale !== undefined) bytes += 4;
  if (options.timestamp !== undefined) bytes += 12;
  if (options.sackPermitted) bytes += 4;
  const blocks = sackBlocksThatFit(options, bytes);
  return blocks === 0 ? bytes : bytes + 4 + 8 * blocks;
}

/** How many of the SACK blocks fit beside `used` bytes of other options. */
export function sackBlocksThatFit(options: SegmentOptions, used: number): number {
  if (options.sack === undefined) return 0;
  return Math.min(options.sack.length, MAX_SACK_BLOCKS, Math.floor((MAX_OPTION_BYTES - used - 4) / 8));
}
