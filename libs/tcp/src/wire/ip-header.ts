import { addToSum, checksumOf } from './checksum.js';
import { MAPPED } from './address.js';
import type { DropReason } from './drop-reason.js';

/**
 * IPv4 (RFC 791, RFC 1122 §3.2) and IPv6 (RFC 8200). Fragments are refused: both ends know the MTU, and reassembly is
 * memory a stranger controls.
 */
export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;

export const IPV4_HEADER_BYTES = 20;
export const IPV6_HEADER_BYTES = 40;
/** A chain of more is refused; honest packets in a mesh have none. */
export const MAX_EXTENSION_HEADERS = 4;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;

/** What a packet's IP header says. One object is filled again for every packet: take out what must stay. */
export class IpHeader {
  version: 4 | 6 = 4;
  protocol = 0;
  /** Where `protocol` stands in the packet: an ICMPv6 error points at it. */
  protocolAt = 0;
  /** The transport header's offset in the packet. */
  start = 0;
  /** Where the packet ends by its own length; bytes after it are padding. */
  end = 0;
  /** Addresses as words, see `IpAddress`. */
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  destination0 = 0;
  destination1 = 0;
  destination2 = 0;
  destination3 = 0;
  /** The two ECN bits (RFC 3168 §5). */
  ecn = 0;

  /** Swaps source and destination: the header of an answer. */
  turn(): this {
    [this.source0, this.destination0] = [this.destination0, this.source0];
    [this.source1, this.destination1] = [this.destination1, this.source1];
    [this.source2, this.destination2] = [this.destination2, this.source2];
    [this.source3, this.destination3] = [this.destination3, this.source3];
    return this;
  }
}

/** Reads the header of a packet that came in. Lengths, version, header checksum and options are right if undefined comes back. */
export function readIpHeader(view: DataView, header: IpHeader): DropReason | undefined {
  const length = view.byteLength;
  if (length < IPV4_HEADER_BYTES) return 'ip_truncated';
  const version = view.getUint8(0) >>> 4;
  if (version === 4) {
    const total = view.getUint16(2);
    const headerBytes = (view.getUint8(0) & 0xf) * 4;
    if (headerBytes < IPV4_HEADER_BYTES || total < headerBytes || total > length) return 'ip_truncated';
    if (checksumOf(addToSum(0, view, 0, headerBytes)) !== 0) return 'ip_checksum';
    return readV4(view, 0, total, headerBytes, header);
  }
  if (version !== 6) return 'ip_version';
  if (length < IPV6_HEADER_BYTES) return 'ip_truncated';
  const end = IPV6_HEADER_BYTES + view.getUint16(4);
  if (end > length) return 'ip_truncated';
  return readV6(view, 0, end, header);
}

/**
 * Reads the header of a packet quoted by an ICMP error at `from` … `to`. The quote may be cut anywhere and routers may
 * have spoilt its checksum (RFC 1812 §4.3.2.3), so only what is needed to find the flow is asked for.
 */
export function readQuotedIpHeader(view: DataView, from: number, to: number, header: IpHeader): DropReason | undefined {
  if (to - from < IPV4_HEADER_BYTES) return 'icmp_quote_malformed';
  const version = view.getUint8(from) >>> 4;
  if (version === 4) {
    const headerBytes = (view.getUint8(from) & 0xf) * 4;
    if (headerBytes < IPV4_HEADER_BYTES || from + headerBytes > to) return 'icmp_quote_malformed';
    return readV4(view, from, to, headerBytes, header) && 'icmp_quote_malformed';
  }
  if (version !== 6 || to - from < IPV6_HEADER_BYTES) return 'icmp_quote_malformed';
  return readV6(view, from, to, header) && 'icmp_quote_malformed';
}

/** The sum of the pseudo header (RFC 9293 §3.1, RFC 8200 §8.1) of the packet `header` was read from. */
export function pseudoHeaderSum(view: DataView, header: IpHeader): number {
  const addresses = header.version === 4 ? addToSum(0, view, 12, 20) : addToSum(0, view, 8, 40);
  return addresses + header.protocol + (header.end - header.start);
}

function readV4(
  view: DataView,
  from: number,
  end: number,
  headerBytes: number,
  header: IpHeader,
): DropReason | undefined {
  // More fragments, or an offset: RFC 791 §3.1.
  if ((view.getUint16(from + 6) & 0x3fff) !== 0) return 'ip_fragment';
  header.version = 4;
  header.ecn = view.getUint8(from + 1) & 3;
  header.protocolAt = from + 9;
  header.protocol = view.getUint8(from + 9);
  header.start = from + headerBytes;
  header.end = end;
  header.source0 = header.source1 = header.destination0 = header.destination1 = 0;
  header.source2 = header.destination2 = MAPPED;
  header.source3 = view.getInt32(from + 12);
  header.destination3 = view.getInt32(from + 16);
  return headerBytes === IPV4_HEADER_BYTES ? undefined : readV4Options(view, from + IPV4_HEADER_BYTES, header.start);
}

/** Options are skipped (RFC 1122 §3.2.1.8), but a route chosen by the sender is refused (RFC 7126 §4.3, §4.4). */
function readV4Options(view: DataView, from: number, end: number): DropReason | undefined {
  for (let at = from; at < end;) {
    const kind = view.getUint8(at);
    if (kind === 0) return undefined;
    if (kind === 1) {
      at += 1;
      continue;
    }
    if (kind === 131 || kind === 137) return 'ip_source_route';
    const size = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (size < 2 || at + size > end) return 'ip_options';
    at += size;
  }
  return undefined;
}

function readV6(view: DataView, from: number, end: number, header: IpHeader): DropReason | undefined {
  header.version = 6;
  header.ecn = (view.getUint8(from + 1) >>> 4) & 3;
  header.source0 = view.getInt32(from + 8);
  header.source1 = view.getInt32(from + 12);
  header.source2 = view.getInt32(from + 16);
  header.source3 = view.getInt32(from + 20);
  header.destination0 = view.getInt32(from + 24);
  header.destination1 = view.getInt32(from + 28);
  header.destination2 = view.getInt32(from + 32);
  header.destination3 = view.getInt32(from + 36);
  header.end = end;
  const next = view.getUint8(from + 6);
  header.protocolAt = from + 6;
  header.protocol = next;
  header.start = from + IPV6_HEADER_BYTES;
  return isExtensionHeader(next) ? walkExtensionHeaders(view, header) : undefined;
}

function isExtensionHeader(next: number): boolean {
  return next === HOP_BY_HOP || next === DESTINATION_OPTIONS || next === ROUTING || next === FRAGMENT;
}

function walkExtensionHeaders(view: DataView, header: IpHeader): DropReason | undefined {
  for (let count = 0; isExtensionHeader(header.protocol); count += 1) {
    const kind = header.protocol;
    // Hop-by-hop options stand first or nowhere (RFC 8200 §4.1).
    if (count === MAX_EXTENSION_HEADERS || (kind === HOP_BY_HOP && count > 0)) return 'ip_extension_headers';
    const at = header.start;
    if (at + 8 > header.end) return 'ip_truncated';
    const size = kind === FRAGMENT ? 8 : (view.getUint8(at + 1) + 1) * 8;
    if (at + size > header.end) return 'ip_truncated';
    if (kind === FRAGMENT) {
      // A whole packet in one "fragment" is a packet (RFC 6946).
      if ((view.getUint16(at + 2) & 0xfff9) !== 0) return 'ip_fragment';
    } else if (kind === ROUTING) {
      if (view.getUint8(at + 3) !== 0) return 'ip_source_route';
    } else if (!v6OptionsMayBeSkipped(view, at + 2, at + size)) return 'ip_options';
    header.protocolAt = at;
    header.protocol = view.getUint8(at);
    header.start = at + size;
  }
  return undefined;
}

/** RFC 8200 §4.2: the two highest bits of an unknown option say whether the packet may live on. */
function v6OptionsMayBeSkipped(view: DataView, from: number, end: number): boolean {
  for (let at = from; at < end;) {
    const kind = view.getUint8(at);
    if (kind === 0) {
      at += 1;
      continue;
    }
    if (at + 2 > end || kind >>> 6 !== 0) return false;
    at += 2 + view.getUint8(at + 1);
    if (at > end) return false;
  }
  return true;
}
