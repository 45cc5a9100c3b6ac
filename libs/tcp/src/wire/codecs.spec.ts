import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '@coral/testing';
import { addressFromWords, parseAddress, type IpAddress } from './address.js';
import { readIcmp, writeEcho, writeUnreachable } from './icmp-codec.js';
import { IpHeader, readIpHeader, readQuotedIpHeader, TCP, UDP, ICMPV6 } from './ip-header.js';
import { PacketWriter, Route } from './packet-writer.js';
import { ACK, MAX_OPTION_BYTES, NO_OPTIONS, optionBytes, PSH, SYN, type SegmentOptions } from './segment.js';
import { readSegment, writeSegment } from './tcp-codec.js';
import { readUdp, writeUdp } from './udp-codec.js';

const linux = JSON.parse(readFileSync(new URL('../../testdata/linux-packets.json', import.meta.url), 'utf8')) as Record<
  string,
  string
>;
const linuxPacket = (name: string) => Buffer.from(linux[name] ?? '', 'hex');
const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`not an address: ${text}`);
  return parsed;
}

function read(packet: Buffer) {
  const header = new IpHeader();
  const problem = readIpHeader(viewOf(packet), header);
  const source = addressFromWords(header.source0, header.source1, header.source2, header.source3).text;
  const destination = addressFromWords(
    header.destination0,
    header.destination1,
    header.destination2,
    header.destination3,
  ).text;
  return { header, problem, source, destination, view: viewOf(packet) };
}

function outgoing(options: SegmentOptions, payload: Buffer) {
  return {
    seq: 0xfffffff0,
    ack: 0x80000001,
    flags: ACK | PSH,
    window: 65_535,
    options,
    payloadLength: payload.length,
    writePayload: (target: Buffer, offset: number) => void payload.copy(target, offset),
  };
}

const v4 = new Route(address('10.137.0.1'), address('10.137.0.2'));
const v6 = new Route(address('fd42:c0a1::1'), address('fd42:c0a1::2'));

describe('packets written by Linux', () => {
  it.each([
    ['tcp_syn_v4', '10.137.0.1', '10.137.0.2', 1380, 0xd7bdd002, 0x45481bf3],
    ['tcp_syn_v6', 'fd42:c0a1::1', 'fd42:c0a1::2', 1360, 0xb6f675d7, 0xe36b1b48],
  ])('%s is read', (name, from, to, mss, seq, value) => {
    const packet = linuxPacket(name);
    const { header, problem, source, destination, view } = read(packet);
    expect({ problem, source, destination, protocol: header.protocol }).toEqual({
      problem: undefined,
      source: from,
      destination: to,
      protocol: TCP,
    });
    expect(readSegment(packet, view, header)).toMatchObject({
      destinationPort: 443,
      seq,
      ack: 0,
      flags: SYN,
      options: { mss, windowScale: 10, sackPermitted: true, sack: undefined, timestamp: { value, echo: 0 } },
      payload: Buffer.alloc(0),
    });
  });

  it.each(['udp_v4', 'udp_v6'])('%s is read, and written the same but for id and flow label', (name) => {
    const packet = linuxPacket(name);
    const { header, problem, view } = read(packet);
    expect(problem).toBeUndefined();
    const datagram = readUdp(packet, view, header);
    if (typeof datagram === 'string') throw new Error(datagram);
    expect(datagram.payload.toString()).toBe('coral: odd bytes!');
    const written = writeUdp(
      new PacketWriter(),
      header.version === 4 ? v4 : v6,
      datagram.sourcePort,
      53,
      datagram.payload,
    );
    expect(written.subarray(header.start)).toEqual(packet.subarray(header.start));
    expect(read(written).header).toEqual(header);
  });

  it('a router solicitation has a right checksum and is not for us to answer', () => {
    const packet = linuxPacket('router_solicitation');
    const { header, view } = read(packet);
    expect(header.protocol).toBe(ICMPV6);
    expect(readIcmp(packet, view, header)).toBe('icmp_type');
  });
});

describe('segments written', () => {
  const random = new SeededRandom('segments');
  const sack = [1, 2, 3, 4].map((n) => [n * 1000, n * 1000 + 500] as const);
  const timestamp = { value: 0xfffffffe, echo: 7 };
  const cases: [string, SegmentOptions][] = [
    ['no options', NO_OPTIONS],
    ['a timestamp', { ...NO_OPTIONS, timestamp }],
    ['a SYN', { mss: 1240, windowScale: 9, sackPermitted: true, sack: undefined, timestamp }],
    ['four SACK blocks', { ...NO_OPTIONS, sack }],
    ['a timestamp and three SACK blocks', { ...NO_OPTIONS, timestamp, sack: sack.slice(0, 3) }],
  ];

  it.each(cases)('come back as they were: %s', (_name, options) => {
    for (const route of [v4, v6]) {
      for (const size of [0, 1, 2, 3, 1199, 1200]) {
        const payload = random.bytes(size);
        const packet = writeSegment(new PacketWriter(), route, 40_000, 9000, outgoing(options, payload));
        expect(packet.length).toBe(route.headerBytes + 20 + optionBytes(options) + size);
        const { header, problem, view, source } = read(packet);
        expect([problem, source]).toEqual([undefined, route.local.text]);
        expect(readSegment(packet, view, header)).toEqual({
          sourcePort: 40_000,
          destinationPort: 9000,
          seq: 0xfffffff0,
          ack: 0x80000001,
          flags: ACK | PSH,
          window: 65_535,
          options,
          payload,
          congestionExperienced: false,
        });
      }
    }
  });

  it('leave out the SACK blocks that do not fit beside a timestamp', () => {
    const options = { ...NO_OPTIONS, timestamp, sack };
    expect(optionBytes(options)).toBe(MAX_OPTION_BYTES);
    const packet = writeSegment(new PacketWriter(), v4, 1, 2, outgoing(options, Buffer.alloc(0)));
    const { header, view } = read(packet);
    expect(readSegment(packet, view, header)).toMatchObject({ options: { sack: sack.slice(0, 3) } });
  });

  it('never carry memory of the process when the payload is not filled in', () => {
    const writer = new PacketWriter();
    const lazy = { ...outgoing(NO_OPTIONS, Buffer.alloc(0)), payloadLength: 800, writePayload: () => {} };
    for (let n = 0; n < 100; n += 1) {
      expect(
        writeSegment(writer, v4, 1, 2, lazy)
          .subarray(40)
          .every((byte) => byte === 0),
      ).toBe(true);
    }
  });
});

describe('a segment with a flipped bit', () => {
  it('is not read, wherever the bit is', () => {
    const payload = Buffer.from('one bit');
    const packet = writeSegment(new PacketWriter(), v4, 40_000, 9000, outgoing(NO_OPTIONS, payload));
    for (let bit = 0; bit < packet.length * 8; bit += 1) {
      const flipped = Buffer.from(packet);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const { header, problem, view } = read(flipped);
      expect(typeof (problem ?? readSegment(flipped, view, header))).toBe('string');
    }
  });
});

describe('IPv4 headers', () => {
  const packet = (change: (bytes: Buffer) => void, headerBytes = 20) => {
    const bytes = Buffer.alloc(headerBytes + 8);
    bytes[0] = 0x40 | (headerBytes / 4);
    bytes.writeUInt16BE(bytes.length, 2);
    bytes[9] = UDP;
    bytes.set([10, 137, 0, 1, 10, 137, 0, 2], 12);
    change(bytes);
    let sum = 0;
    for (let at = 0; at < headerBytes; at += 2) sum += bytes.readUInt16BE(at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    bytes.writeUInt16BE(~sum & 0xffff, 10);
    return bytes;
  };

  it.each<[string, Buffer, string | undefined]>([
    ['plain', packet(() => {}), undefined],
    ['padding behind the packet', Buffer.concat([packet(() => {}), Buffer.alloc(12)]), undefined],
    ['longer than the datagram', packet((b) => b.writeUInt16BE(29, 2)), 'ip_truncated'],
    ['shorter than its header', packet((b) => b.writeUInt16BE(19, 2)), 'ip_truncated'],
    ['header of four words', packet((b) => b.fill(0x44, 0, 1)), 'ip_truncated'],
    ['first fragment', packet((b) => b.writeUInt16BE(0x2000, 6)), 'ip_fragment'],
    ['last fragment', packet((b) => b.writeUInt16BE(0x0001, 6)), 'ip_fragment'],
    ['router alert', packet((b) => b.set([0x94, 4, 0, 0], 20), 24), undefined],
    ['option of length zero', packet((b) => b.set([0x94, 0, 0, 0], 20), 24), 'ip_options'],
    ['option over the end', packet((b) => b.set([1, 1, 0x94, 3], 20), 24), 'ip_options'],
    ['loose source route', packet((b) => b.set([131, 3, 4, 0], 20), 24), 'ip_source_route'],
    ['strict source route', packet((b) => b.set([1, 137, 3, 4], 20), 24), 'ip_source_route'],
  ])('%s', (_name, bytes, expected) => {
    expect(read(bytes).problem).toBe(expected);
  });

  it('of a version there is not are refused', () => {
    expect(read(Buffer.alloc(40, 0x50)).problem).toBe('ip_version');
  });
});

describe('IPv6 headers', () => {
  const packet = (next: number, ...rest: number[]) => {
    const bytes = Buffer.concat([linuxPacket('udp_v6').subarray(0, 40), Buffer.from(rest)]);
    bytes.writeUInt16BE(rest.length, 4);
    bytes[6] = next;
    return bytes;
  };
  const udp = [1, 0, 0, 53, 0, 8, 0, 0];

  it.each<[string, Buffer, string | undefined]>([
    ['plain', packet(UDP, ...udp), undefined],
    ['hop-by-hop padding', packet(0, UDP, 0, 1, 4, 0, 0, 0, 0, ...udp), undefined],
    ['destination options, Pad1', packet(60, UDP, 0, 0, 0, 0, 0, 0, 0, ...udp), undefined],
    ['hop-by-hop second', packet(60, 0, 0, 1, 4, 0, 0, 0, 0, UDP, 0, 1, 4, 0, 0, 0, 0), 'ip_extension_headers'],
    ['option that must be known', packet(60, UDP, 0, 0xc2, 4, 0, 0, 0, 0, ...udp), 'ip_options'],
    ['option over the end', packet(60, UDP, 0, 1, 5, 0, 0, 0, 0, ...udp), 'ip_options'],
    ['header over the end', packet(60, UDP, 9, 1, 4, 0, 0, 0, 0), 'ip_truncated'],
    ['routing, nothing left', packet(43, UDP, 0, 0, 0, 0, 0, 0, 0, ...udp), undefined],
    ['routing, one left', packet(43, UDP, 0, 0, 1, 0, 0, 0, 0, ...udp), 'ip_source_route'],
    ['atomic fragment', packet(44, UDP, 0, 0, 0, 1, 2, 3, 4, ...udp), undefined],
    ['fragment', packet(44, UDP, 0, 0, 1, 1, 2, 3, 4, ...udp), 'ip_fragment'],
    [
      'chain of five',
      packet(60, ...[60, 60, 60, 60, UDP].flatMap((n) => [n, 0, 1, 4, 0, 0, 0, 0])),
      'ip_extension_headers',
    ],
  ])('%s', (_name, bytes, expected) => {
    const { problem, header } = read(bytes);
    expect(problem).toBe(expected);
    if (expected === undefined) expect(header.protocol).toBe(UDP);
  });
});

describe('ICMP', () => {
  it.each([v4, v6])('echo comes back as it was (IPv$local.version)', (route) => {
    const payload = Buffer.from('are you there');
    const packet = writeEcho(new PacketWriter(), route, 'echo_request', 0xabcd, 65_535, payload);
    const { header, view } = read(packet);
    expect(readIcmp(packet, view, header)).toEqual({ kind: 'echo_request', id: 0xabcd, sequence: 65_535, payload });
    packet[packet.length - 1] = 0;
    expect(readIcmp(packet, view, header)).toBe('icmp_checksum');
  });

  it.each([v4, v6])('port unreachable quotes the packet, no more than may be (IPv$local.version)', (route) => {
    const back = new Route(route.remote, route.local);
    const writer = new PacketWriter();
    const cause = writeUdp(writer, back, 40_000, 53, Buffer.alloc(1300, 1));
    const packet = writeUnreachable(writer, route, 'port', cause, read(cause).header);
    expect(packet.length).toBe(route.local.version === 4 ? 576 : 1280);
    const { header, view } = read(packet);
    const message = readIcmp(packet, view, header);
    if (typeof message === 'string' || message.kind !== 'unreachable') throw new Error('not an error');
    expect(message.why).toBe('port');
    const quoted = new IpHeader();
    expect(readQuotedIpHeader(view, message.quoteStart, message.quoteEnd, quoted)).toBeUndefined();
    expect([quoted.source3, quoted.destination3]).toEqual([route.remote.w3, route.local.w3]);
    expect(view.getUint16(quoted.start)).toBe(40_000);
  });
});
