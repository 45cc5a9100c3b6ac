// Between protobuf's well-known types (as ts-proto has them: Timestamp is a Date, Duration a message) and ours.
import { CoralError } from '@coral/errors';
import type { Duration } from '@coral/model';
import type { Duration as ProtoDuration } from './gen/google/protobuf/duration.js';

/** protobuf's own bound: ten thousand years. */
const maxSeconds = 315_576_000_000;
const maxNanos = 999_999_999;

/**
 * Whole milliseconds, rounded up: what is a nanosecond over a limit must not slip under it. Negative, overflowing and
 * malformed durations are `invalid_argument` `bad_duration`; `where` names the argument.
 */
export function durationFromProto(value: ProtoDuration, where: string): Duration {
  const { seconds, nanos } = value;
  const sound = Number.isInteger(seconds) && Number.isInteger(nanos) && nanos <= maxNanos && seconds <= maxSeconds;
  if (!sound || seconds < 0 || nanos < 0) {
    throw new CoralError({
      kind: 'invalid_argument',
      reason: 'bad_duration',
      where,
      message: `${where}: ${seconds} s and ${nanos} ns are ${seconds < 0 || nanos < 0 ? 'negative' : 'not a duration'}.`,
      next: 'Send a positive google.protobuf.Duration.',
    });
  }
  return (seconds * 1_000 + Math.ceil(nanos / 1_000_000)) as Duration;
}

export function durationToProto(ms: number): ProtoDuration {
  if (!Number.isFinite(ms) || ms < 0) throw new RangeError(`${ms} ms is no duration`);
  return { seconds: Math.floor(ms / 1_000), nanos: Math.round((ms % 1_000) * 1_000_000) };
}

/** Milliseconds since the Unix epoch. Missing, and beyond what a Date can hold: `invalid_argument` `bad_timestamp`. */
export function timeFromProto(value: Date | undefined, where: string): number {
  const ms = value?.getTime() ?? Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_timestamp',
    where,
    message: `${where}: ${value === undefined ? 'the timestamp is missing' : 'that is no time'}.`,
    next: 'Send a google.protobuf.Timestamp.',
  });
}

export function timeToProto(ms: number): Date {
  if (!Number.isFinite(ms)) throw new RangeError(`${ms} is no time`);
  return new Date(ms);
}
