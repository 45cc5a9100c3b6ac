import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CoralError } from '@coral/errors';
import { colonyV1, durationFromProto, durationToProto, timeFromProto, timeToProto } from './index.js';

describe('durations', () => {
  it('go there and back, over the wire', () => {
    fc.assert(
      fc.property(fc.nat(315_576_000_000_000), (ms) => {
        const sent = colonyV1.RequestEphemeralAccessRequest.encode(
          colonyV1.RequestEphemeralAccessRequest.fromPartial({ ttl: durationToProto(ms) }),
        ).finish();
        const { ttl } = colonyV1.RequestEphemeralAccessRequest.decode(sent);
        expect(ttl && durationFromProto(ttl, 'ttl')).toBe(ms);
      }),
    );
  });

  it('round up, so that a nanosecond over a limit stays over it', () => {
    expect(durationFromProto({ seconds: 900, nanos: 0 }, 'ttl')).toBe(900_000);
    expect(durationFromProto({ seconds: 900, nanos: 1 }, 'ttl')).toBe(900_001);
    expect(durationFromProto({ seconds: 0, nanos: 1 }, 'ttl')).toBe(1);
    expect(durationFromProto({ seconds: 0, nanos: 0 }, 'ttl')).toBe(0);
    expect(durationFromProto({ seconds: 315_576_000_000, nanos: 999_999_999 }, 'ttl')).toBe(315_576_000_001_000);
  });

  it.each([
    [-1, 0],
    [0, -1],
    [-1, 1],
    [1, -1],
    [315_576_000_001, 0],
    [2 ** 63, 0],
    [0, 1_000_000_000],
    [0.5, 0],
    [0, 0.5],
    [Number.NaN, 0],
    [0, Number.NaN],
    [Number.POSITIVE_INFINITY, 0],
  ])('are refused as %d s %d ns, with the argument named', (seconds, nanos) => {
    expect(() => durationFromProto({ seconds, nanos }, 'ttl')).toThrow(CoralError);
    expect(() => durationFromProto({ seconds, nanos }, 'ttl')).toThrow(
      expect.objectContaining({ kind: 'invalid_argument', reason: 'bad_duration', where: 'ttl' }),
    );
  });

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('cannot be made of %d ms', (ms) => {
    expect(() => durationToProto(ms)).toThrow(RangeError);
  });
});

describe('timestamps', () => {
  it('go there and back, over the wire', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 43), (ms) => {
        const message = { ...colonyV1.RequestEphemeralAccessResponse.fromPartial({}), expiresAt: timeToProto(ms) };
        const wire = colonyV1.RequestEphemeralAccessResponse.encode(message).finish();
        expect(timeFromProto(colonyV1.RequestEphemeralAccessResponse.decode(wire).expiresAt, 'expires_at')).toBe(ms);
      }),
    );
  });

  it.each([undefined, new Date(Number.NaN), new Date(8.64e15 + 1)])('are refused as %s', (value) => {
    expect(() => timeFromProto(value, 'expires_at')).toThrow(
      expect.objectContaining({ kind: 'invalid_argument', reason: 'bad_timestamp', where: 'expires_at' }),
    );
  });

  it('cannot be made of no time', () => {
    expect(() => timeToProto(Number.NaN)).toThrow(RangeError);
  });
});
