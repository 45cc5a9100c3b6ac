import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changeRules } from './change-rules.js';
import { risesOf, riseWith } from './change-point.js';
import { Random } from './spec-support/random.js';
import type { Point } from './series.js';
import { noiseOf, slidingMedians } from './statistics.js';

const stepMs = 10_000;
const now = 1_000 * stepMs;

function pointsOf(p95s: readonly number[], more: Partial<Point> = {}): Point[] {
  return p95s.map((p95, i) => ({
    start: i * stepMs,
    end: (i + 1) * stepMs,
    requests: 200,
    errors: 0,
    p50: p95 / 2,
    p95,
    ...more,
  }));
}

function rises(p95s: readonly number[]): ReturnType<typeof risesOf> {
  return risesOf('p95_ms', pointsOf(p95s), stepMs, now);
}

describe('a change of p95', () => {
  it('is found with three points before and two after, at its step', () => {
    expect(rises([150, 146, 153, 450, 455])).toMatchObject([
      { before: 150, after: 450, since: 3 * stepMs, until: null },
    ]);
  });

  it('has an end when the old level came back', () => {
    const levels = [...Array(20).fill(100), ...Array(10).fill(300), ...Array(20).fill(101)] as number[];
    expect(rises(levels)).toMatchObject([{ since: 20 * stepMs, until: 30 * stepMs, after: 300 }]);
  });

  it('is no blip of two steps, no single outlier and no slow drift', () => {
    expect(rises([...Array(20).fill(100), 400, 420, ...Array(20).fill(100)] as number[])).toEqual([]);
    expect(rises(Array.from({ length: 60 }, (_, i) => (i % 9 === 4 ? 900 : 100)))).toEqual([]);
    expect(rises(Array.from({ length: 360 }, (_, i) => 100 * 1.002 ** i))).toEqual([]);
  });

  it('is not moved by one outlier before it', () => {
    const levels = [...Array(20).fill(100), ...Array(20).fill(300)] as number[];
    levels[17] = 320;
    expect(rises(levels)).toMatchObject([{ since: 20 * stepMs }]);
  });

  it('is not one of a few milliseconds, whatever the ratio', () => {
    expect(rises([...Array(20).fill(1), ...Array(20).fill(4)] as number[])).toEqual([]);
    expect(rises([...Array(20).fill(1), ...Array(20).fill(40)] as number[])).toHaveLength(1);
  });

  it('is seen by the median of the requests where the p95 is too wild', () => {
    const wild = Array.from({ length: 16 }, (_, i): Point => {
      const level = i < 8 ? 1 : 3;
      return {
        start: i * stepMs,
        end: (i + 1) * stepMs,
        requests: 20,
        errors: 0,
        p50: 50 * level,
        p95: i % 2 === 0 ? 400 * level : 130 * level,
      };
    });
    expect(risesOf('p95_ms', wild, stepMs, now)).toMatchObject([{ since: 8 * stepMs, until: null }]);
  });

  it('is hardly ever seen in noise', () => {
    const random = new Random(11);
    let found = 0;
    for (let run = 0; run < 400; run += 1) {
      const sigma = random.between(0.05, 0.4);
      const levels = Array.from({ length: random.whole(5, 90) }, () => 100 * Math.exp(sigma * random.normal()));
      found += risesOf('p95_ms', pointsOf(levels, { requests: 30 }), stepMs, now).length > 0 ? 1 : 0;
    }
    expect(found).toBeLessThanOrEqual(4);
  });

  it('is found at the right step when another series tells the time, and not when it is not there', () => {
    const random = new Random(5);
    const level = (base: number): number => base * Math.exp(0.25 * random.normal());
    const faint = pointsOf(
      [...Array.from({ length: 12 }, () => level(100)), ...Array.from({ length: 6 }, () => level(165))],
      { requests: 20 },
    );
    expect(riseWith('p95_ms', faint, { since: 12 * stepMs, sinceEnd: 13 * stepMs }, stepMs, now)?.since).toBe(
      12 * stepMs,
    );
    const flat = pointsOf(
      Array.from({ length: 18 }, () => level(100)),
      { requests: 20 },
    );
    expect(riseWith('p95_ms', flat, { since: 12 * stepMs, sinceEnd: 13 * stepMs }, stepMs, now)).toBeUndefined();
  });
});

describe('a change of the error rate', () => {
  const errors = (counts: readonly number[]): ReturnType<typeof risesOf> =>
    risesOf(
      'error_rate',
      counts.map((n, i) => ({ start: i * stepMs, end: (i + 1) * stepMs, requests: 100, errors: n, p50: 1, p95: 1 })),
      stepMs,
      now,
    );

  it('is found from counts', () => {
    expect(errors([0, 1, 0, 0, 1, 12, 9, 11])).toMatchObject([{ since: 5 * stepMs, after: 0.10666666666666667 }]);
  });

  it('is not one bad step, nor a rate that was always there', () => {
    expect(errors([0, 1, 0, 0, 1, 60, 0, 1, 0, 0])).toEqual([]);
    expect(errors([8, 11, 9, 10, 12, 9, 10, 8, 11, 10])).toEqual([]);
  });
});

describe('quiet services', () => {
  it('are pooled until there are enough requests, and too few give no change', () => {
    const quiet = (count: number): Point[] =>
      pointsOf(
        Array.from({ length: count }, (_, i) => (i < count / 2 ? 50 : 500)),
        { requests: 1 },
      );
    expect(risesOf('p95_ms', quiet(160), stepMs, now)).toHaveLength(1);
    expect(risesOf('p95_ms', quiet(3 * changeRules.minRequests), stepMs, now)).toEqual([]);
  });
});

describe('statistics', () => {
  it('slides medians like sorting each window would', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 12 }),
        (values, width) => {
          const slid = slidingMedians(
            values,
            (k) => k,
            (k) => Math.min(values.length, k + width),
          );
          const sorted = values.map((_, k) => {
            const window = values.slice(k, k + width).sort((a, b) => a - b);
            return window[(window.length - 1) >> 1];
          });
          expect([...slid]).toEqual(sorted);
        },
      ),
      { seed: 3 },
    );
  });

  it('estimates noise that a level shift does not spoil', () => {
    const random = new Random(3);
    const values = Array.from({ length: 400 }, (_, i) => (i < 200 ? 0 : 50) + 2 * random.normal());
    expect(noiseOf(values)).toBeGreaterThan(1.5);
    expect(noiseOf(values)).toBeLessThan(2.5);
  });
});
