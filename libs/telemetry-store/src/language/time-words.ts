import { CoralError } from '@coral/errors';
import { parseDuration } from '@coral/model';
import { BadTimeRange } from './language.errors.js';

/** Windows are this long; no answer can be finer. */
export const windowMs = 10_000;
export const maxRangeMs = 30 * 86_400_000;

const units: Record<string, string> = {
  s: 's|sec|secs|second|seconds',
  m: 'm|min|mins|minute|minutes',
  h: 'h|hr|hrs|hour|hours',
  d: 'd|day|days',
  w: 'w|week|weeks',
};
const unitOf = new Map(
  Object.entries(units).flatMap(([unit, words]) => words.split('|').map((word): [string, string] => [word, unit])),
);

/** `hour` alone, for one of them: after "last" only. */
export function readUnit(word: string | undefined): number | undefined {
  const unit = word === undefined ? undefined : unitOf.get(word);
  return unit === undefined ? undefined : lengthOf(1, unit);
}

/** `15m`, `1h30m`; also `2` `hours`. How many words were used, or undefined when it is no duration. */
export function readDuration(words: readonly string[]): { ms: number; used: number } | undefined {
  const [first, second] = words;
  if (first === undefined) return undefined;
  const joined = /^(\d{1,6})([a-z]+)$/.exec(first);
  const joinedUnit = joined && unitOf.get(joined[2] as string);
  if (joined && joinedUnit) return { ms: lengthOf(Number(joined[1]), joinedUnit), used: 1 };
  if (/^(\d{1,6}[smhd])+$/.test(first)) return { ms: parseDuration(first), used: 1 };
  const unit = second === undefined ? undefined : unitOf.get(second);
  if (/^\d{1,6}$/.test(first) && unit !== undefined) return { ms: lengthOf(Number(first), unit), used: 2 };
  return undefined;
}

function lengthOf(count: number, unit: string): number {
  return count * (unit === 'w' ? 7 * 86_400_000 : parseDuration(`1${unit}`));
}

/** Refuses lengths that no answer can have. */
export function checkRange(ms: number, text: string, where: string): number {
  if (ms < windowMs) throw new BadTimeRange(text, where, 'it is shorter than one window of 10 s');
  if (ms > maxRangeMs) throw new BadTimeRange(text, where, 'it is longer than 30 days');
  if (ms % windowMs !== 0) throw new BadTimeRange(text, where, 'windows are 10 s long, and it ends inside one');
  return ms;
}

/** A tool's `time_range` argument, as a length in ms. */
export function rangeArgument(text: string): number {
  let ms: number;
  try {
    ms = parseDuration(text.trim(), 'time_range');
  } catch (thrown) {
    if (!(thrown instanceof CoralError)) throw thrown;
    throw new BadTimeRange(text, 'time_range', 'it is not a number and a unit');
  }
  return checkRange(ms, text, 'time_range');
}

/** Exact: `24h`, `7d`, `1h30m`. Reads back as the same length. */
export function formatRange(ms: number): string {
  if (ms >= 2 * 86_400_000 && ms % 86_400_000 === 0) return `${ms / 86_400_000}d`;
  const parts: [number, string][] = [
    [Math.floor(ms / 3_600_000), 'h'],
    [Math.floor(ms / 60_000) % 60, 'm'],
    [Math.floor(ms / 1_000) % 60, 's'],
  ];
  return parts.map(([n, unit]) => (n > 0 ? `${n}${unit}` : '')).join('');
}
