import { describe, expect, it } from 'vitest';
import { SeededRandom } from '@coral/testing';
import { parseAddress } from './address.js';
import { checksumOf, addToSum } from './checksum.js';
import { readIcmp, writeEcho, writeUnreachable } from './icmp-codec.js';
import { ICMP, ICMPV6, IpHeader, pseudoHeaderSum, readIpHeader, readQuotedIpHeader, TCP, UDP } from './ip-header.js';
import { PacketWriter, Route } from './packet-writer.js';
import { ACK, NO_OPTIONS, SYN, type SegmentOptions } from './segment.js';
import { readSegment, writeSegment } from './tcp-codec.js';
import { readUdp, writeUdp } from './udp-codec.js';

/** 10 million by hand: `CORAL_FUZZ_PACKETS=10000000`. */
const packets = Number(process.env['CORAL_FUZZ_PACKETS'] ?? 60_000);
const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function routes(): Route[] {
  const pairs = [
    ['10.137.0.1', '10.137.0.2'],
    ['fd42:c0a1::1', 'fd42:c0a1::2'],
  ];
  return pairs.map(([local, remote]) => {
    const [from, to] = [parseAddress(local ?? ''), parseAddress(remote ?? '')];
    if (from === undefined || to === undefined) throw new Error('bad address in a test');
    return new Route(from, to);
  });
}

/** One honest packet of each kind, to be spoilt. */
function seeds(): Buffer[] {
  const writer = new PacketWriter();
  const options: SegmentOptions[] = [
    NO_OPTIONS,
    { mss: 1240, windowScale: 7, sackPermitted: true, sack: undefined, timestamp: { value: 1, echo: 2 } },
    {
      ...NO_OPTIONS,
      timestamp: { value: 1, echo: 2 },
      sack: [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
    },
  ];
  return routes().flatMap((route) => {
    const udp = writeUdp(writer, route, 53, 54, Buffer.alloc(31, 7));
    const header = new IpHeader();
    readIpHeader(viewOf(udp), header);
    const tooBig = Buffer.from(writeUnreachable(writer, route, 'port', udp, header));
    tooBig.set(route.local.version === 4 ? [3, 4] : [2, 0], route.headerBytes);
    mendChecksums(tooBig);
    return [
      tooBig,
      withMoreHeaders(udp),
      udp,
      writeEcho(writer, route, 'echo_request', 1, 2, Buffer.alloc(9)),
      writeUnreachable(writer, route, 'port', udp, header),
      ...options.map((option, index) =>
        writeSegment(writer, route, 1, 2, {
          seq: 1,
          ack: 2,
          flags: index === 1 ? SYN : ACK,
          window: 9,
          options: option,
          payloadLength: 33,
          writePayload: (target, offset) => void target.fill(5, offset, offset + 33),
        }),
      ),
    ].map((packet) => Buffer.from(packet));
  });
}

/** Behind the fixed header: a router alert and a loose source route, or hop-by-hop, routing and fragment headers. */
function withMoreHeaders(udp: Buffer): Buffer {
  const v4 = (udp[0] ?? 0) >>> 4 === 4;
  const more = v4
    ? [0x94, 4, 0, 0, 1, 131, 3, 4]
    : [43, 0, 1, 4, 0, 0, 0, 0, 44, 0, 0, 0, 1, 2, 3, 4, UDP, 0, 0, 0, 1, 2, 3, 4];
  const at = v4 ? 20 : 40;
  const packet = Buffer.concat([udp.subarray(0, at), Buffer.from(more), udp.subarray(at)]);
  if (v4) packet[0] = 0x47;
  else packet[6] = 0;
  packet.writeUInt16BE(v4 ? packet.length : packet.length - 40, v4 ? 2 : 4);
  mendChecksums(packet);
  return packet;
}

function spoil(random: SeededRandom, seed: Buffer): Buffer {
  const extra = random.chance(0.2) ? random.below(40) : 0;
  const keep = random.chance(0.3) ? random.below(seed.length + 1) : seed.length;
  const packet = Buffer.concat([seed.subarray(0, keep), random.bytes(extra)]);
  if (packet.length === 0) return packet;
  for (let flips = random.below(6); flips > 0; flips -= 1) {
    const at = random.below(packet.length);
    packet[at] = random.chance(0.5) ? (packet[at] ?? 0) ^ (1 << random.below(8)) : random.below(256);
  }
  return packet;
}

/** Makes the checksums right again, so that what stands behind them is reached too. */
function mendChecksums(packet: Buffer): void {
  const view = viewOf(packet);
  if (packet.length >= 20 && (packet[0] ?? 0) >>> 4 === 4) {
    const headerBytes = Math.min(((packet[0] ?? 0) & 0xf) * 4, packet.length);
    if (headerBytes >= 20) {
      packet.writeUInt16BE(0, 10);
      packet.writeUInt16BE(checksumOf(addToSum(0, view, 0, headerBytes)), 10);
    }
  }
  const header = new IpHeader();
  if (readIpHeader(view, header) !== undefined) return;
  const field = { [TCP]: 16, [UDP]: 6, [ICMP]: 2, [ICMPV6]: 2 }[header.protocol];
  if (field === undefined || header.start + field + 2 > header.end) return;
  packet.writeUInt16BE(0, header.start + field);
  const seed = header.protocol === ICMP ? 0 : pseudoHeaderSum(view, header);
  packet.writeUInt16BE(checksumOf(addToSum(seed, view, header.start, header.end)), header.start + field);
}

/** What was read, by name; throws when a parser does, or reads outside the packet. */
function readAll(packet: Buffer, header: IpHeader, quoted: IpHeader): string {
  const view = viewOf(packet);
  const problem = readIpHeader(view, header);
  if (problem !== undefined) return problem;
  if (header.start > header.end || header.end > packet.length) throw new Error('the header reaches over the packet');
  if (header.protocol === TCP) {
    const segment = readSegment(packet, view, header);
    return typeof segment === 'string' ? segment : `segment`;
  }
  if (header.protocol === UDP) {
    const datagram = readUdp(packet, view, header);
    return typeof datagram === 'string' ? datagram : 'datagram';
  }
  if (header.protocol !== ICMP && header.protocol !== ICMPV6) return 'other';
  const message = readIcmp(packet, view, header);
  if (typeof message === 'string') return message;
  if (message.kind !== 'unreachable' && message.kind !== 'too_big') return message.kind;
  if (message.quoteEnd > packet.length) throw new Error('the quote reaches over the packet');
  return readQuotedIpHeader(view, message.quoteStart, message.quoteEnd, quoted) ?? message.kind;
}

describe('every parser', () => {
  it(`reads or refuses ${packets} spoilt packets, and throws at none`, () => {
    const random = new SeededRandom('parsers');
    const honest = seeds();
    const seen = new Map<string, number>();
    const [header, quoted] = [new IpHeader(), new IpHeader()];
    for (let n = 0; n < packets; n += 1) {
      const packet = spoil(random, random.pick(honest));
      if (random.chance(0.8)) mendChecksums(packet);
      const name = readAll(packet, header, quoted);
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    // The run reached every refusal and every success, or it proves nothing.
    for (const name of [
      'segment',
      'datagram',
      'echo_request',
      'unreachable',
      'too_big',
      'ip_truncated',
      'ip_version',
      'ip_checksum',
      'ip_fragment',
      'ip_options',
      'ip_source_route',
      'tcp_truncated',
      'tcp_checksum',
      'tcp_options',
      'tcp_port_zero',
      'udp_malformed',
      'udp_checksum',
      'icmp_type',
      'icmp_checksum',
      'icmp_malformed',
      'icmp_quote_malformed',
    ])
      expect([name, seen.get(name) ?? 0]).toEqual([name, expect.toSatisfy((count: number) => count > 0)]);
  });
});
