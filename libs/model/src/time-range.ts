import { parseDuration } from './duration.js';

/** Half-open window of wall-clock time: `from` is inside, `to` is not. Milliseconds since the Unix epoch. */
export interface TimeRange {
  from: number;
  to: number;
}

/** A tool's `time_range` argument (`1h`, `24h`, `7d`): that long, up to now. */
export function parseTimeRange(text: string, now: number): TimeRange {
  return { from: now - parseDuration(text.trim(), 'time_range'), to: now };
}
