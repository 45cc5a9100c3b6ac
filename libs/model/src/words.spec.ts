import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { agentIdOf, formatDuration, isPermission, keyIdOf, parseDuration, parseTimeRange } from './index.js';

describe('durations', () => {
  it.each([
    ['90s', 90_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['7d', 604_800_000],
    ['250ms', 250],
    ['0s', 0],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '5', '-5m', '1.5h', '5 m', 'm', '5x', '5mm', '99999999999s'])(
    'refuses %j and says how to write one',
    (text) => {
      expect(() => parseDuration(text, 'ttl')).toThrow(
        expect.objectContaining({ reason: 'bad_duration', where: 'ttl' }),
      );
    },
  );

  it.each([
    [270_000, '4m30s'],
    [120_000, '2m'],
    [3_600_000, '1h'],
    [90_061_000, '1d1h'],
    [450, '450ms'],
  ])('writes %i ms', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('makes a window up to now of a time range', () => {
    expect(parseTimeRange('1h', 10_000_000)).toEqual({ from: 6_400_000, to: 10_000_000 });
  });
});

describe('identity', () => {
  const key = Buffer.alloc(32, 7);

  it('is the hash of the key, and the agent id its first 80 bits in base32', () => {
    const digest = createHash('sha256').update(key).digest();
    expect(keyIdOf(key)).toBe(digest.toString('base64url'));
    // RFC 4648, section 6, written out bit by bit.
    const bits = [...digest.subarray(0, 10)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
    const letters = (bits.match(/.{5}/g) ?? []).map(
      (five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five, 2)],
    );
    expect(agentIdOf(key, 'eph')).toBe(`eph-${letters.join('')}`);
    expect(agentIdOf(key, 'agt')).toMatch(/^agt-[a-z2-7]{16}$/);
  });
});

it('knows its permissions', () => {
  expect(isPermission('read:metrics')).toBe(true);
  expect(isPermission('read:everything')).toBe(false);
});
