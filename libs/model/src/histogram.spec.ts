import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  countAbove,
  countOf,
  emptyHistogram,
  mergeHistograms,
  percentile,
  recordValue,
  type Histogram,
} from './index.js';

function of(values: readonly number[]): Histogram {
  const histogram = emptyHistogram();
  for (const value of values) recordValue(histogram, value);
  return histogram;
}

const nanoseconds = fc.integer({ min: 0, max: 600_000_000_000 });

describe('latency histogram', () => {
  it('is within 1.1 % of the exact nearest rank, at any percentile', () => {
    fc.assert(
      fc.property(
        fc.array(nanoseconds, { minLength: 1, maxLength: 300 }),
        fc.constantFrom(0.5, 0.9, 0.95, 0.99, 0.999, 1),
        (values, p) => {
          const sorted = values.toSorted((a, b) => a - b);
          const exact = sorted[Math.max(1, Math.ceil(p * sorted.length)) - 1] as number;
          const read = percentile(of(values), p) as number;
          expect(Math.abs(read - exact)).toBeLessThanOrEqual(0.011 * exact);
        },
      ),
    );
  });

  it('loses nothing by merging, in any order and grouping', () => {
    fc.assert(
      fc.property(fc.array(fc.array(nanoseconds, { maxLength: 40 }), { maxLength: 8 }), (groups) => {
        const merged = mergeHistograms(groups.map(of));
        const whole = of(groups.flat());
        expect({ ...merged, sum: 0 }).toEqual({ ...whole, sum: 0 });
        expect(merged.sum).toBeCloseTo(whole.sum, -3);
        expect(mergeHistograms(groups.map(of).toReversed()).counts).toEqual(whole.counts);
      }),
    );
  });

  it('has no percentile when empty, and 0 for values of 0 and below', () => {
    expect(percentile(emptyHistogram(), 0.95)).toBeNull();
    expect(percentile(of([0, -5, 0]), 0.95)).toBe(0);
    expect(countOf(of([0, -5, 7]))).toBe(3);
  });

  it('counts what is certainly above a value', () => {
    expect(countAbove(of([1_000, 2_000, 4_000, 4_100]), 3_000)).toBe(2);
    expect(countAbove(of([1_000, 1_001]), 1_000)).toBe(0);
    expect(countAbove(of([0, 5]), 0)).toBe(1);
  });
});
