import { describe, expect, it } from 'vitest';
import { VirtualClock, SeededRandom } from '@coral/testing';
import { writeEcho, writeUnreachable } from '../wire/icmp-codec.js';
import { PacketWriter, Route } from '../wire/packet-writer.js';
import { NO_OPTIONS, RST, SYN } from '../wire/segment.js';
import { writeSegment } from '../wire/tcp-codec.js';
import { writeUdp } from '../wire/udp-codec.js';
import { IpStack } from './ip-stack.js';
import {
  address,
  asIcmp,
  asSegment,
  asUdp,
  drops,
  inbound,
  lonelyHost,
  parse,
  them,
  twoHosts,
  us,
} from './spec-support/host.js';

const versions = [4, 6] as const;
const writer = new PacketWriter();
const theirsOf = (version: 4 | 6) => (version === 4 ? them.v4 : them.v6);
const echo = (route: Route, payload = 'hello') => writeEcho(writer, route, 'echo_request', 7, 9, Buffer.from(payload));
const syn = (route: Route, port = 9000) =>
  writeSegment(writer, route, 40_000, port, {
    seq: 1000,
    ack: 0,
    flags: SYN,
    window: 1000,
    options: NO_OPTIONS,
    payloadLength: 0,
    writePayload: () => {},
  });

describe.each(versions)('echo over IPv%i', (version) => {
  it('is answered with what was sent, to whom it came from', () => {
    const { stack, take } = lonelyHost();
    stack.onPacket(echo(inbound(version)));
    const [reply = Buffer.alloc(0)] = take();
    expect(asIcmp(reply)).toEqual({ kind: 'echo_reply', id: 7, sequence: 9, payload: Buffer.from('hello') });
    expect(parse(reply).header.destination3).toBe(address(theirsOf(version)).w3);
  });

  it('of ours measures the round trip', () => {
    const { clock, ours } = twoHosts('ping', { impairments: { delayMs: 20 } });
    const heard: (number | undefined)[] = [];
    ours.ping(theirsOf(version), { timeoutMs: 1000, done: (ms) => heard.push(ms) });
    expect(clock.runUntilIdle(5000)).toBe(40);
    expect(heard).toEqual([40]);
    expect(ours.nextTimerAt()).toBe(Infinity);
  });

  it('of ours without an answer ends after its time', () => {
    const { clock, ours } = twoHosts('no pong', { impairments: { loss: 1 } });
    const heard: (number | undefined)[] = [];
    ours.ping(theirsOf(version), { timeoutMs: 1000, done: (ms) => heard.push(ms) });
    clock.advance(999);
    expect(heard).toEqual([]);
    clock.advance(1);
    expect(heard).toEqual([undefined]);
  });
});

describe('echo', () => {
  it('is answered a hundred times a second and no more, each source by itself', () => {
    const { stack, clock, take } = lonelyHost();
    for (let n = 0; n < 1000; n += 1) stack.onPacket(echo(inbound(4)));
    expect(take()).toHaveLength(200);
    stack.onPacket(echo(inbound(4, '10.137.0.3')));
    expect(take()).toHaveLength(1);
    clock.advance(1000);
    for (let n = 0; n < 1000; n += 1) stack.onPacket(echo(inbound(4)));
    expect(take()).toHaveLength(100);
    expect(drops(stack)).toEqual({ icmp_rate: 1700 });
  });

  it('replies from elsewhere, or that do not know what was sent, are not taken for an answer', () => {
    const { stack, clock, take } = lonelyHost();
    const heard: (number | undefined)[] = [];
    stack.ping(them.v4, { timeoutMs: 1000, done: (ms) => heard.push(ms) });
    const request = asIcmp(take()[0] ?? Buffer.alloc(0));
    if (request.kind !== 'echo_request') throw new Error('not a request');
    const { id, sequence, payload } = request;
    stack.onPacket(writeEcho(writer, inbound(4, '10.137.0.3'), 'echo_reply', id, sequence, payload));
    stack.onPacket(writeEcho(writer, inbound(4), 'echo_reply', id, sequence, Buffer.alloc(16)));
    stack.onPacket(writeEcho(writer, inbound(4), 'echo_reply', id, sequence + 1, payload));
    expect([heard, drops(stack)]).toEqual([[], { icmp_echo_unexpected: 3 }]);
    clock.advance(5);
    stack.onPacket(writeEcho(writer, inbound(4), 'echo_reply', id, sequence, payload));
    stack.onPacket(writeEcho(writer, inbound(4), 'echo_reply', id, sequence, payload));
    expect([heard, drops(stack)]).toEqual([[5], { icmp_echo_unexpected: 4 }]);
  });

  it('requests of ours have an end', () => {
    const { stack } = lonelyHost({ limits: { maxPings: 2 } });
    const ping = () => stack.ping(them.v4, { timeoutMs: 1000, done: () => {} });
    ping();
    ping();
    expect(ping).toThrow(expect.objectContaining({ reason: 'too_many_pings' }));
  });
});

describe.each(versions)('UDP over IPv%i', (version) => {
  it('goes there and back', () => {
    const { clock, ours, theirs } = twoHosts('udp');
    const heard: string[] = [];
    const server = theirs.bindUdp(53, {
      datagram: (payload, from, to) => {
        heard.push(`${payload.toString()} for ${to.port}`);
        server.send(Buffer.from('answer'), from);
      },
    });
    const client = ours.bindUdp(0, {
      datagram: (payload, from) => heard.push(`${payload.toString()} from ${from.address}:${from.port}`),
    });
    client.send(Buffer.from('question'), { address: theirsOf(version), port: 53 });
    clock.runUntilIdle(1000);
    expect(heard).toEqual(['question for 53', `answer from ${theirsOf(version)}:53`]);
  });

  it('to a port nobody has is answered by an error, and the sender hears it', () => {
    const { clock, ours, theirs } = twoHosts('udp closed');
    const heard: unknown[] = [];
    const client = ours.bindUdp(0, { datagram: () => {}, unreachable: (to) => heard.push(to) });
    client.send(Buffer.from('anyone?'), { address: theirsOf(version), port: 53 });
    clock.runUntilIdle(1000);
    expect(heard).toEqual([{ address: theirsOf(version), port: 53 }]);
    expect([drops(theirs), theirs.counters().icmpErrorsSent]).toEqual([{ udp_port_closed: 1 }, 1]);
  });

  it('errors are few however much comes', () => {
    const { stack, take } = lonelyHost();
    for (let n = 0; n < 500; n += 1) stack.onPacket(writeUdp(writer, inbound(version), 1, 53, Buffer.alloc(3)));
    expect(take()).toHaveLength(40);
    expect(drops(stack)).toEqual({ udp_port_closed: 40, icmp_rate: 460 });
  });

  it('that does not fit into a packet is refused before it is sent', () => {
    const { stack, take } = lonelyHost();
    const port = stack.bindUdp(0, { datagram: () => {} });
    const room = 1280 - (version === 4 ? 20 : 40) - 8;
    const to = { address: theirsOf(version), port: 53 };
    port.send(Buffer.alloc(room, 1), to);
    expect(asUdp(take()[0] ?? Buffer.alloc(0)).payload).toHaveLength(room);
    expect(() => port.send(Buffer.alloc(room + 1), to)).toThrow(
      expect.objectContaining({ reason: 'datagram_too_large' }),
    );
  });
});

describe('a protocol nobody speaks', () => {
  it.each(versions)('is answered by an error (IPv%i)', (version) => {
    const { stack, take } = lonelyHost();
    const packet = writeUdp(writer, inbound(version), 1, 2, Buffer.alloc(20));
    if (version === 6) packet[6] = 132;
    else {
      packet[9] = 132;
      packet.writeUInt16BE(packet.readUInt16BE(10) - (132 - 17), 10);
    }
    stack.onPacket(packet);
    expect(asIcmp(take()[0] ?? Buffer.alloc(0))).toMatchObject({ kind: 'unreachable', why: 'protocol' });
    expect(drops(stack)).toEqual({ ip_protocol: 1 });
  });
});

describe('a segment for which there is no connection', () => {
  it.each(versions)('is reset (IPv%i), a RST never', (version) => {
    const { stack, take } = lonelyHost();
    stack.onPacket(syn(inbound(version)));
    const reset = asSegment(take()[0] ?? Buffer.alloc(0));
    expect(reset).toMatchObject({ sourcePort: 9000, destinationPort: 40_000, seq: 0, ack: 1001, flags: RST | 0x10 });
    const packet = writeSegment(writer, inbound(version), 1, 2, { ...reset, payloadLength: 0, writePayload: () => {} });
    stack.onPacket(packet);
    expect(take()).toEqual([]);
    expect(drops(stack)).toEqual({ tcp_no_connection: 2 });
  });

  it('is reset only so often', () => {
    const { stack, take } = lonelyHost();
    for (let n = 0; n < 1000; n += 1) stack.onPacket(syn(inbound(4)));
    expect(take()).toHaveLength(200);
    expect(drops(stack)).toEqual({ tcp_no_connection: 200, tcp_reset_rate: 800 });
  });
});

describe('a packet that lies about who sent it', () => {
  it.each([
    ['our own address (land)', us.v4, 'ip_source_is_ours'],
    ['our own address (land)', us.v6, 'ip_source_is_ours'],
    ['multicast', '224.0.0.1', 'ip_source_not_unicast'],
    ['multicast', 'ff02::1', 'ip_source_not_unicast'],
    ['broadcast', '255.255.255.255', 'ip_source_not_unicast'],
    ['loopback', '127.0.0.1', 'ip_source_not_unicast'],
    ['loopback', '::1', 'ip_source_not_unicast'],
    ['nobody', '0.0.0.0', 'ip_source_not_unicast'],
    ['nobody', '::', 'ip_source_not_unicast'],
  ])('from %s %s is dropped and not answered', (_what, from, reason) => {
    const { stack, take } = lonelyHost();
    stack.listen(9000, () => ({}));
    const route = inbound(from.includes(':') ? 6 : 4, from);
    stack.onPacket(echo(route));
    stack.onPacket(syn(route));
    stack.onPacket(writeUdp(writer, route, 1, 2, Buffer.alloc(1)));
    stack.endOfTurn();
    expect([take(), drops(stack)]).toEqual([[], { [reason]: 3 }]);
  });

  it('from an IPv4 address dressed as IPv6 is dropped, and so is one to such an address', () => {
    const { stack, take } = lonelyHost();
    const from = writeUdp(writer, inbound(6), 1, 2, Buffer.alloc(1));
    Buffer.from('00000000000000000000ffff0a890002', 'hex').copy(from, 8);
    stack.onPacket(from);
    const to = writeUdp(writer, inbound(6), 1, 2, Buffer.alloc(1));
    Buffer.from('00000000000000000000ffff0a890001', 'hex').copy(to, 24);
    stack.onPacket(to);
    expect([take(), drops(stack)]).toEqual([[], { ip_source_not_unicast: 1, ip_not_for_us: 1 }]);
  });

  it('or is for somebody else is dropped', () => {
    const { stack, take } = lonelyHost();
    for (const to of ['10.137.0.3', '10.137.255.255', '224.0.0.1']) {
      stack.onPacket(echo(new Route(address(them.v4), address(to))));
    }
    expect([take(), drops(stack)]).toEqual([[], { ip_not_for_us: 3 }]);
  });
});

describe('an ICMP error', () => {
  it('is not believed when it quotes nothing of ours', () => {
    const { stack, take } = lonelyHost();
    const ours = new Route(address(us.v4), address(them.v4));
    const neverSent = writeUdp(writer, ours, 4444, 53, Buffer.alloc(9));
    stack.onPacket(writeUnreachable(writer, inbound(4), 'port', neverSent, parse(neverSent).header));
    const heard: unknown[] = [];
    stack.bindUdp(1, { datagram: () => {}, unreachable: (to) => heard.push(to) });
    const neverOurs = writeUdp(writer, new Route(address(them.v4), address(us.v4)), 1, 2, Buffer.alloc(9));
    stack.onPacket(writeUnreachable(writer, inbound(4), 'port', neverOurs, parse(neverOurs).header));
    const short = writeUnreachable(writer, inbound(4), 'port', neverSent.subarray(0, 27), parse(neverSent).header);
    stack.onPacket(short);
    expect([take(), drops(stack)]).toEqual([[], { icmp_quote_unknown: 2, icmp_quote_malformed: 1 }]);
    expect(heard).toEqual([]);
  });

  it('is never answered by another', () => {
    const { stack, take } = lonelyHost();
    const cause = writeUdp(writer, new Route(address(us.v4), address(them.v4)), 1, 2, Buffer.alloc(9));
    for (let n = 0; n < 10; n += 1) {
      stack.onPacket(writeUnreachable(writer, inbound(4), 'protocol', cause, parse(cause).header));
    }
    expect(take()).toEqual([]);
  });
});

describe('a stack', () => {
  const make = (addresses: string[], mtu = 1280) =>
    new IpStack({
      addresses,
      mtu,
      clock: new VirtualClock(),
      random: new SeededRandom('x').bytes,
      output: { packet: () => {} },
    });

  it.each(['10.137.0.1/16', 'here', '127.0.0.1', 'ff02::1', '0.0.0.0'])('cannot be at %s', (text) => {
    expect(() => make([text])).toThrow(expect.objectContaining({ reason: 'bad_mesh_address', where: 'addresses[0]' }));
  });

  it.each([
    [us.v6, 1279],
    [us.v4, 575],
    [us.v4, 1280.5],
    [us.v4, 65_536],
  ])('at %s cannot have an MTU of %d', (text, mtu) => {
    expect(() => make([text], mtu)).toThrow(expect.objectContaining({ reason: 'bad_mtu' }));
  });

  it('says what is wrong with a call', () => {
    const stack = make([us.v4]);
    const connect =
      (to: string, port = 1, localPort = 0) =>
      () =>
        stack.connect({ address: to, port, localPort, handlers: {} });
    expect(connect('nowhere')).toThrow(expect.objectContaining({ reason: 'bad_mesh_address' }));
    expect(connect(us.v4)).toThrow(expect.objectContaining({ reason: 'address_is_ours' }));
    expect(connect(them.v6)).toThrow(expect.objectContaining({ reason: 'no_route' }));
    expect(connect(them.v4, 0)).toThrow(expect.objectContaining({ reason: 'bad_port', where: 'port' }));
    expect(connect(them.v4, 1, -1)).toThrow(expect.objectContaining({ reason: 'bad_port', where: 'localPort' }));
    expect(() => stack.listen(70_000, () => ({}))).toThrow(expect.objectContaining({ reason: 'bad_port' }));
    const listener = stack.listen(9000, () => ({}));
    expect(() => stack.listen(9000, () => ({}))).toThrow(expect.objectContaining({ reason: 'port_in_use' }));
    listener.close();
    stack.listen(9000, () => ({}));
    // A listener that was closed twice does not close the one that came after it.
    listener.close();
    expect(() => stack.listen(9000, () => ({}))).toThrow(expect.objectContaining({ reason: 'port_in_use' }));
    expect(stack.listen(0, () => ({})).port).toBeGreaterThanOrEqual(49_152);
  });

  it('that is closed takes nothing, sends nothing and says so', () => {
    const { stack, take } = lonelyHost();
    const heard: (number | undefined)[] = [];
    stack.ping(them.v4, { timeoutMs: 1000, done: (ms) => heard.push(ms) });
    take();
    stack.close();
    stack.close();
    stack.onPacket(echo(inbound(4)));
    expect([take(), heard, drops(stack)]).toEqual([[], [undefined], { stack_closed: 1 }]);
    expect(() => stack.listen(1, () => ({}))).toThrow(expect.objectContaining({ reason: 'stack_closed' }));
    expect(stack.nextTimerAt()).toBe(Infinity);
  });
});
