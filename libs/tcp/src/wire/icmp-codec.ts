import type { DropReason } from './drop-reason.js';
import { addToSum, checksumOf } from './checksum.js';
import { ICMP, ICMPV6, type IpHeader, pseudoHeaderSum } from './ip-header.js';
import type { PacketWriter, Route } from './packet-writer.js';

/** ICMPv4 (RFC 792, RFC 1191 §4 for the MTU) and ICMPv6 (RFC 4443), told apart by the IP version only. */
export const ICMP_HEADER_BYTES = 8;
/** An error quotes as much as fits: RFC 1812 §4.3.2.3 says 576 bytes in all, RFC 4443 §2.4 (c) the least IPv6 MTU. */
export const MAX_ERROR_BYTES_V4 = 576;
export const MAX_ERROR_BYTES_V6 = 1280;

/** Why something could not be delivered; `port` is final, the others may pass. */
export type Unreachable = 'network' | 'host' | 'protocol' | 'port' | 'prohibited' | 'time_exceeded' | 'malformed';

export type IcmpMessage =
  | { kind: 'echo_request' | 'echo_reply'; id: number; sequence: number; payload: Buffer }
  | { kind: 'unreachable'; why: Unreachable; quoteStart: number; quoteEnd: number }
  | { kind: 'too_big'; mtu: number; quoteStart: number; quoteEnd: number };

export function readIcmp(packet: Buffer, view: DataView, header: IpHeader): IcmpMessage | DropReason {
  const { start, end, version } = header;
  if (end - start < ICMP_HEADER_BYTES) return 'icmp_malformed';
  const seed = version === 4 ? 0 : pseudoHeaderSum(view, header);
  if (checksumOf(addToSum(seed, view, start, end)) !== 0) return 'icmp_checksum';
  const type = view.getUint8(start);
  const code = view.getUint8(start + 1);
  const echo = version === 4 ? echoV4(type) : echoV6(type);
  if (echo !== undefined) {
    if (code !== 0) return 'icmp_type';
    const payload = packet.subarray(start + ICMP_HEADER_BYTES, end);
    return { kind: echo, id: view.getUint16(start + 4), sequence: view.getUint16(start + 6), payload };
  }
  const quote = { quoteStart: start + ICMP_HEADER_BYTES, quoteEnd: end };
  if (version === 4 && type === 3 && code === 4) return { kind: 'too_big', mtu: view.getUint16(start + 6), ...quote };
  if (version === 6 && type === 2) return { kind: 'too_big', mtu: view.getUint32(start + 4), ...quote };
  const why = version === 4 ? unreachableV4(type, code) : unreachableV6(type, code);
  return why === undefined ? 'icmp_type' : { kind: 'unreachable', why, ...quote };
}

/** An echo request or reply. */
export function writeEcho(
  writer: PacketWriter,
  route: Route,
  kind: 'echo_request' | 'echo_reply',
  id: number,
  sequence: number,
  payload: Uint8Array,
): Buffer {
  const v4 = route.local.version === 4;
  const type = kind === 'echo_request' ? (v4 ? 8 : 128) : v4 ? 0 : 129;
  return writeIcmp(writer, route, type, 0, ((id << 16) | sequence) >>> 0, payload);
}

/** Tells the sender of `packet` that its port (`port`) or its protocol is not served here. */
export function writeUnreachable(
  writer: PacketWriter,
  route: Route,
  why: 'port' | 'protocol',
  packet: Uint8Array,
  header: IpHeader,
): Buffer {
  const v4 = route.local.version === 4;
  const room = (v4 ? MAX_ERROR_BYTES_V4 : MAX_ERROR_BYTES_V6) - route.headerBytes - ICMP_HEADER_BYTES;
  const quote = packet.subarray(0, Math.min(header.end, room));
  if (v4) return writeIcmp(writer, route, 3, why === 'port' ? 3 : 2, 0, quote);
  if (why === 'port') return writeIcmp(writer, route, 1, 4, 0, quote);
  // Parameter problem, unrecognised next header, and where that stands.
  return writeIcmp(writer, route, 4, 1, header.protocolAt, quote);
}

function writeIcmp(
  writer: PacketWriter,
  route: Route,
  type: number,
  code: number,
  rest: number,
  body: Uint8Array,
): Buffer {
  const v4 = route.local.version === 4;
  const protocol = v4 ? ICMP : ICMPV6;
  const at = writer.begin(route, protocol, ICMP_HEADER_BYTES + body.length);
  writer.view.setUint8(at, type);
  writer.view.setUint8(at + 1, code);
  writer.view.setUint32(at + 4, rest);
  writer.buffer.set(body, at + ICMP_HEADER_BYTES);
  const checksum = v4 ? writer.plainChecksum(at) : writer.transportChecksum(route, protocol, at);
  writer.view.setUint16(at + 2, checksum);
  return writer.finish();
}

function echoV4(type: number): 'echo_request' | 'echo_reply' | undefined {
  return type === 8 ? 'echo_request' : type === 0 ? 'echo_reply' : undefined;
}

function echoV6(type: number): 'echo_request' | 'echo_reply' | undefined {
  return type === 128 ? 'echo_request' : type === 129 ? 'echo_reply' : undefined;
}

function unreachableV4(type: number, code: number): Unreachable | undefined {
  if (type === 11) return 'time_exceeded';
  if (type === 12) return 'malformed';
  if (type !== 3) return undefined;
  if (code === 2) return 'protocol';
  if (code === 3) return 'port';
  if (code === 9 || code === 10 || code === 13) return 'prohibited';
  return code === 1 || code === 7 || code === 8 || code === 12 ? 'host' : 'network';
}

function unreachableV6(type: number, code: number): Unreachable | undefined {
  if (type === 3) return 'time_exceeded';
  if (type === 4) return code === 1 ? 'protocol' : 'malformed';
  if (type !== 1) return undefined;
  if (code === 4) return 'port';
  if (code === 1 || code === 5 || code === 6) return 'prohibited';
  return code === 3 ? 'host' : 'network';
}
