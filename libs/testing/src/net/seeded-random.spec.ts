import { describe, expect, it } from 'vitest';
import { SeededRandom } from './seeded-random.js';

describe('a seeded random source', () => {
  it('repeats itself for the same seed, today and on every machine', () => {
    const draw = (seed: number | string) => {
      const random = new SeededRandom(seed);
      return [random.u32(), random.u32(), random.bytes(5).toString('hex')];
    };
    expect(draw(7)).toEqual(draw('7'));
    expect(draw(7)).not.toEqual(draw(8));
    expect(draw(7)).toEqual([3239664904, 1322485528, 'cf6918d25a']);
  });

  it('spreads evenly', () => {
    const random = new SeededRandom('even');
    const bins = Array.from({ length: 16 }, () => 0);
    for (let i = 0; i < 160_000; i += 1) bins[random.below(16)]! += 1;
    for (const bin of bins) expect(Math.abs(bin - 10_000)).toBeLessThan(500);
    const bits = random.bytes(20_000).reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
    expect(Math.abs(bits - 80_000)).toBeLessThan(1_000);
  });

  it('gives forks that do not disturb each other', () => {
    const alone = new SeededRandom(1).fork('b').u32();
    const parent = new SeededRandom(1);
    parent.fork('a').bytes(100);
    expect(parent.fork('b').u32()).toBe(alone);
    expect(parent.fork('a').u32()).not.toBe(alone);
  });

  it('draws nothing for what is certain', () => {
    const random = new SeededRandom(3);
    expect([random.chance(0), random.chance(1)]).toEqual([false, true]);
    expect(random.u32()).toBe(new SeededRandom(3).u32());
  });
});
