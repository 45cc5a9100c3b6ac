import { formatDuration } from '@coral/model';

/** `12.3`, `450`, `0.04`: three figures that matter, no exponent; null is `–`. */
export function formatNumber(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** 0.0123 → `1.23 %`. */
export function formatPercent(share: number): string {
  return `${formatNumber(share * 100)} %`;
}

/** RFC 3339 → `2026-11-21 10:14:03`, UTC. Text that is no time stays as it is. */
export function formatTime(at: string): string {
  const time = Date.parse(at);
  return Number.isNaN(time) ? at : new Date(time).toISOString().slice(0, 19).replace('T', ' ');
}

/** `2m ago`: the largest unit only. A time to come, from a clock that is ahead, is `just now`. */
export function formatAge(ms: number): string {
  if (ms < 1_000) return 'just now';
  return `${/^\d+[a-z]+/.exec(formatDuration(ms))?.[0] ?? ''} ago`;
}

/** `1 agent`, `3 agents`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
