import { describe, expect, it } from 'vitest';
import { byteSizeField, durationField, parseByteSize } from './index.js';

describe('sizes and durations', () => {
  it.each<[string, number | undefined]>([
    ['1MB', 1_000_000],
    ['1MiB', 1_048_576],
    ['64 KiB', 65_536],
    ['10kB', 10_000],
    ['0B', 0],
    ['2GiB', 2_147_483_648],
    ['1.5MB', undefined],
    ['-1MB', undefined],
    ['1mb', undefined],
    ['1000000', undefined],
    ['999999999999GiB', undefined],
    ['', undefined],
  ])('reads %s as %s bytes', (text, bytes) => {
    expect(parseByteSize(text)).toBe(bytes);
  });

  it('holds sizes and durations inside their limits, bounds included', () => {
    const size = byteSizeField({ min: 1_000, max: 2_000 });
    expect(['1kB', '2kB', '999B', '2001B'].map((text) => size.safeParse(text).success)).toEqual([
      true,
      true,
      false,
      false,
    ]);
    const time = durationField({ min: 1_000, max: 900_000 });
    expect(['1s', '15m', '999ms', '15m1s', '0s'].map((text) => time.safeParse(text).success)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});
