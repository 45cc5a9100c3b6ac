import { describe, expect, it } from 'vitest';
import { median, quantile } from './statistics.js';

describe('quantile', () => {
  it('lies between its neighbours', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(quantile([10, 20, 30, 40, 50], 0.95)).toBeCloseTo(48);
    expect(quantile([7], 0.95)).toBe(7);
  });

  it('is nothing of nothing', () => {
    expect(() => quantile([], 0.5)).toThrow('no values');
  });
});
