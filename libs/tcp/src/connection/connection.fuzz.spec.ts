import { describe, expect, it } from 'vitest';
import { runWildTalk } from './spec-support/random-talk.js';

/** A slice for every run; `CORAL_FUZZ_TCP_SEEDS=10000` for the whole, `CORAL_FUZZ_TCP_FIRST` to begin elsewhere. */
const seeds = Number(process.env['CORAL_FUZZ_TCP_SEEDS'] ?? 100);
const first = Number(process.env['CORAL_FUZZ_TCP_FIRST'] ?? 1);

describe('two connections over a path that does everything wrong', () => {
  it(
    `deliver each stream unchanged, end, and hold no more than they may (${seeds} seeds)`,
    { timeout: 3_600_000 },
    () => {
      const failed: string[] = [];
      for (let seed = first; seed < first + seeds; seed += 1) {
        try {
          runWildTalk(seed);
        } catch (error) {
          failed.push(`seed ${seed}: ${String(error)}`);
        }
      }
      expect(failed).toEqual([]);
    },
  );
});
