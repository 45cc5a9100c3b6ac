import { CoralError } from '@coral/errors';

declare const duration: unique symbol;
/** A span of time in whole milliseconds. Made by {@link parseDuration} only. */
export type Duration = number & { readonly [duration]: true };

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Reads `90s`, `5m`, `1h30m`, `7d` (Go's notation plus `d`). Signs, fractions and bare numbers are refused. */
export function parseDuration(text: string, where = 'duration'): Duration {
  const parts = [...text.matchAll(/(\d{1,9})(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map((p) => p[0]).join('') !== text) {
    throw new CoralError({
      kind: 'invalid_argument',
      reason: 'bad_duration',
      where,
      message: `${where}: ${JSON.stringify(text.slice(0, 40))} is not a duration.`,
      next: 'Write a number and a unit (ms, s, m, h, d), for example 90s, 5m or 1h30m.',
    });
  }
  const total = parts.reduce((sum, p) => sum + Number(p[1]) * unitMs[p[2] as keyof typeof unitMs], 0);
  return total as Duration;
}

/** `5m`, `4m30s`, `1h`: the two largest units, rounded down to seconds above one second. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))}ms`;
  const order = ['d', 'h', 'm', 's'] as const;
  const words: string[] = [];
  let rest = Math.floor(ms / 1_000) * 1_000;
  for (const unit of order) {
    const count = Math.floor(rest / unitMs[unit]);
    if (count > 0) words.push(`${count}${unit}`);
    rest -= count * unitMs[unit];
  }
  return words.slice(0, 2).join('');
}
