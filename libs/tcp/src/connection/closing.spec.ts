import { describe, expect, it } from 'vitest';
import { peerGone } from './index.js';
import { Script } from './spec-support/script.js';

const remote = { address: '10.137.0.2', port: 9_000 };

describe('orderly end', () => {
  it('ours first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT, and closed after 2 MSL', () => {
    const script = new Script().established();
    script.close();
    expect(script.out()).toEqual(['F. 1:1(0) ack 1 win 65535']);
    expect(script.state).toBe('fin_wait_1');
    script.in('.', { ack: 2 });
    expect(script.state).toBe('fin_wait_2');
    script.in('F.', { ack: 2 });
    expect(script.out()).toEqual(['. 2:2(0) ack 2 win 65534']);
    expect(script.state).toBe('time_wait');
    expect(script.events).toEqual(['ended', 'closed']);
    expect(script.end.isClosed).toBe(false);
    script.wait(59_999);
    expect(script.state).toBe('time_wait');
    script.wait(1);
    expect(script.state).toBe('closed');
    expect(script.end.isClosed).toBe(true);
    expect(script.out()).toEqual([]);
  });

  it('theirs first: CLOSE-WAIT, LAST-ACK, closed', () => {
    const script = new Script().established();
    script.in('F.');
    expect(script.state).toBe('close_wait');
    expect(script.events).toEqual(['ended']);
    expect(script.out()).toEqual(['. 1:1(0) ack 2 win 65534']);
    script.close();
    expect(script.state).toBe('last_ack');
    expect(script.out()).toEqual(['F. 1:1(0) ack 2 win 65534']);
    script.in('.', { seq: 2, ack: 2 });
    expect(script.state).toBe('closed');
    expect(script.events).toEqual(['ended', 'closed']);
    expect(script.end.isClosed).toBe(true);
  });

  it('both at once: CLOSING, TIME-WAIT', () => {
    const script = new Script().established();
    script.close();
    script.out();
    script.in('F.', { ack: 1 });
    expect(script.state).toBe('closing');
    expect(script.out()).toEqual(['. 2:2(0) ack 2 win 65534']);
    script.in('.', { seq: 2, ack: 2 });
    expect(script.state).toBe('time_wait');
  });

  it('goes from FIN-WAIT-1 to TIME-WAIT when the FIN acknowledges ours', () => {
    const script = new Script().established();
    script.close();
    script.in('F.', { ack: 2 });
    expect(script.state).toBe('time_wait');
  });

  it('lets the peer go on after our FIN (half-close)', () => {
    const script = new Script().established();
    script.write('question');
    script.close();
    expect(script.out()).toEqual(['P. 1:9(8) ack 1 win 65535', 'F. 9:9(0) ack 1 win 65535']);
    script.in('.', { ack: 10 });
    script.in('P.', { ack: 10, data: 'the ' });
    script.in('P.', { seq: 5, ack: 10, data: 'answer' });
    expect(script.text).toBe('the answer');
    expect(script.state).toBe('fin_wait_2');
    script.in('F.', { seq: 11, ack: 10 });
    expect(script.events.at(-1)).toBe('closed');
  });

  it('goes on sending after the peer’s FIN', () => {
    const script = new Script().established();
    script.in('FP.', { data: 'all' });
    script.out();
    script.write('reply');
    expect(script.out()).toEqual(['P. 1:6(5) ack 5 win 65531']);
    script.in('.', { seq: 5, ack: 6 });
    script.close();
    script.in('.', { seq: 5, ack: 7 });
    expect(script.state).toBe('closed');
    expect(() => script.connection.write(Buffer.from('x'))).toThrow(/after end/);
  });

  it('sends the FIN again until it is acknowledged', () => {
    const script = new Script().established();
    script.close();
    script.out();
    script.wait(250);
    expect(script.out()).toEqual(['F. 1:1(0) ack 1 win 65535']);
  });

  it('takes a FIN that came early when the gap is filled', () => {
    const script = new Script().established();
    script.in('FP.', { seq: 4, data: 'def' });
    expect(script.state).toBe('established');
    script.in('P.', { seq: 1, data: 'abc' });
    expect(script.text).toBe('abcdef');
    expect(script.state).toBe('close_wait');
    expect(script.events.at(-1)).toBe('ended');
  });

  it('tells the end only when all was read, even after the connection is gone', () => {
    const script = new Script().established();
    script.reads = false;
    script.in('FP.', { data: 'unread' });
    script.close();
    script.in('.', { seq: 8, ack: 2 });
    expect(script.state).toBe('closed');
    expect(script.events).toEqual(['readable']);
    script.readAll();
    script.end.endOfTurn();
    expect(script.text).toBe('unread');
    expect(script.events).toEqual(['readable', 'ended', 'closed']);
    expect(script.end.memoryBytes).toBe(0);
  });
});

describe('TIME-WAIT', () => {
  function timeWait(ts: boolean): Script {
    const script = new Script().established({ ts });
    const stamp = ts ? { ts: [7_000, 0] as const } : {};
    script.close();
    script.in('F.', { ack: 2, ...stamp });
    script.out();
    return script;
  }

  it('answers a FIN that comes again, and starts over', () => {
    const script = timeWait(false);
    script.wait(40_000);
    script.in('F.', { ack: 2 });
    expect(script.out()).toEqual(['. 2:2(0) ack 2 win 65534']);
    script.wait(59_999);
    expect(script.state).toBe('time_wait');
    script.wait(1);
    expect(script.state).toBe('closed');
  });

  it.each([
    ['a later sequence number', false, { seq: 1_000 }, true],
    ['an old sequence number', false, { seq: -1_000 }, false],
    ['a later timestamp (RFC 6191)', true, { seq: -1_000, ts: [7_001, 0] as const }, true],
    ['an older timestamp', true, { seq: 1_000, ts: [6_999, 0] as const }, false],
  ])('gives way to a SYN with %s: %s', (_, ts, syn, givesWay) => {
    const script = timeWait(ts);
    script.in('S', syn);
    expect(script.state).toBe(givesWay ? 'closed' : 'time_wait');
    expect(script.end.isClosed).toBe(givesWay);
  });
});

describe('sudden end', () => {
  it('hears of the peer’s RST, and loses what was unread', () => {
    const script = new Script().established();
    script.reads = false;
    script.in('P.', { data: 'lost' });
    script.write('lost too');
    script.in('R', { seq: 5 });
    expect(script.events).toEqual(['readable', 'closed tcp_reset']);
    expect(script.connection.read()).toBeUndefined();
    expect(script.end.memoryBytes).toBe(0);
    expect(script.end.nextTimerAt()).toBe(Infinity);
    // Nobody has to mind the race between a reset and a write.
    expect(script.connection.write(Buffer.from('x'))).toBe(true);
    expect(script.end.memoryBytes).toBe(0);
  });

  it('is sent by reset() with the next sequence number', () => {
    const script = new Script().established();
    script.write('hello');
    script.out();
    script.connection.reset();
    expect(script.out()).toEqual(['R. 6:6(0) ack 1']);
    expect(script.events).toEqual(['closed tcp_aborted']);
  });

  it('says nothing on the wire when the peer is gone from the mesh', () => {
    const script = new Script().established();
    script.write('hello');
    script.out();
    script.connection.abort(peerGone(remote));
    script.wait(10_000);
    expect(script.out()).toEqual([]);
    expect(script.events).toEqual(['closed peer_gone']);
    expect(script.end.memoryBytes).toBe(0);
  });

  it('may come from a handler', () => {
    const script = new Script().established();
    script.handlers.readable = () => script.connection.reset();
    script.in('FP.', { data: 'x' });
    expect(script.events).toEqual(['closed tcp_aborted']);
    expect(script.state).toBe('closed');
  });

  it('of LAST-ACK, where all was acknowledged but the FIN, is an orderly one', () => {
    const script = new Script().established();
    script.in('F.');
    script.close();
    script.in('R', { seq: 2 });
    expect(script.events).toEqual(['ended', 'closed']);
  });

  it('gives up after the peer has not answered for giveUpMs', () => {
    const script = new Script({ limits: { giveUpMs: 20_000 } }).established();
    script.write('hello');
    script.wait(19_999);
    expect(script.state).toBe('established');
    script.wait(1);
    expect(script.events).toEqual(['closed tcp_timed_out']);
    expect(script.end.memoryBytes).toBe(0);
  });
});

describe('keepalive (RFC 1122 §4.2.3.6)', () => {
  const settings = { idleMs: 30_000, intervalMs: 5_000, probes: 3 };

  it('is off unless asked for', () => {
    const script = new Script().established();
    script.wait(100_000_000);
    expect(script.out()).toEqual([]);
  });

  it('asks an idle peer, and starts over when it answers', () => {
    const script = new Script().established();
    script.connection.keepAlive(settings);
    script.wait(30_000);
    expect(script.out()).toEqual(['. 0:0(0) ack 1 win 65535']);
    script.in('.');
    script.wait(29_999);
    expect(script.out()).toEqual([]);
    script.wait(1);
    expect(script.out()).toHaveLength(1);
  });

  it('ends the connection when no probe is answered', () => {
    const script = new Script().established();
    script.connection.keepAlive(settings);
    script.wait(44_999);
    expect(script.out()).toHaveLength(3);
    expect(script.state).toBe('established');
    script.wait(1);
    expect(script.events).toEqual(['closed tcp_timed_out']);
  });
});
