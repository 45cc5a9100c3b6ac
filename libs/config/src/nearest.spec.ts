import { describe, expect, it } from 'vitest';
import { nearest } from './index.js';

describe('nearest', () => {
  it.each<[string, string | undefined]>([
    ['read:metric', 'read:metrics'],
    ['READ:METRICS', 'read:metrics'],
    ['coral-query', 'coral_query'],
    ['corla_query', 'coral_query'],
    ['heatlh', 'health'],
    ['zzz', undefined],
    ['', undefined],
    ['x'.repeat(10_000), undefined],
  ])('takes %s for %s', (word, expected) => {
    expect(nearest(word, ['coral_query', 'read:metrics', 'read:health', 'health'])).toBe(expected);
  });

  it('prefers the first of equally near words', () => {
    expect(nearest('cat', ['bat', 'hat'])).toBe('bat');
  });
});
