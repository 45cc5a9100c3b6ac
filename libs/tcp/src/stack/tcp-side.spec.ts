import { describe, expect, it } from 'vitest';
import type { TcpConnection, TcpError } from '../connection/index.js';
import { writeUnreachable } from '../wire/icmp-codec.js';
import { PacketWriter, Route } from '../wire/packet-writer.js';
import { ACK, FIN, NO_OPTIONS, RST, SYN, type Segment } from '../wire/segment.js';
import { writeSegment } from '../wire/tcp-codec.js';
import { address, drops, inbound, lonelyHost, parse, them, twoHosts, us } from './spec-support/host.js';

const versions = [4, 6] as const;
const writer = new PacketWriter();
const theirsOf = (version: 4 | 6) => (version === 4 ? them.v4 : them.v6);
const none = { connections: 0, halfOpen: 0, timeWait: 0, memoryBytes: 0, peers: 0 };

/** A segment from them to port 9000 here. */
function segment(o: Partial<Segment> & { from?: string; text?: string }): Buffer {
  const payload = Buffer.from(o.text ?? '');
  const route = inbound(o.from?.includes(':') ? 6 : 4, o.from ?? them.v4);
  return writeSegment(writer, route, o.sourcePort ?? 40_000, o.destinationPort ?? 9000, {
    seq: o.seq ?? 1000,
    ack: o.ack ?? 0,
    flags: o.flags ?? SYN,
    window: o.window ?? 60_000,
    options: o.options ?? NO_OPTIONS,
    payloadLength: payload.length,
    writePayload: (target, offset) => void payload.copy(target, offset),
  });
}

/** A host with a listener on 9000 and one connection to it, made by hand. */
function accepted(options: Parameters<typeof lonelyHost>[0] = {}, synOptions = NO_OPTIONS) {
  const host = lonelyHost(options);
  const closed: (TcpError | undefined)[] = [];
  const connections: TcpConnection[] = [];
  const listener = host.stack.listen(9000, (connection) => {
    connections.push(connection);
    return { closed: (error) => void closed.push(error) };
  });
  const say = (o: Parameters<typeof segment>[0]): Segment[] => {
    host.stack.onPacket(segment(o));
    host.stack.endOfTurn();
    return host.takeSegments();
  };
  const [synAck] = say({ options: synOptions });
  if (synAck === undefined) throw new Error('no answer to a SYN');
  say({ flags: ACK, seq: 1001, ack: synAck.seq + 1, options: synOptions });
  const [connection] = connections;
  if (connection === undefined) throw new Error('not accepted');
  return { ...host, listener, connection, connections, closed, say, theirNext: 1001, ourNext: (synAck.seq + 1) >>> 0 };
}

describe.each(versions)('a connection over IPv%i', (version) => {
  it('carries bytes both ways, ends in order, and leaves nothing behind after TIME-WAIT', () => {
    const { clock, ours, theirs } = twoHosts('echo', { impairments: { delayMs: 5 } });
    theirs.listen(9000, (connection) => ({
      readable: () => {
        for (let bytes = connection.read(); bytes !== undefined; bytes = connection.read()) connection.write(bytes);
      },
      ended: () => connection.end(),
    }));
    const heard: string[] = [];
    const connection = ours.connect({
      address: theirsOf(version),
      port: 9000,
      handlers: {
        connected: () => {
          heard.push('connected');
          connection.write(Buffer.from('coral'));
          connection.end();
        },
        readable: () => heard.push(connection.read()?.toString() ?? ''),
        ended: () => heard.push('ended'),
        closed: (error) => heard.push(`closed ${error?.reason ?? 'in order'}`),
      },
    });
    expect(connection.remote).toEqual({ address: theirsOf(version), port: 9000 });
    clock.runUntil(() => heard.length === 4, 10_000);
    expect(heard).toEqual(['connected', 'coral', 'ended', 'closed in order']);
    clock.advance(1000);
    expect(theirs.counters()).toMatchObject(none);
    expect(ours.counters()).toMatchObject({ connections: 0, timeWait: 1, memoryBytes: 0, peers: 1 });
    clock.advance(60_000);
    expect(ours.counters()).toMatchObject(none);
    expect(clock.nextAt()).toBe(Infinity);
  });

  it('to a port where nobody listens is refused', () => {
    const { clock, ours, theirs } = twoHosts('refused');
    const errors: (string | undefined)[] = [];
    ours.connect({
      address: theirsOf(version),
      port: 9000,
      handlers: { closed: (error) => errors.push(error?.reason) },
    });
    clock.runUntil(() => errors.length > 0, 1000);
    expect(errors).toEqual(['tcp_refused']);
    expect([ours.counters(), theirs.counters()]).toMatchObject([none, none]);
  });

  it('that an ICMP error answers is unreachable', () => {
    const { stack, take } = lonelyHost();
    const errors: (string | undefined)[] = [];
    stack.connect({
      address: theirsOf(version),
      port: 9000,
      handlers: { closed: (error) => errors.push(error?.reason) },
    });
    stack.endOfTurn();
    const [syn = Buffer.alloc(0)] = take();
    // From a router on the way, not from the far end.
    const router = inbound(version, version === 4 ? '10.137.0.254' : 'fd42:c0a1::fe');
    stack.onPacket(writeUnreachable(writer, router, 'port', syn, parse(syn).header));
    stack.endOfTurn();
    expect(errors).toEqual(['tcp_unreachable']);
    expect(stack.counters()).toMatchObject(none);
  });
});

describe('a listener', () => {
  it('hears of a connection only when its handshake is complete', () => {
    const { stack, takeSegments } = lonelyHost();
    let accepts = 0;
    stack.listen(9000, () => {
      accepts += 1;
      return {};
    });
    stack.onPacket(segment({}));
    stack.endOfTurn();
    const [synAck] = takeSegments();
    expect([accepts, synAck?.flags, stack.counters().halfOpen]).toEqual([0, SYN | ACK, 1]);
    stack.onPacket(segment({ flags: ACK, seq: 1001, ack: (synAck?.seq ?? 0) + 1 }));
    expect([accepts, stack.counters().halfOpen, stack.counters().connections]).toEqual([1, 0, 1]);
  });

  it('that wants no more resets the connection', () => {
    const { clock, ours, theirs } = twoHosts('not accepted');
    theirs.listen(9000, () => undefined);
    const errors: (string | undefined)[] = [];
    ours.connect({ address: them.v4, port: 9000, handlers: { closed: (error) => errors.push(error?.reason) } });
    clock.runUntil(() => errors.length > 0, 1000);
    expect(errors).toEqual(['tcp_reset']);
    expect(drops(theirs)).toMatchObject({ tcp_not_accepted: 1 });
    expect(theirs.counters()).toMatchObject(none);
  });

  it('that is closed gets nothing any more, not even what is half open; those that are open go on', () => {
    const host = accepted();
    const { say, stack } = host;
    const [synAck] = say({ sourcePort: 40_001 });
    host.listener.close();
    const [reset] = say({ sourcePort: 40_001, flags: ACK, seq: 1001, ack: (synAck?.seq ?? 0) + 1 });
    expect(reset?.flags).toBe(RST | ACK);
    expect(say({ sourcePort: 40_002 })[0]?.flags).toBe(RST | ACK);
    expect(host.connections).toHaveLength(1);
    say({ flags: ACK, seq: 1001, ack: host.ourNext, text: 'still here' });
    expect(host.connection.read()?.toString()).toBe('still here');
    expect(stack.counters()).toMatchObject({ connections: 1, halfOpen: 0 });
  });

  it.each([
    ['SYN and FIN', SYN | FIN, 'nothing'],
    ['no flags', 0, 'nothing'],
    ['FIN alone', FIN, 'nothing'],
    ['a stray ACK', ACK, 'RST'],
    ['a stray SYN-ACK', SYN | ACK, 'RST'],
    ['a RST', RST, 'nothing'],
  ])('answers %s with %s', (_name, flags, answer) => {
    const { stack, takeSegments } = lonelyHost();
    stack.listen(9000, () => ({}));
    stack.onPacket(segment({ flags, ack: 77 }));
    stack.endOfTurn();
    const expected = answer === 'RST' ? [{ flags: RST, seq: 77 }] : [];
    expect(takeSegments().map((each) => ({ flags: each.flags, seq: each.seq }))).toEqual(expected);
    expect(stack.counters()).toMatchObject(none);
  });
});

describe('a flood of SYNs', () => {
  it('from one peer takes no more than its share, and goes by itself', () => {
    const { stack, clock, take } = lonelyHost({ limits: { maxHalfOpenPerPeer: 64 } });
    clock.attach(stack);
    stack.listen(9000, () => ({}));
    for (let port = 1; port <= 5000; port += 1) stack.onPacket(segment({ sourcePort: port }));
    expect(stack.counters()).toMatchObject({ halfOpen: 64, connections: 64, peers: 1 });
    expect(drops(stack)).toEqual({ tcp_half_open_peer_full: 4936 });
    stack.endOfTurn();
    expect(take()).toHaveLength(64);
    // Another peer is not kept out.
    stack.onPacket(segment({ from: '10.137.0.3' }));
    expect(stack.counters().halfOpen).toBe(65);
    clock.runUntilIdle(120_000);
    expect(stack.counters()).toMatchObject(none);
    // A SYN-ACK is sent again, but not for ever.
    expect(take().length).toBeLessThan(65 * 8);
  });

  it('from everywhere ends at the limit of all', () => {
    const { stack, clock } = lonelyHost({ limits: { maxHalfOpen: 100 } });
    clock.attach(stack);
    stack.listen(9000, () => ({}));
    for (let n = 0; n < 5000; n += 1) stack.onPacket(segment({ from: `10.137.${1 + (n >> 8)}.${n & 255}` }));
    expect(stack.counters()).toMatchObject({ halfOpen: 100, connections: 100, peers: 100 });
    expect(drops(stack)).toEqual({ tcp_half_open_full: 4900 });
    clock.runUntilIdle(120_000);
    expect(stack.counters()).toMatchObject(none);
  });
});

describe('the caps of a peer', () => {
  it('on connections hold for both who opens and who accepts', () => {
    const limits = { maxConnectionsPerPeer: 3 };
    const { clock, ours, theirs } = twoHosts('caps', { ours: { limits }, theirs: { limits } });
    theirs.listen(9000, () => ({}));
    const connect = () => ours.connect({ address: them.v4, port: 9000, handlers: {} });
    for (let n = 0; n < 3; n += 1) connect();
    expect(connect).toThrow(expect.objectContaining({ reason: 'too_many_connections' }));
    ours.connect({ address: them.v6, port: 9000, handlers: {} });
    clock.advance(100);
    expect(theirs.counters()).toMatchObject({ connections: 4, connectionsAccepted: 4 });
    theirs.cutPeer(us.v4);
    expect(theirs.counters()).toMatchObject({ connections: 1 });
  });

  it('on memory: bytes beyond it are refused, and all arrive when there is room again', () => {
    const limits = { maxMemoryBytesPerPeer: 40_000 };
    const { clock, ours, theirs } = twoHosts('memory', { theirs: { limits } });
    const held: TcpConnection[] = [];
    theirs.listen(9000, (connection) => {
      held.push(connection);
      return {};
    });
    const sent = [1, 2, 3, 4].map((n) => {
      const connection = ours.connect({ address: them.v4, port: 9000, handlers: {} });
      connection.write(Buffer.alloc(30_000, n));
      return connection;
    });
    let most = 0;
    for (let n = 0; n < 200; n += 1) {
      clock.advance(50);
      most = Math.max(most, theirs.counters().memoryBytes);
    }
    expect(most).toBeLessThanOrEqual(40_000);
    expect(most).toBeGreaterThan(30_000);
    expect(theirs.counters().payloadsRefused).toBeGreaterThan(0);
    const got = held.map(() => 0);
    const readAll = () =>
      held.forEach((connection, index) => {
        for (let bytes = connection.read(); bytes !== undefined; bytes = connection.read()) {
          got[index] = (got[index] ?? 0) + bytes.length;
        }
      });
    for (let n = 0; n < 2000 && got.some((bytes) => bytes < 30_000); n += 1) {
      readAll();
      clock.advance(50);
    }
    expect(got).toEqual([30_000, 30_000, 30_000, 30_000]);
    expect(sent.map((connection) => connection.state)).toEqual(Array(4).fill('established'));
    expect(theirs.counters().memoryBytes).toBe(0);
  });
});

describe('a peer that asks for much and takes nothing', () => {
  it('loses its largest connection when it holds far too much, and only that', () => {
    const limits = { cutMemoryBytesPerPeer: 1_000_000 };
    const host = accepted({ limits });
    const errors: (string | undefined)[] = [];
    host.listener.close();
    host.stack.listen(9000, (connection) => {
      host.connections.push(connection);
      return { closed: (error) => void errors.push(error?.reason) };
    });
    for (let n = 1; n <= 3; n += 1) {
      const ack = (host.say({ sourcePort: 40_000 + n })[0]?.seq ?? 0) + 1;
      host.say({ sourcePort: 40_000 + n, flags: ACK, seq: 1001, ack, window: 0 });
      host.connections[n]?.write(Buffer.alloc(n * 190_000));
      host.stack.endOfTurn();
    }
    expect(errors).toEqual(['tcp_memory_exhausted']);
    expect(host.connections.map((each) => each.state)).toEqual(['established', 'established', 'established', 'closed']);
    expect(host.takeSegments().map((each) => each.flags)).toEqual([RST | ACK]);
    expect(host.stack.counters()).toMatchObject({ connectionsCut: 1, connections: 3, memoryBytes: 570_000 });
  });

  it('is found among all when the stack as a whole holds far too much', () => {
    const host = lonelyHost({ limits: { cutMemoryBytes: 500_000 } });
    const open = (address: string, bytes: number) => {
      const connection = host.stack.connect({ address, port: 9000, handlers: {} });
      connection.write(Buffer.alloc(bytes));
      host.stack.endOfTurn();
      return connection;
    };
    const states = [open('10.137.0.3', 300_000), open('10.137.0.4', 100_000), open('10.137.0.5', 150_000)];
    expect(states.map((each) => each.state)).toEqual(['closed', 'syn_sent', 'syn_sent']);
  });
});

describe('ports of our own', () => {
  it('are not used twice to one place, and those of a listener not at all', () => {
    const { stack, takeSegments } = lonelyHost({ limits: { firstEphemeralPort: 50_000, lastEphemeralPort: 50_003 } });
    stack.listen(50_001, () => ({}));
    const connect = (to: string, localPort = 0) => stack.connect({ address: to, port: 9000, localPort, handlers: {} });
    for (let n = 0; n < 3; n += 1) connect(them.v4);
    stack.endOfTurn();
    expect(new Set(takeSegments().map((each) => each.sourcePort))).toEqual(new Set([50_000, 50_002, 50_003]));
    expect(() => connect(them.v4)).toThrow(expect.objectContaining({ reason: 'no_port_left' }));
    expect(() => connect(them.v4, 50_000)).toThrow(expect.objectContaining({ reason: 'port_in_use' }));
    connect('10.137.0.3');
    connect(them.v4, 7);
  });
});

describe('cutting a peer off', () => {
  it('ends its connections at once with peer_gone and without a word', () => {
    const host = accepted();
    host.say({ from: '10.137.0.3' });
    host.say({ flags: ACK, seq: 1001, ack: host.ourNext, text: 'unread' });
    host.connection.write(Buffer.from('unsent'));
    host.stack.cutPeer(them.v4);
    host.stack.endOfTurn();
    expect(host.closed.map((error) => error?.reason)).toEqual(['peer_gone']);
    expect(host.take()).toEqual([]);
    expect(host.connection.state).toBe('closed');
    expect(host.connection.read()).toBeUndefined();
    // The other peer's half-open connection is there as before.
    expect(host.stack.counters()).toMatchObject({ connections: 1, peers: 1, memoryBytes: 0 });
  });

  it('takes away what came before an orderly end and was not read, and does not call it orderly', () => {
    const host = accepted();
    host.say({ flags: ACK | FIN, seq: 1001, ack: host.ourNext, text: 'unread' });
    host.connection.end();
    host.stack.endOfTurn();
    host.say({ flags: ACK, seq: 1008, ack: host.ourNext + 1 });
    expect(host.connection.state).toBe('closed');
    expect(host.stack.counters()).toMatchObject({ connections: 0, peers: 1, memoryBytes: 6 });
    host.stack.cutPeer(them.v4);
    host.stack.endOfTurn();
    expect(host.connection.read()).toBeUndefined();
    expect(host.closed.map((error) => error?.reason)).toEqual(['peer_gone']);
    expect(host.stack.counters()).toMatchObject(none);
  });

  it('ends, though an application connects anew each time', () => {
    const { stack } = lonelyHost();
    let attempts = 0;
    const connect = () => {
      attempts += 1;
      stack.connect({ address: them.v4, port: 9000, handlers: { closed: connect } });
    };
    connect();
    stack.cutPeer(them.v4);
    expect([attempts, stack.counters().connections]).toEqual([2, 1]);
  });

  it.each(['cut', 'closed'])('spares none, though a handler throws (%s)', (how) => {
    const { stack } = lonelyHost();
    let told = 0;
    const closed = () => {
      told += 1;
      throw new Error('a bug of the application');
    };
    for (let n = 0; n < 3; n += 1) stack.connect({ address: them.v4, port: 9000, handlers: { closed } });
    expect(() => (how === 'cut' ? stack.cutPeer(them.v4) : stack.close())).toThrow('a bug of the application');
    expect([told, stack.counters()]).toMatchObject([3, none]);
  });

  it('says goodbye when asked: one RST for each connection, which the other side believes', () => {
    const { clock, ours, theirs, back } = twoHosts('goodbye', { impairments: { delayMs: 3 } });
    const errors: (string | undefined)[] = [];
    theirs.listen(9000, (connection) => ({ readable: () => void connection.read() }));
    for (let n = 0; n < 3; n += 1) {
      const connection = ours.connect({
        address: them.v4,
        port: 9000,
        handlers: { closed: (error) => errors.push(error?.reason) },
      });
      connection.write(Buffer.alloc(5000));
    }
    clock.advance(1000);
    const before = back.counters.offered;
    theirs.cutPeer(us.v4, { goodbye: true });
    expect(back.counters.offered).toBe(before + 3);
    clock.advance(1000);
    expect(errors).toEqual(['tcp_reset', 'tcp_reset', 'tcp_reset']);
    expect([ours.counters(), theirs.counters()]).toMatchObject([none, none]);
  });

  it('forgets its TIME-WAIT', () => {
    const host = accepted();
    host.connection.end();
    host.stack.endOfTurn();
    host.say({ flags: ACK | FIN, seq: 1001, ack: host.ourNext + 1 });
    expect(host.stack.counters()).toMatchObject({ timeWait: 1, connections: 0, peers: 1 });
    host.stack.cutPeer(them.v4);
    expect(host.stack.counters()).toMatchObject(none);
  });

  it('takes away what came before a TIME-WAIT and was not read', () => {
    const host = accepted();
    host.say({ flags: ACK, seq: 1001, ack: host.ourNext, text: 'unread' });
    host.connection.end();
    host.stack.endOfTurn();
    host.say({ flags: ACK | FIN, seq: 1007, ack: host.ourNext + 1 });
    expect(host.stack.counters()).toMatchObject({ connections: 1, peers: 1, memoryBytes: 6 });
    host.stack.cutPeer(them.v4);
    host.stack.endOfTurn();
    expect(host.stack.counters()).toMatchObject(none);
    expect(host.connection.read()).toBeUndefined();
  });
});

describe('asking a peer whether it still knows us', () => {
  it('sends one empty segment of bytes that it has, on idle connections alone, and believes its reset', () => {
    const { stack, connection, closed, say, takeSegments, theirNext, ourNext } = accepted();
    connection.write(Buffer.from('question'));
    stack.endOfTurn();
    expect(takeSegments()).toHaveLength(1);
    // On its way: the data asks already.
    stack.probePeer(them.v4);
    stack.endOfTurn();
    expect(takeSegments()).toEqual([]);
    say({ flags: ACK, seq: theirNext, ack: ourNext + 8 });
    stack.probePeer('10.9.9.9');
    stack.endOfTurn();
    expect(takeSegments()).toEqual([]);
    stack.probePeer(them.v4);
    stack.endOfTurn();
    const [probe, ...more] = takeSegments();
    expect(more).toEqual([]);
    expect(probe).toMatchObject({ flags: ACK, seq: ourNext + 7, payload: Buffer.alloc(0) });
    // Started anew meanwhile: it knows nothing of this (RFC 9293 §3.10.7.1).
    say({ flags: RST, seq: theirNext });
    expect(closed).toMatchObject([{ reason: 'tcp_reset' }]);
  });

  it('costs a peer that does know us one acknowledgement', () => {
    const { stack, connection, closed, say, takeSegments, theirNext, ourNext } = accepted();
    stack.probePeer(them.v4);
    stack.endOfTurn();
    expect(takeSegments()).toHaveLength(1);
    say({ flags: ACK, seq: theirNext, ack: ourNext });
    expect([connection.state, closed]).toEqual(['established', []]);
  });
});

describe('TIME-WAIT', () => {
  /** We ended first: ours is the TIME-WAIT. */
  function ended(options: Parameters<typeof lonelyHost>[0] = {}) {
    const host = accepted(options);
    host.clock.attach(host.stack);
    host.connection.end();
    const [fin] = host.say({ flags: ACK, seq: 1001, ack: host.ourNext });
    expect((fin?.flags ?? 0) & FIN).toBe(FIN);
    const [last] = host.say({ flags: FIN | ACK, seq: 1001, ack: host.ourNext + 1 });
    expect(last).toMatchObject({ flags: ACK, seq: host.ourNext + 1, ack: 1002 });
    expect(host.stack.counters()).toMatchObject({ connections: 0, timeWait: 1, memoryBytes: 0 });
    expect(host.closed).toEqual([undefined]);
    return host;
  }

  it('acknowledges a FIN that comes again, and lasts 2 MSL from then', () => {
    const host = ended();
    host.clock.advance(59_000);
    expect(host.say({ flags: FIN | ACK, seq: 1001, ack: host.ourNext + 1 })).toMatchObject([
      { flags: ACK, seq: host.ourNext + 1, ack: 1002 },
    ]);
    host.clock.advance(59_000);
    expect(host.stack.counters().timeWait).toBe(1);
    host.clock.advance(1000);
    expect(host.stack.counters()).toMatchObject(none);
  });

  it('is not ended by a RST (RFC 1337), and answers an old SYN with its ACK', () => {
    const host = ended();
    for (const seq of [1001, 1002, 1003]) expect(host.say({ flags: RST, seq })).toEqual([]);
    expect(host.say({ flags: SYN, seq: 900 })).toMatchObject([{ flags: ACK, ack: 1002 }]);
    expect(host.stack.counters()).toMatchObject({ timeWait: 1 });
  });

  it('gives way to a SYN that is newer', () => {
    const host = ended();
    expect(host.say({ flags: SYN, seq: 5000 })).toMatchObject([{ flags: SYN | ACK, ack: 5001 }]);
    expect(host.stack.counters()).toMatchObject({ timeWait: 0, halfOpen: 1 });
  });

  it('goes by the timestamps when there are any (RFC 6191): newer gets in, older does not, whatever the number', () => {
    const stamp = (value: number) => ({ ...NO_OPTIONS, timestamp: { value, echo: 0 } });
    const host = accepted({}, stamp(5000));
    host.connection.end();
    host.say({ flags: ACK, seq: 1001, ack: host.ourNext, options: stamp(5001) });
    host.say({ flags: FIN | ACK, seq: 1001, ack: host.ourNext + 1, options: stamp(5002) });
    expect(host.stack.counters().timeWait).toBe(1);
    host.clock.advance(7);
    const [before] = host.say({ flags: FIN | ACK, seq: 1001, ack: host.ourNext + 1, options: stamp(5002) });
    host.clock.advance(7);
    const [after] = host.say({ flags: SYN, seq: 90_000, options: stamp(4000) });
    expect(after).toMatchObject({ flags: ACK, ack: 1002, options: { timestamp: { echo: 5002 } } });
    expect((after?.options.timestamp?.value ?? 0) - (before?.options.timestamp?.value ?? 0)).toBe(7);
    expect(host.say({ flags: SYN, seq: 500, options: stamp(6000) })).toMatchObject([{ flags: SYN | ACK, ack: 501 }]);
  });

  it('does not answer itself: an echo of its own ACK is not answered, and others only so often', () => {
    const host = ended();
    expect(host.say({ flags: ACK, seq: 1002, ack: host.ourNext + 1 })).toEqual([]);
    let answers = 0;
    for (let n = 0; n < 100; n += 1)
      answers += host.say({ flags: ACK, seq: 1001, ack: host.ourNext, text: 'x' }).length;
    expect(answers).toBe(5);
  });

  it('holds so many per peer and in all: the oldest go', () => {
    const host = lonelyHost({ limits: { maxTimeWaitPerPeer: 5, maxTimeWait: 8 } });
    const open: TcpConnection[] = [];
    host.stack.listen(9000, (connection) => {
      open.push(connection);
      return {};
    });
    const say = (o: Parameters<typeof segment>[0]) => {
      host.stack.onPacket(segment(o));
      host.stack.endOfTurn();
      return host.takeSegments()[0];
    };
    const close = (from: string, sourcePort: number) => {
      const ack = (say({ from, sourcePort })?.seq ?? 0) + 1;
      say({ from, sourcePort, flags: ACK, seq: 1001, ack });
      open.pop()?.end();
      host.stack.endOfTurn();
      say({ from, sourcePort, flags: FIN | ACK, seq: 1001, ack: ack + 1 });
    };
    for (let port = 1; port <= 10; port += 1) close(them.v4, port);
    expect(host.stack.counters()).toMatchObject({ timeWait: 5, connections: 0 });
    for (let port = 1; port <= 10; port += 1) close('10.137.0.3', port);
    expect(host.stack.counters()).toMatchObject({ timeWait: 8, connections: 0, peers: 2 });
  });
});

describe('"packet too big"', () => {
  const tooBig = (cause: Buffer, mtu: number) => {
    const packet = writeUnreachable(writer, inbound(4, '10.137.0.254'), 'port', cause, parse(cause).header);
    packet[21] = 4;
    packet.writeUInt16BE(mtu, 26);
    packet.writeUInt16BE(packet.readUInt16BE(22) - 1, 22);
    // The checksum: code 3 became 4, and the MTU stands where nothing stood.
    let sum = packet.readUInt16BE(22) + (~mtu & 0xffff);
    sum = (sum & 0xffff) + (sum >>> 16);
    packet.writeUInt16BE(sum === 0 ? 0xffff : sum, 22);
    return packet;
  };

  const largeSyn = { ...NO_OPTIONS, mss: 1240 };

  it.each([
    [800, 800],
    // No IPv4 path takes less: such an error is a lie, or old.
    [68, 576],
    [0, 576],
  ])('of %d makes packets no larger than %d when it quotes what is in flight', (mtu, largest) => {
    const host = accepted({}, largeSyn);
    host.connection.write(Buffer.alloc(3000));
    host.stack.endOfTurn();
    const [full = Buffer.alloc(0)] = host.take();
    expect(full.length).toBe(1280);
    host.stack.onPacket(tooBig(full, mtu));
    host.clock.attach(host.stack);
    host.clock.advance(1000);
    const lengths = host.take().map((packet) => packet.length);
    expect(Math.max(...lengths)).toBe(largest);
    expect(drops(host.stack)).toEqual({});
  });

  it('is not believed when it quotes what is acknowledged already, or not sent yet', () => {
    for (const offset of [-1, 3000]) {
      const host = accepted({}, largeSyn);
      host.connection.write(Buffer.alloc(3000));
      host.stack.endOfTurn();
      const [full = Buffer.alloc(0)] = host.take();
      full.writeUInt32BE((full.readUInt32BE(24) + offset) >>> 0, 24);
      host.stack.onPacket(tooBig(full, 600));
      host.connection.write(Buffer.alloc(3000));
      host.stack.endOfTurn();
      expect(Math.max(...host.take().map((packet) => packet.length))).toBe(1280);
    }
  });

  it('is not believed when it quotes what was never sent', () => {
    const host = accepted();
    const cause = Buffer.from(
      writeSegment(writer, new Route(address(us.v4), address(them.v4)), 9000, 41_000, {
        seq: 1,
        ack: 1,
        flags: ACK,
        window: 1,
        options: NO_OPTIONS,
        payloadLength: 0,
        writePayload: () => {},
      }),
    );
    host.stack.onPacket(tooBig(cause, 600));
    expect(drops(host.stack)).toEqual({ icmp_quote_unknown: 1 });
  });
});

describe('a handler that throws', () => {
  it('is heard, and costs the other connections nothing', () => {
    const host = accepted();
    const second: string[] = [];
    host.listener.close();
    host.stack.listen(9000, (connection) => ({
      readable: () => void second.push(connection.read()?.toString() ?? ''),
    }));
    host.stack.listen(9001, () => ({
      readable: () => {
        throw new Error('a bug of the application');
      },
    }));
    const ports = [9001, 9000].map((destinationPort) => {
      const ack = (host.say({ sourcePort: 50, destinationPort })[0]?.seq ?? 0) + 1;
      host.say({ sourcePort: 50, destinationPort, flags: ACK, seq: 1001, ack });
      return { destinationPort, ack };
    });
    for (const port of ports) {
      host.stack.onPacket(segment({ sourcePort: 50, ...port, flags: ACK, seq: 1001, text: 'hello' }));
    }
    expect(() => host.stack.endOfTurn()).toThrow('a bug of the application');
    host.stack.endOfTurn();
    expect(second).toEqual(['hello']);
  });
});

describe('closing the stack', () => {
  it('resets every connection and tells both ends', () => {
    const { clock, ours, theirs } = twoHosts('close');
    const errors: (string | undefined)[] = [];
    theirs.listen(9000, () => ({ closed: (error) => errors.push(`theirs ${error?.reason}`) }));
    ours.connect({
      address: them.v4,
      port: 9000,
      handlers: { closed: (error) => errors.push(`ours ${error?.reason}`) },
    });
    clock.advance(100);
    ours.close();
    expect(errors).toEqual(['ours tcp_aborted']);
    clock.advance(100);
    expect(errors).toEqual(['ours tcp_aborted', 'theirs tcp_reset']);
    expect([ours.counters(), theirs.counters()]).toMatchObject([none, none]);
  });
});
