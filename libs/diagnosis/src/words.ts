import type { Metric } from './change-rules.js';
import type { Change } from './change-point.js';
import type { Survey } from './survey.js';

/** One decimal below 10, none above; no trailing `.0`. */
export function formatNumber(value: number): string {
  const text = Math.abs(value) < 9.95 ? value.toFixed(1) : value.toFixed(0);
  return text.endsWith('.0') ? text.slice(0, -2) : text;
}

const dayMs = 86_400_000;

/** `14:30:05`, with the date in front when it is another day (UTC) than `now`. */
export function formatTime(ms: number, now: number): string {
  const text = new Date(ms).toISOString();
  const time = text.slice(11, 19);
  return Math.floor(ms / dayMs) === Math.floor(now / dayMs) ? time : `${text.slice(0, 10)} ${time}`;
}

/** A level with its unit: `150 ms`, `2.5 %`, `20 requests/s`. */
export function formatLevel(metric: Metric, value: number): string {
  if (metric === 'p95_ms') return `${formatNumber(value)} ms`;
  if (metric === 'error_rate') return `${formatNumber(value * 100)} %`;
  return `${formatNumber(value)} requests/s`;
}

const metricNames: Record<Metric, string> = { p95_ms: 'p95', error_rate: 'errors', requests_per_s: 'traffic' };

/** `p95 150 → 450 ms`; the unit once. */
export function formatChange(change: Pick<Change, 'metric' | 'before' | 'after'>): string {
  const after = formatLevel(change.metric, change.after);
  const unit = after.slice(after.indexOf(' '));
  return `${metricNames[change.metric]} ${formatLevel(change.metric, change.before).replace(unit, '')} → ${after}`;
}

/** `since 14:30:10 UTC`, or `from 14:30:10 to 14:41:00 UTC` when it is over. */
export function formatWhen(change: Pick<Change, 'since' | 'until'>, now: number): string {
  const since = formatTime(change.since, now);
  return change.until === null ? `since ${since} UTC` : `from ${since} to ${formatTime(change.until, now)} UTC`;
}

/** How a node is called in a sentence: a service by its name, the rest by what it is and its id. */
export function labelOf(survey: Survey, id: string): string {
  const { kind } = survey.node(id);
  if (kind === 'service') return id;
  return kind === 'external' ? `the external ${id}` : `the ${kind} ${id}`;
}

export function capitalized(text: string): string {
  return text.startsWith('the ') ? `The ${text.slice(4)}` : text;
}

/** `a`, `a and b`, `a, b and c`; after `most` the rest as a count. */
export function listed(words: readonly string[], most = 4): string {
  const shown = words.length > most ? [...words.slice(0, most), `${words.length - most} more`] : [...words];
  const last = shown.pop() ?? '';
  return shown.length === 0 ? last : `${shown.join(', ')} and ${last}`;
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
