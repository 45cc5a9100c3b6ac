import { SeededRandom } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { REPLAY_WINDOW, ReplayWindow } from './replay-window.js';

function windowAfter(...counters: number[]): ReplayWindow {
  const window = new ReplayWindow();
  for (const counter of counters) expect(window.accept(counter), `counter ${counter}`).toBe(true);
  return window;
}

describe('the replay window', () => {
  // The cases of wireguard-go's replay_test.go, with our numbers.
  it('takes each counter once, in any order', () => {
    const window = windowAfter(0, 1, 9, 8, 7);
    for (const counter of [0, 1, 7, 8, 9]) expect(window.accept(counter)).toBe(false);
    for (const counter of [6, 5, 4, 3, 2]) expect(window.accept(counter)).toBe(true);
    expect(window.newest).toBe(9);
  });

  it.each([
    [0, false],
    [1, true],
    [8_127, true],
    [8_128, true],
    [8_129, false],
    [8_192, false],
    [8_193, false],
  ])('with a lag of %i: %s', (lag, passes) => {
    for (const newest of [100_000, 100_031, 100_032, 2 ** 32 + 5, 2 ** 48 + 63]) {
      const window = windowAfter(newest);
      expect(window.accept(newest - lag), `${newest}`).toBe(passes);
      expect(window.accept(newest - lag), 'a second time').toBe(false);
    }
  });

  it('refuses what fell out of the window by a jump, and takes what is new after it', () => {
    for (const jump of [1, 31, 32, 33, 8_127, 8_128, 8_192, 8_193, 2 ** 20, 2 ** 40]) {
      const window = windowAfter(0, 1, 2, 3, 4, 5);
      expect(window.accept(5 + jump)).toBe(true);
      expect(window.accept(5)).toBe(false);
      expect(window.accept(5 + jump)).toBe(false);
      expect(window.accept(6 + jump)).toBe(true);
      if (jump > 1) expect(window.accept(4 + jump)).toBe(true);
    }
  });

  it('agrees with a set of all counters ever seen, whatever the order', () => {
    const random = new SeededRandom('window');
    const wrong: unknown[] = [];
    for (let round = 0; round < 20; round++) {
      const window = new ReplayWindow();
      const seen = new Set<number>();
      let newest = -1;
      for (let i = 0; i < 5_000; i++) {
        const reach = random.pick([1, 40, 9_000]);
        const counter = Math.max(0, newest + (random.chance(0.5) ? random.below(reach) : -random.below(reach)));
        const fits = !seen.has(counter) && newest - counter <= REPLAY_WINDOW;
        if (window.accept(counter) !== fits) wrong.push({ round, counter, newest });
        if (!fits) continue;
        seen.add(counter);
        newest = Math.max(newest, counter);
      }
    }
    expect(wrong).toEqual([]);
  });
});
