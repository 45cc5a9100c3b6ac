import type { DropReason } from './drop-reason.js';
import { addToSum, checksumOf } from './checksum.js';
import { type IpHeader, TCP, pseudoHeaderSum } from './ip-header.js';
import type { PacketWriter, Route } from './packet-writer.js';
import {
  ACK,
  NO_OPTIONS,
  TCP_HEADER_BYTES,
  optionBytes,
  sackBlocksThatFit,
  type OutgoingSegment,
  type SackBlock,
  type Segment,
  type SegmentOptions,
} from './segment.js';

/** RFC 9293 §3.1, options of §3.2, RFC 7323 §2.2 and §3.2, RFC 2018 §2 and §3. */
const END = 0;
const NOP = 1;
const MSS = 2;
const WINDOW_SCALE = 3;
const SACK_PERMITTED = 4;
const SACK = 5;
const TIMESTAMP = 8;

/** NOP, NOP, timestamp of 10 bytes: what nearly every segment of a connection carries. */
const TIMESTAMP_WORD = (NOP << 24) | (NOP << 16) | (TIMESTAMP << 8) | 10;
const EMPTY = Buffer.alloc(0);

/** The segment in a packet whose IP header was read, or why there is none. */
export function readSegment(packet: Buffer, view: DataView, header: IpHeader): Segment | DropReason {
  const { start, end } = header;
  if (end - start < TCP_HEADER_BYTES) return 'tcp_truncated';
  const offsetAndFlags = view.getUint16(start + 12);
  const dataStart = start + (offsetAndFlags >>> 12) * 4;
  if (dataStart < start + TCP_HEADER_BYTES || dataStart > end) return 'tcp_truncated';
  if (checksumOf(addToSum(pseudoHeaderSum(view, header), view, start, end)) !== 0) return 'tcp_checksum';
  const sourcePort = view.getUint16(start);
  const destinationPort = view.getUint16(start + 2);
  if (sourcePort === 0 || destinationPort === 0) return 'tcp_port_zero';
  const options = readOptions(view, start + TCP_HEADER_BYTES, dataStart);
  if (options === undefined) return 'tcp_options';
  return {
    sourcePort,
    destinationPort,
    seq: view.getUint32(start + 4),
    ack: view.getUint32(start + 8),
    flags: offsetAndFlags & 0xff,
    window: view.getUint16(start + 14),
    options,
    payload: dataStart === end ? EMPTY : packet.subarray(dataStart, end),
    congestionExperienced: header.ecn === 3,
  };
}

/** Writes a whole packet. The segment's payload is copied by the segment itself, once. */
export function writeSegment(
  writer: PacketWriter,
  route: Route,
  sourcePort: number,
  destinationPort: number,
  segment: OutgoingSegment,
): Buffer {
  const { flags, options, payloadLength } = segment;
  const headerBytes = TCP_HEADER_BYTES + optionBytes(options);
  const at = writer.begin(route, TCP, headerBytes + payloadLength);
  const { view } = writer;
  view.setUint32(at, ((sourcePort << 16) | destinationPort) >>> 0);
  view.setUint32(at + 4, segment.seq);
  view.setUint32(at + 8, (flags & ACK) === 0 ? 0 : segment.ack);
  view.setUint32(at + 12, ((headerBytes << 26) | ((flags & 0xff) << 16) | (segment.window & 0xffff)) >>> 0);
  view.setUint32(at + 16, 0);
  if (headerBytes > TCP_HEADER_BYTES) writeOptions(view, at + TCP_HEADER_BYTES, options);
  if (payloadLength > 0) segment.writePayload(writer.buffer, at + headerBytes);
  view.setUint16(at + 16, writer.transportChecksum(route, TCP, at));
  return writer.finish();
}

/** Undefined for options whose lengths do not add up (RFC 9293 §3.1, MUST-7). */
function readOptions(view: DataView, from: number, end: number): SegmentOptions | undefined {
  if (from === end) return NO_OPTIONS;
  if (end - from === 12 && view.getInt32(from) === TIMESTAMP_WORD) {
    return {
      mss: undefined,
      windowScale: undefined,
      sackPermitted: false,
      sack: undefined,
      timestamp: { value: view.getUint32(from + 4), echo: view.getUint32(from + 8) },
    };
  }
  let mss: number | undefined;
  let windowScale: number | undefined;
  let sackPermitted = false;
  let sack: readonly SackBlock[] | undefined;
  let timestamp: { value: number; echo: number } | undefined;
  for (let at = from; at < end;) {
    const kind = view.getUint8(at);
    if (kind === END) break;
    if (kind === NOP) {
      at += 1;
      continue;
    }
    const size = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (size < 2 || at + size > end) return undefined;
    // A known option of a wrong size is taken for an unknown one: skipped.
    if (kind === MSS && size === 4) mss = view.getUint16(at + 2);
    else if (kind === WINDOW_SCALE && size === 3) windowScale = view.getUint8(at + 2);
    else if (kind === SACK_PERMITTED && size === 2) sackPermitted = true;
    else if (kind === SACK && size >= 10 && (size - 2) % 8 === 0) sack = readSack(view, at + 2, (size - 2) / 8);
    else if (kind === TIMESTAMP && size === 10) {
      timestamp = { value: view.getUint32(at + 2), echo: view.getUint32(at + 6) };
    }
    at += size;
  }
  return { mss, windowScale, sackPermitted, sack, timestamp };
}

function readSack(view: DataView, from: number, count: number): SackBlock[] {
  const blocks: SackBlock[] = [];
  for (let index = 0; index < count; index += 1) {
    blocks.push([view.getUint32(from + index * 8), view.getUint32(from + index * 8 + 4)]);
  }
  return blocks;
}

function writeOptions(view: DataView, from: number, options: SegmentOptions): void {
  let at = from;
  if (options.mss !== undefined) {
    view.setUint32(at, (MSS << 24) | (4 << 16) | (options.mss & 0xffff));
    at += 4;
  }
  if (options.windowScale !== undefined) {
    view.setUint32(at, (NOP << 24) | (WINDOW_SCALE << 16) | (3 << 8) | (options.windowScale & 0xff));
    at += 4;
  }
  if (options.sackPermitted) {
    view.setUint32(at, (NOP << 24) | (NOP << 16) | (SACK_PERMITTED << 8) | 2);
    at += 4;
  }
  if (options.timestamp !== undefined) {
    view.setInt32(at, TIMESTAMP_WORD);
    view.setUint32(at + 4, options.timestamp.value);
    view.setUint32(at + 8, options.timestamp.echo);
    at += 12;
  }
  const blocks = sackBlocksThatFit(options, at - from);
  if (options.sack === undefined || blocks === 0) return;
  view.setUint32(at, (NOP << 24) | (NOP << 16) | (SACK << 8) | (2 + 8 * blocks));
  at += 4;
  for (const [left, right] of options.sack.slice(0, blocks)) {
    view.setUint32(at, left);
    view.setUint32(at + 4, right);
    at += 8;
  }
}
