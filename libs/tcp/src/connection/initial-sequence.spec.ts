import { SeededRandom } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { InitialSequence } from './initial-sequence.js';
import { SequenceSpace, wireDistance } from './sequence.js';

const local = { address: '10.137.0.1', port: 40_000 };
const remote = { address: '10.137.0.2', port: 9_000 };

describe('initial sequence numbers (RFC 6528)', () => {
  const one = new InitialSequence(new SeededRandom('one').bytes);

  it('grow by one every 4 µs for the same flow', () => {
    expect(wireDistance(one.next(local, remote, 61_000), one.next(local, remote, 1_000))).toBe(60_000 * 250);
  });

  it('tell nothing of another flow, nor of another process', () => {
    const other = new InitialSequence(new SeededRandom('two').bytes);
    const distances = new Set<number>();
    for (let port = 1; port <= 200; port += 1) {
      distances.add(one.next({ ...local, port: port + 1 }, remote, 0) - one.next({ ...local, port }, remote, 0));
    }
    expect(distances.size).toBe(200);
    expect(other.next(local, remote, 0)).not.toBe(one.next(local, remote, 0));
    expect(one.next(local, remote, 0)).not.toBe(one.timestampOffset(local, remote));
  });

  it('keep the offset of timestamps for a flow, so that its clock never runs back', () => {
    expect(one.timestampOffset(local, remote)).toBe(one.timestampOffset({ ...local }, { ...remote }));
    expect(one.timestampOffset(local, remote)).not.toBe(one.timestampOffset(local, { ...remote, port: 9_001 }));
  });
});

describe('positions', () => {
  it('come back from the wire wherever they are on the circle', () => {
    const random = new SeededRandom('circle');
    for (let index = 0; index < 2_000; index += 1) {
      const space = new SequenceSpace(random.u32());
      const near = random.below(2 ** 45);
      const position = Math.max(0, near + random.between(-(2 ** 31) + 1, 2 ** 31 - 1));
      const wire = space.toWire(position);
      expect(wire).toBeGreaterThanOrEqual(0);
      expect(wire).toBeLessThan(2 ** 32);
      expect(space.toPosition(wire, near)).toBe(position);
    }
  });
});
