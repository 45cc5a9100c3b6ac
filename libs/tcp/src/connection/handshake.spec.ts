import { describe, expect, it } from 'vitest';
import { Script } from './spec-support/script.js';

describe('active open', () => {
  it('offers MSS, window scale, SACK and timestamps, and acknowledges the SYN-ACK', () => {
    const script = new Script().connect();
    expect(script.out()).toEqual(['S 0:0(0) win 65535 mss 1000 scale 7 sackOK ts 0/0']);
    script.wait(30);
    script.in('S.', { seq: 0, ack: 1, mss: 900, scale: 3, sackPermitted: true, ts: [7_000, 0] });
    expect(script.out()).toEqual(['. 1:1(0) ack 1 win 511 ts 30/7000']);
    expect(script.state).toBe('established');
    expect(script.events).toEqual(['connected']);
    // The smaller MSS of the two, less the timestamps.
    script.write(2_000);
    expect(script.out()).toEqual([
      '. 1:889(888) ack 1 win 511 ts 30/7000',
      '. 889:1777(888) ack 1 win 511 ts 30/7000',
      'P. 1777:2001(224) ack 1 win 511 ts 30/7000',
    ]);
  });

  it('uses none of what the peer does not offer, and 536 for its MSS', () => {
    const script = new Script().connect();
    script.out();
    script.in('S.', { seq: 0, ack: 1, win: 600 });
    expect(script.out()).toEqual(['. 1:1(0) ack 1 win 65535']);
    script.write(1_000);
    expect(script.out()).toEqual(['. 1:537(536) ack 1 win 65535']);
  });

  it('sends the SYN again after 1, 2, 4 … s and gives up in time', () => {
    const script = new Script({ limits: { connectTimeoutMs: 10_000 } }).connect();
    script.out();
    expect([1, 2, 3].map(() => (script.out(), script.waitForOutput(10_000)))).toEqual([1_000, 2_000, 4_000]);
    script.wait(3_000);
    expect(script.events).toEqual(['closed tcp_connect_timeout']);
    expect(script.state).toBe('closed');
    expect(script.end.isClosed).toBe(true);
  });

  it('starts with one segment after a lost SYN (RFC 6928)', () => {
    const script = new Script().connect();
    script.wait(1_000);
    script.out();
    script.in('S.', { seq: 0, ack: 1, mss: 1_000 });
    script.out();
    script.write(5_000);
    expect(script.out()).toHaveLength(1);
  });

  it('is refused by a RST that acknowledges its SYN, by no other', () => {
    const script = new Script().connect();
    script.in('R', { seq: 0 });
    script.in('R.', { seq: 0, ack: 2 });
    expect(script.state).toBe('syn_sent');
    script.in('R.', { seq: 0, ack: 1 });
    expect(script.events).toEqual(['closed tcp_refused']);
  });

  it('resets a SYN-ACK for another SYN', () => {
    const script = new Script().connect();
    script.out();
    script.in('S.', { seq: 0, ack: 77 });
    expect(script.out()).toEqual(['R 77:77(0)']);
    expect(script.state).toBe('syn_sent');
  });

  it('ends when the peer is unreachable, but only by word about its own SYN', () => {
    const script = new Script().connect();
    script.connection.unreachable('no route', 999);
    expect(script.state).toBe('syn_sent');
    script.connection.unreachable('no route', 1_000);
    expect(script.events).toEqual(['closed tcp_unreachable']);
  });

  it('sends what was written and ended before it was connected', () => {
    const script = new Script().connect();
    script.out();
    script.write('hello');
    script.close();
    expect(script.out()).toEqual([]);
    script.in('S.', { seq: 0, ack: 1, mss: 1_000 });
    expect(script.out()).toEqual(['FP. 1:6(5) ack 1 win 65535']);
    expect(script.state).toBe('fin_wait_1');
  });
});

describe('passive open', () => {
  it('answers with what the SYN offers, and is accepted by the ACK', () => {
    const script = new Script().listen();
    script.in('S', { seq: 0, mss: 900, scale: 2, sackPermitted: true, ts: [7_000, 0] });
    expect(script.out()).toEqual(['S. 0:0(0) ack 1 win 65535 mss 1000 scale 7 sackOK ts 0/7000']);
    expect(script.state).toBe('syn_received');
    script.wait(5);
    script.in('.', { ts: [7_005, 0] });
    expect(script.state).toBe('established');
    expect(script.out()).toEqual([]);
  });

  it('offers nothing that was not offered', () => {
    const script = new Script().listen();
    script.in('S', { seq: 0 });
    expect(script.out()).toEqual(['S. 0:0(0) ack 1 win 65535 mss 1000']);
  });

  it('sends the SYN-ACK again when the SYN comes again, and by itself', () => {
    const script = new Script().listen();
    script.in('S', { seq: 0 });
    script.out();
    script.wait(300);
    script.in('S', { seq: 0 });
    expect(script.out()).toEqual(['S. 0:0(0) ack 1 win 65535 mss 1000']);
    expect(script.waitForOutput(5_000)).toBe(2_000);
    expect(script.out()).toEqual(['S. 0:0(0) ack 1 win 65535 mss 1000']);
  });

  it('takes data that comes with the ACK', () => {
    const script = new Script().listen();
    script.in('S', { seq: 0 });
    script.out();
    script.in('P.', { data: 'hello' });
    expect(script.text).toBe('hello');
    expect(script.out()).toEqual(['. 1:1(0) ack 6 win 65530']);
  });

  it('resets an ACK of something else (RFC 9293 §3.10.7.4)', () => {
    const script = new Script().listen();
    script.in('S', { seq: 0 });
    script.out();
    script.in('.', { ack: 9 });
    expect(script.out()).toEqual(['R 9:9(0)']);
    expect(script.state).toBe('syn_received');
  });

  it('ends without a word to anyone when its half-open connection is reset', () => {
    const script = new Script().listen();
    script.in('S', { seq: 0 });
    script.in('R', { seq: 1 });
    expect(script.state).toBe('closed');
    expect(script.events).toEqual([]);
    expect(script.end.isClosed).toBe(true);
  });

  it('resets what nobody takes', () => {
    const script = new Script().listen(false);
    script.in('S', { seq: 0 });
    script.out();
    script.in('.');
    expect(script.out()).toEqual(['R. 1:1(0) ack 1']);
    expect(script.end.isClosed).toBe(true);
  });
});

describe('simultaneous open (RFC 9293 §3.5)', () => {
  it('ends established on the peer’s SYN-ACK', () => {
    const script = new Script().connect();
    script.out();
    script.in('S', { seq: 0, mss: 1_000 });
    expect(script.out()).toEqual(['S. 0:0(0) ack 1 win 65535 mss 1000']);
    expect(script.state).toBe('syn_received');
    script.in('S.', { seq: 0, ack: 1, mss: 1_000 });
    expect(script.state).toBe('established');
    expect(script.events).toEqual(['connected']);
    expect(script.out()).toEqual(['. 1:1(0) ack 1 win 65535']);
    script.in('P.', { data: 'hello' });
    expect(script.text).toBe('hello');
  });

  it('ends established on a plain ACK too, and is refused by a RST', () => {
    const script = new Script().connect();
    script.in('S', { seq: 0 });
    script.in('.');
    expect(script.state).toBe('established');
    const other = new Script().connect();
    other.in('S', { seq: 0 });
    other.in('R', { seq: 1 });
    expect(other.events).toEqual(['closed tcp_refused']);
  });
});
