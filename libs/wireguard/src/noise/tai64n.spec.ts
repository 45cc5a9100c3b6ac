import { VirtualClock } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { isLater, Tai64n } from './tai64n.js';

const wall = Date.UTC(2026, 0, 1);

describe('timestamps of initiations', () => {
  it('say the time as TAI64N: 2^62, 10 seconds, the Unix time; then the nanoseconds, rounded down to 16.8 ms', () => {
    const label = new Tai64n(new VirtualClock({ wall: wall + 123.456 })).next();
    expect(label.readBigUInt64BE(0) - (1n << 62n)).toBe(BigInt(wall / 1000 + 10));
    const nanoseconds = label.readUInt32BE(8);
    expect(nanoseconds % (1 << 24)).toBe(0);
    expect(123_456_000 - nanoseconds).toBeLessThan(1 << 24);
  });

  it('rise strictly while the clock stands still, across whole seconds', () => {
    const stamps = new Tai64n(new VirtualClock({ wall }));
    let last = stamps.next();
    for (let i = 0; i < 200; i++) {
      const next = stamps.next();
      expect(isLater(next, last)).toBe(true);
      expect(next.readUInt32BE(8)).toBeLessThan(1_000_000_000);
      last = next;
    }
  });

  it('rise strictly when the wall clock steps back an hour, and follow it when it steps on', () => {
    const clock = new VirtualClock({ wall });
    const stamps = new Tai64n(clock);
    const before = stamps.next();
    clock.stepWall(-3_600_000);
    const behind = stamps.next();
    expect(isLater(behind, before)).toBe(true);
    clock.stepWall(7_200_000);
    const ahead = stamps.next();
    expect(isLater(ahead, behind)).toBe(true);
    expect(ahead.readBigUInt64BE(0) - before.readBigUInt64BE(0)).toBe(3600n);
  });

  it('are the same twice within one step for the reader: equal is not later', () => {
    const label = new Tai64n(new VirtualClock({ wall })).next();
    expect(isLater(label, Buffer.from(label))).toBe(false);
  });
});
