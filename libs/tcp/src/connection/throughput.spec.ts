import { describe, expect, it } from 'vitest';
import { talk, type TalkOptions } from './spec-support/talk.js';

/** Mbit/s of a transfer from near to far, from the first SYN to the FIN read. */
function throughput(options: TalkOptions): number {
  const pair = talk(options);
  pair.clock.runUntil(() => pair.far.ended, 600_000);
  expect(pair.far.received).toBe(options.near!.sends);
  return (options.near!.sends! * 8) / (pair.far.endedAt! - pair.startedAt) / 1_000;
}

const MIB = 1024 * 1024;

describe('throughput in virtual time', () => {
  it('fills a path of 20 ms without loss', () => {
    expect(
      throughput({ seed: 1, there: { delayMs: 10 }, back: { delayMs: 10 }, near: { sends: 24 * MIB } }),
    ).toBeGreaterThan(100);
  });

  it.each([1, 2, 3])('keeps 6 Mbit/s at 1 %% of loss both ways and 20 ms (seed %i)', (seed) => {
    const path = { delayMs: 10, loss: 0.01 };
    expect(throughput({ seed, there: path, back: path, near: { sends: 6 * MIB } })).toBeGreaterThan(6);
  });

  it('keeps a bottleneck of 50 Mbit/s busy with a queue of a quarter of the round trip', () => {
    const there = { delayMs: 10, rate: 50_000_000, queueBytes: 32_000 };
    expect(throughput({ seed: 4, there, back: { delayMs: 10 }, near: { sends: 16 * MIB } })).toBeGreaterThan(30);
  });

  it('is not fooled by reordering', () => {
    const there = { delayMs: 10, reorder: 0.05, reorderByMs: 4 };
    expect(throughput({ seed: 5, there, back: { delayMs: 10 }, near: { sends: 8 * MIB } })).toBeGreaterThan(30);
  });
});
