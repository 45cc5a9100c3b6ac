import { describe, expect, it } from 'vitest';
import { Script } from './spec-support/script.js';

function noQuickAcks(o: Parameters<Script['established']>[0] = { sackPermitted: true }): Script {
  return new Script({ limits: { quickAcks: 0 } }).established(o);
}

describe('when ACKs go out', () => {
  it('at once for the first sixteen segments, then with the second segment or after 40 ms', () => {
    const script = new Script().established();
    for (let index = 0; index < 16; index += 1) {
      script.in('.', { seq: 1 + index * 1_000, data: 1_000 });
      expect(script.out()).toHaveLength(1);
    }
    script.in('.', { seq: 16_001, data: 1_000 });
    expect(script.out()).toEqual([]);
    script.in('.', { seq: 17_001, data: 1_000 });
    expect(script.out()).toHaveLength(1);
    script.in('.', { seq: 18_001, data: 1_000 });
    expect(script.out()).toEqual([]);
    expect(script.waitForOutput(100)).toBe(40);
  });

  it('once for all segments of a turn, but every sixteen at least', () => {
    const script = noQuickAcks();
    const segments = Array.from({ length: 15 }, (_, index) => ['.', { seq: 1 + index * 100, data: 100 }] as const);
    script.inTurn(segments);
    expect(script.out()).toEqual(['. 1:1(0) ack 1501 win 65535']);
    script.inTurn(Array.from({ length: 40 }, (_, index) => ['.', { seq: 1_501 + index * 100, data: 100 }] as const));
    expect(script.out().map((line) => line.split(' ')[3])).toEqual(['3101', '4701', '5501']);
  });

  it('with the answer, when there is one in the same turn', () => {
    const script = noQuickAcks();
    script.handlers.readable = () => {
      script.readAll();
      script.connection.write(Buffer.from('pong'));
    };
    script.in('P.', { data: 'ping' });
    expect(script.out()).toEqual(['P. 1:5(4) ack 5 win 65531']);
    script.in('.', { seq: 5, ack: 5 });
    script.wait(1_000);
    expect(script.out()).toEqual([]);
  });

  it('even when a handler throws, and the connection goes on', () => {
    const script = noQuickAcks();
    script.handlers.readable = () => {
      throw new Error('the application is broken');
    };
    const two = [
      ['.', { data: 100 }],
      ['.', { seq: 101, data: 100 }],
    ] as const;
    expect(() => script.inTurn(two)).toThrow('broken');
    expect(script.out()).toEqual(['. 1:1(0) ack 201 win 65335']);
    script.handlers.readable = () => script.readAll();
    script.in('P.', { seq: 201, data: 1 });
    expect(Buffer.concat(script.readData)).toHaveLength(201);
  });

  it('at once for what is early or fills a gap, and for each without SACK', () => {
    const script = noQuickAcks();
    script.in('.', { seq: 1_001, data: 1_000 });
    expect(script.out()).toEqual(['. 1:1(0) ack 1 win 65535 sack 1001-2001']);
    script.in('.', { data: 1_000 });
    expect(script.out()).toEqual(['. 1:1(0) ack 2001 win 65535']);
    const plain = noQuickAcks({});
    plain.inTurn([
      ['.', { seq: 1_001, data: 1_000 }],
      ['.', { seq: 2_001, data: 1_000 }],
      ['.', { seq: 3_001, data: 1_000 }],
    ]);
    expect(plain.out()).toHaveLength(3);
  });
});

describe('SACK (RFC 2018, 2883)', () => {
  it('tells the latest block first, three beside timestamps, four without', () => {
    const script = noQuickAcks();
    for (const seq of [101, 301, 501, 701, 901]) script.in('.', { seq, data: 100 });
    expect(script.out().at(-1)).toBe('. 1:1(0) ack 1 win 65535 sack 901-1001,701-801,501-601,301-401');
    script.in('.', { seq: 401, data: 100 });
    expect(script.out()).toEqual(['. 1:1(0) ack 1 win 65535 sack 301-601,901-1001,701-801,101-201']);
    const stamped = noQuickAcks({ sackPermitted: true, ts: true });
    for (const seq of [101, 301, 501, 701]) stamped.in('.', { seq, data: 100, ts: [7_000, 0] });
    expect(stamped.out().at(-1)).toBe('. 1:1(0) ack 1 win 65535 sack 701-801,501-601,301-401 ts 0/7000');
  });

  it('reports what came twice, below and above the cumulative ACK', () => {
    const script = noQuickAcks();
    script.in('P.', { data: 'abcdef' });
    script.in('P.', { seq: 2, data: 'bcd' });
    expect(script.out()).toEqual(['. 1:1(0) ack 7 win 65529 sack 2-5']);
    script.in('.', { seq: 107, data: 100 });
    script.out();
    script.in('.', { seq: 127, data: 50 });
    expect(script.out()).toEqual(['. 1:1(0) ack 7 win 65529 sack 127-177,107-207']);
    script.in('P.', { seq: 7, data: 'g' });
    expect(script.out()).toEqual(['. 1:1(0) ack 8 win 65528 sack 107-207']);
  });

  it('says nothing of it to a peer that does not know it', () => {
    const script = noQuickAcks({});
    script.in('.', { seq: 101, data: 100 });
    expect(script.out()).toEqual(['. 1:1(0) ack 1 win 65535']);
  });

  it('puts overlapping pieces together once', () => {
    const script = noQuickAcks();
    script.in('P.', { seq: 4, data: 'defg' });
    script.in('P.', { seq: 9, data: 'ij' });
    script.in('P.', { seq: 2, data: 'bcdefghijkl' });
    script.in('P.', { seq: 6, data: 'fgh' });
    script.in('P.', { seq: 1, data: 'abc' });
    expect(script.text).toBe('abcdefghijkl');
    expect(script.end.memoryBytes).toBe(0);
  });
});

describe('what is held', () => {
  it('is never more than the window, however it comes', () => {
    const script = new Script({ limits: { initialReceiveBuffer: 10_000 } }).established({ sackPermitted: true });
    script.reads = false;
    for (let index = 0; index < 200; index += 1) script.in('.', { seq: 2 + index * 500, data: 500 });
    expect(script.end.mostMemory).toBeLessThanOrEqual(10_000);
    for (let index = 0; index < 40; index += 1) script.in('.', { seq: 1 + index * 500, data: 500 });
    expect(script.end.mostMemory).toBeLessThanOrEqual(10_000);
    expect(script.out().at(-1)).toContain('win 0');
  });

  it('is bounded in pieces too: single bytes with gaps are refused, and may come again', () => {
    const script = new Script({ limits: { maxOutOfOrderRanges: 8 } }).established({ sackPermitted: true });
    for (let index = 0; index < 1_000; index += 1) script.in('.', { seq: 3 + index * 2, data: 1 });
    expect(script.end.memoryBytes).toBe(8);
    script.in('.', { data: 2_100 });
    expect(Buffer.concat(script.readData).length).toBe(2_100);
    expect(script.end.memoryBytes).toBe(0);
  });

  it('is bounded in pieces when single bytes come backwards', () => {
    const script = new Script({ limits: { maxOutOfOrderRanges: 8 } }).established({ sackPermitted: true });
    for (let index = 0; index < 10_000; index += 1) script.in('.', { seq: 20_000 - index, data: 1 });
    expect(script.end.memoryBytes).toBeLessThan(100);
  });

  it('does not pin a packet for each small piece that nobody reads', () => {
    const script = noQuickAcks();
    script.reads = false;
    for (let index = 0; index < 5_000; index += 1) script.in('.', { seq: 1 + index, data: 1 });
    let pieces = 0;
    for (let bytes = script.connection.read(); bytes !== undefined; bytes = script.connection.read()) pieces += 1;
    expect(pieces).toBeLessThan(10);
  });
});

describe('the window', () => {
  it('closes, and is offered again by half the buffer or a segment, not by the byte (RFC 1122 §4.2.3.3)', () => {
    const script = new Script({ limits: { initialReceiveBuffer: 4_000, maxReceiveBuffer: 4_000 } }).established();
    script.reads = false;
    for (let index = 0; index < 5; index += 1) script.in('.', { seq: 1 + index * 800, data: 800 });
    expect(script.out().at(-1)).toBe('. 1:1(0) ack 4001 win 0');
    script.connection.read();
    script.end.endOfTurn();
    expect(script.out()).toEqual([]);
    script.connection.read();
    script.end.endOfTurn();
    expect(script.out()).toEqual(['. 1:1(0) ack 4001 win 1600']);
  });

  it('answers a probe of the shut window, with data or without', () => {
    const script = new Script({ limits: { initialReceiveBuffer: 1_000, maxReceiveBuffer: 1_000 } }).established();
    script.reads = false;
    script.in('.', { data: 1_000 });
    script.out();
    script.in('.', { seq: 1_001, data: 1 });
    expect(script.out()).toEqual(['. 1:1(0) ack 1001 win 0']);
    script.in('.', { seq: 1_000 });
    expect(script.out()).toEqual(['. 1:1(0) ack 1001 win 0']);
    expect(script.connection.unread).toBe(1_000);
  });

  it('grows with what is read in a round trip, up to its limit, if the stack allows it', () => {
    const grown = (allow: boolean): number => {
      const script = new Script({ limits: { maxReceiveBuffer: 1_000_000 } });
      script.end.mayGrow = () => allow;
      script.established({ scale: 7, ts: true, sackPermitted: true });
      let seq = 1;
      for (let round = 0; round < 30; round += 1) {
        script.wait(20);
        for (let index = 0; index < 40; index += 1, seq += 1_200) {
          script.in('.', { seq, data: 1_200, ts: [7_000 + round * 20, Math.max(0, round * 20)] });
        }
        script.out();
      }
      return script.connection.figures.receiveBuffer;
    };
    expect(grown(true)).toBeGreaterThan(90_000);
    expect(grown(true)).toBeLessThan(1_000_001);
    expect(grown(false)).toBe(65_536);
  });
});
