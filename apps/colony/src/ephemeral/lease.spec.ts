import { agentIdOf, keyIdOf, parseDuration } from '@coral/model';
import type { UserId } from '@coral/model';
import { describe, expect, it } from 'vitest';
import { grant, isExpired, maxPurposeLength, rebaseMonotonicEnd, remaining, ttlOf } from './lease.js';
import type { Lease, LeaseRequest, LeaseRules } from './lease.js';

const rules: LeaseRules = {
  defaultTtl: parseDuration('5m'),
  maxTtl: parseDuration('15m'),
  maxConcurrentPerUser: 3,
  maxPublicPerUser: 2,
};

function requestOf(user: string, key: number): LeaseRequest {
  const publicKey = Buffer.alloc(32, key);
  return {
    agentId: agentIdOf(publicKey, 'eph'),
    userId: user as UserId,
    tokenId: 'token',
    purpose: 'coral ask',
    seat: { keyId: keyIdOf(publicKey), publicKey, host: 40_000 + key, directCertificateSha256: undefined },
    ttl: rules.defaultTtl,
  };
}

const start = { wall: 1_000_000, monotonic: 500 };

describe('ttlOf', () => {
  it('gives the default only when the ttl is absent', () => {
    expect(ttlOf(undefined, rules)).toBe(300_000);
  });

  it.each([
    ['one second', { seconds: 1, nanos: 0 }, 1_000],
    ['a millisecond', { seconds: 0, nanos: 1_000_000 }, 1],
    ['one and a half second', { seconds: 1, nanos: 500_000_000 }, 1_500],
    ['exactly the maximum', { seconds: 900, nanos: 0 }, 900_000],
  ])('takes %s', (_name, wire, expected) => {
    expect(ttlOf(wire, rules)).toBe(expected);
  });

  it.each([
    ['zero', { seconds: 0, nanos: 0 }],
    ['minus one second', { seconds: -1, nanos: 0 }],
    ['minus one nanosecond', { seconds: 0, nanos: -1 }],
    ['one nanosecond over the maximum', { seconds: 900, nanos: 1 }],
    ['one second over the maximum', { seconds: 901, nanos: 0 }],
    ['the largest number of seconds', { seconds: Number.MAX_SAFE_INTEGER, nanos: 0 }],
    ['more than a double can count', { seconds: 2 ** 63, nanos: 0 }],
    ['mixed signs', { seconds: 1, nanos: -1 }],
    ['nanos of a whole second', { seconds: 0, nanos: 1_000_000_000 }],
    ['not a number', { seconds: Number.NaN, nanos: 0 }],
    ['less than a millisecond', { seconds: 0, nanos: 999_999 }],
  ])('refuses %s and names the maximum', (_name, wire) => {
    expect(() => ttlOf(wire, rules)).toThrow(
      expect.objectContaining({
        kind: 'invalid_argument',
        reason: 'bad_ttl',
        where: 'ttl',
        message: expect.stringContaining('15m'),
      }),
    );
  });
});

describe('grant', () => {
  it('ends after the ttl on both hands of the clock', () => {
    const lease = grant(requestOf('alex', 1), [], rules, start);
    expect(lease).toMatchObject({ createdAt: 1_000_000, expiresAt: 1_300_000, endsAtMonotonic: 300_500 });
  });

  it('refuses a fourth lease while three are active, naming them', () => {
    const held = [1, 2, 3].map((key) => grant(requestOf('alex', key), [], rules, start));
    expect(() => grant(requestOf('alex', 4), held, rules, start)).toThrow(
      expect.objectContaining({
        kind: 'resource_exhausted',
        reason: 'too_many_leases',
        message: expect.stringContaining(held.map((lease) => lease.agentId).join(', ')),
        next: expect.stringContaining('coral colony ephemeral release'),
      }),
    );
  });

  it('counts neither ended leases nor those of others', () => {
    const held = [1, 2].map((key) => grant(requestOf('alex', key), [], rules, start));
    const others = [3, 4, 5].map((key) => grant(requestOf('jordan', key), [], rules, start));
    const ended = grant(requestOf('alex', 6), [], rules, { wall: 0, monotonic: -1_000_000 });
    expect(grant(requestOf('alex', 7), [...held, ...others, ended], rules, start).userId).toBe('alex');
  });

  it('counts leases in the mesh and public accesses apart', () => {
    const at = (key: number, seated: boolean): LeaseRequest => {
      const { seat, ...request } = requestOf('alex', key);
      return { ...request, seat: seated ? seat : undefined };
    };
    const seated = [1, 2].map((key) => grant(at(key, true), [], rules, start));
    const open = [3, 4].map((key) => grant(at(key, false), [], rules, start));
    expect(grant(at(5, true), [...seated, ...open], rules, start).seat).toBeDefined();
    expect(() => grant(at(5, false), [...seated, ...open], rules, start)).toThrow(
      expect.objectContaining({ reason: 'too_many_leases', message: expect.stringContaining('2 public accesses') }),
    );
  });

  it('refuses a purpose that would flood lists and audit', () => {
    const request = { ...requestOf('alex', 1), purpose: 'x'.repeat(maxPurposeLength + 1) };
    expect(() => grant(request, [], rules, start)).toThrow(expect.objectContaining({ reason: 'bad_purpose' }));
  });
});

describe('the end of a lease', () => {
  const lease: Lease = grant(requestOf('alex', 1), [], rules, start);

  it('is inclusive', () => {
    expect(isExpired(lease, { wall: 1_299_999, monotonic: 300_499 })).toBe(false);
    expect(isExpired(lease, { wall: 1_300_000, monotonic: 300_499 })).toBe(true);
    expect(remaining(lease, { wall: 1_299_999, monotonic: 300_499 })).toBe(1);
    expect(remaining(lease, { wall: 1_400_000, monotonic: 400_500 })).toBe(0);
  });

  it('comes by the monotonic clock when the wall clock stepped back', () => {
    expect(isExpired(lease, { wall: start.wall - 3_600_000, monotonic: 300_500 })).toBe(true);
  });

  it('comes at once when the wall clock stepped over it', () => {
    expect(isExpired(lease, { wall: start.wall + 86_400_000, monotonic: 501 })).toBe(true);
  });

  it('stays where it was over a restart in the same boot, whatever the wall clock says', () => {
    expect(rebaseMonotonicEnd({ ...lease, sameBoot: true }, { wall: 0, monotonic: 900 })).toBe(300_500);
  });

  it('is bounded by wall clock and whole length over a reboot', () => {
    expect(rebaseMonotonicEnd({ ...lease, sameBoot: false }, { wall: 1_200_000, monotonic: 10 })).toBe(100_010);
    expect(rebaseMonotonicEnd({ ...lease, sameBoot: false }, { wall: 0, monotonic: 10 })).toBe(300_010);
  });
});
