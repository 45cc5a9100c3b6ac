import { SeededRandom } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { NO_OPTIONS } from '../wire/segment.js';
import { Script } from './spec-support/script.js';

const challenge = '. 1:1(0) ack 1 win 65535';

describe('blind attacks (RFC 5961)', () => {
  it('asks about a RST inside the window that is not exact, drops one outside', () => {
    const script = new Script().established();
    script.in('R', { seq: 2 });
    expect(script.out()).toEqual([challenge]);
    script.in('R', { seq: 65_535 });
    expect(script.out()).toEqual([challenge]);
    script.in('R', { seq: 65_536 });
    script.in('R', { seq: 0 });
    expect(script.out()).toEqual([]);
    expect(script.state).toBe('established');
    script.in('R', { seq: 1 });
    expect(script.state).toBe('closed');
  });

  it.each([0, 1, 500, 100_000, -5])('asks about a SYN at %i', (seq) => {
    const script = new Script().established();
    script.in('S', { seq });
    expect(script.out()).toEqual([challenge]);
    expect(script.state).toBe('established');
  });

  it('asks about an ACK of what was never sent, and takes none of its data', () => {
    const script = new Script().established();
    script.in('P.', { ack: 2, data: 'forged' });
    expect(script.out()).toEqual([challenge]);
    expect(script.text).toBe('');
  });

  it('asks about an ACK from before the largest window', () => {
    const script = new Script({ window: 1_000 }).established({ win: 1_000 });
    script.write(500);
    script.in('.', { ack: 501 });
    script.out();
    script.in('P.', { ack: 501 - 1_000, data: 'old but true' });
    expect(script.text).toBe('old but true');
    script.out();
    script.in('P.', { seq: 13, ack: 500 - 1_000, data: 'forged' });
    expect(script.out()).toEqual(['. 501:501(0) ack 13 win 65523']);
    expect(script.text).toBe('old but true');
  });

  it('answers at most ten such segments in a second', () => {
    const script = new Script().established();
    for (let index = 0; index < 100; index += 1) script.in('S', { seq: index });
    expect(script.out()).toHaveLength(10);
    script.wait(1_000);
    for (let index = 0; index < 100; index += 1) script.in('R', { seq: 2 + index });
    expect(script.out()).toHaveLength(10);
    for (let index = 0; index < 100; index += 1) script.in('.', { seq: 100_000 });
    expect(script.out()).toHaveLength(0);
  });

  it('drops what has no ACK', () => {
    const script = new Script().established();
    script.in('P', { data: 'x' });
    script.in('F');
    expect(script.text).toBe('');
    expect(script.state).toBe('established');
  });

  it('outlives 20,000 segments of someone who knows all but the exact numbers', () => {
    const random = new SeededRandom('blind');
    const script = new Script({ timestampOffset: 77 }).established();
    script.write(3_000);
    script.out();
    for (let index = 0; index < 20_000; index += 1) {
      const flags = random.below(256);
      const near = random.chance(0.5) ? random.between(-70_000, 70_000) : random.u32();
      // The one number that may end it, and data in its place, are what he does not know.
      const seq = near === 1 || near === 2 ? 3 : near;
      const acknowledges = random.chance(0.5) ? random.u32() : random.between(3_500, 70_000) + 1_000;
      script.end.onSegment({
        sourcePort: 9_000,
        destinationPort: 40_000,
        seq: (5_000 + seq) >>> 0,
        ack: acknowledges >>> 0,
        flags,
        window: random.below(65_536),
        options: {
          ...NO_OPTIONS,
          sack: random.chance(0.3) ? [[random.u32(), random.u32()]] : undefined,
          mss: random.chance(0.1) ? random.below(65_536) : undefined,
        },
        payload: Buffer.alloc(random.chance(0.5) ? random.below(1_400) : 0, 0xee),
        congestionExperienced: false,
      });
      script.end.endOfTurn();
    }
    expect(script.state).toBe('established');
    expect(new Set(script.out().map((line) => line.slice(0, line.indexOf(' ack'))))).toEqual(
      new Set(['. 3001:3001(0)']),
    );
    expect(script.end.memoryBytes).toBe(3_000);
    script.in('P.', { ack: 1, data: 'still here' });
    expect(script.text).toBe('still here');
  });
});

describe('PAWS (RFC 7323 §5)', () => {
  it('drops what is older than the last, answers it, and echoes the newest in order', () => {
    const script = new Script().established({ ts: true });
    script.in('P.', { data: 'abc', ts: [7_010, 0] });
    expect(script.out()).toEqual(['. 1:1(0) ack 4 win 65532 ts 0/7010']);
    script.in('P.', { seq: 4, data: 'old', ts: [7_009, 0] });
    expect(script.text).toBe('abc');
    expect(script.out()).toEqual(['. 1:1(0) ack 4 win 65532 ts 0/7010']);
    script.in('P.', { seq: 4, data: 'new', ts: [7_010, 0] });
    expect(script.text).toBe('abcnew');
  });

  it('wraps with the clock', () => {
    const script = new Script().connect();
    script.in('S.', { seq: 0, ack: 1, ts: [2 ** 32 - 1, 0] });
    script.in('P.', { data: 'abc', ts: [5, 0] });
    script.in('P.', { seq: 4, data: 'old', ts: [2 ** 32 - 1, 0] });
    expect(script.text).toBe('abc');
  });

  it('drops a segment without timestamps, but heeds an exact RST without', () => {
    const script = new Script().established({ ts: true });
    script.in('P.', { data: 'abc' });
    expect(script.text).toBe('');
    expect(script.out()).toEqual([]);
    script.in('R');
    expect(script.state).toBe('closed');
  });

  it('believes any timestamp after 24 days of silence', () => {
    const script = new Script().established({ ts: true });
    script.wait(25 * 24 * 3_600_000);
    script.in('P.', { data: 'abc', ts: [6_000, 0] });
    expect(script.text).toBe('abc');
  });
});

describe('odd segments', () => {
  it('takes urgent data for data', () => {
    const script = new Script().established();
    script.in('PU.', { data: 'urgent' });
    expect(script.text).toBe('urgent');
  });

  it('goes on where the sequence numbers of both sides wrap at 2^32', () => {
    const script = new Script({ ours: 2 ** 32 - 6, theirs: 2 ** 32 - 4 }).established({ sackPermitted: true });
    script.write('0123456789');
    expect(script.take().map((segment) => segment.seq)).toEqual([2 ** 32 - 5]);
    script.in('P.', { seq: 7, data: 'ghi', ack: 4 });
    expect(script.out()).toEqual(['. 11:11(0) ack 1 win 65535 sack 7-10']);
    script.in('P.', { seq: 1, data: 'abcdef', ack: 11 });
    expect(script.text).toBe('abcdefghi');
    expect(script.end.memoryBytes).toBe(0);
    script.close();
    script.in('F.', { seq: 10, ack: 12 });
    expect(script.events.at(-1)).toBe('closed');
  });

  it('cuts off what lies before and behind the window', () => {
    const script = new Script({ limits: { initialReceiveBuffer: 10 } }).established();
    script.reads = false;
    script.in('P.', { data: '0123' });
    script.in('P.', { seq: 3, data: '23456789abcdef' });
    script.readAll();
    expect(script.text).toBe('0123456789');
  });

  it('believes the first FIN, also one that came early', () => {
    const script = new Script().established();
    script.in('F.', { seq: 4, data: 'def' });
    script.in('F.', { seq: 4, data: 'defghi' });
    script.in('P.', { seq: 7, data: 'ghi' });
    script.in('P.', { seq: 1, data: 'abc' });
    expect(script.text).toBe('abcdef');
    expect(script.state).toBe('close_wait');
  });

  it('ignores data and FIN behind the FIN', () => {
    const script = new Script().established();
    script.in('F.', { data: 'abc' });
    script.in('P.', { seq: 5, data: 'behind' });
    script.in('F.', { seq: 2, data: 'bcdefg' });
    expect(script.text).toBe('abc');
    expect(script.events.filter((event) => event === 'ended')).toHaveLength(1);
  });
});
