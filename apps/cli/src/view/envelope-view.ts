import { formatDuration } from '@coral/model';
import type { Coverage, ToolEnvelope } from '@coral/tools';
import { visibleLine } from './visible.js';
import { count, formatAge, formatTime } from './words.js';

/** What stands above every table: the window that was really covered and how fresh it is. */
export function headLines({ window, freshness }: ToolEnvelope, title?: string): string[] {
  const [from, to] = [Date.parse(window.from), Date.parse(window.to)];
  const length = to > from ? ` (${formatDuration(to - from)})` : '';
  const sameDay = window.from.slice(0, 10) === window.to.slice(0, 10);
  const end = sameDay ? formatTime(window.to).slice(11) : formatTime(window.to);
  const fresh = freshness.age_ms === null ? 'no datum' : `newest ${formatAge(freshness.age_ms)}`;
  const span = `${formatTime(window.from)} to ${end} UTC${length} · ${fresh}`;
  return [...(title ? [visibleLine(title)] : []), visibleLine(span)];
}

/** Parts with one empty line between them; empty parts leave none. */
export function sections(...parts: readonly (readonly string[])[]): string[] {
  return parts.filter((part) => part.length > 0).flatMap((part, i) => (i === 0 ? part : ['', ...part]));
}

const statusLines: Record<string, string[] | undefined> = {
  no_data: ['No data: nothing was recorded for this question in this window.'],
  nothing_visible: ['Nothing visible: there is data, but none of it is yours to see.'],
};
/** A note of the colony that says it already, and knows more. */
const sameFact: Record<string, RegExp | undefined> = { no_data: /^no data\b/i, nothing_visible: /^nothing visible\b/i };

/** What stands below: everything without which the numbers above could mislead. */
export function footLines(envelope: ToolEnvelope): string[] {
  const { status, truncation, sampling, notes, coverage } = envelope;
  const facts = [
    ...(notes.some((note) => sameFact[status]?.test(note)) ? [] : (statusLines[status] ?? [])),
    ...coverageLines(coverage),
    ...(truncation.truncated ? [`Truncated: ${truncation.note ?? 'there is more than is shown.'}`] : []),
    ...(sampling.factor === 1 ? [] : [`Sampled: each request shown stands for ${sampling.factor}.`]),
    ...notes,
  ];
  return facts.map(visibleLine);
}

/** Nothing when all answered. */
export function coverageLines({ asked, answered, late, silent, denied }: Coverage): string[] {
  const missing = [
    ...(silent.length > 0 ? [`silent: ${silent.join(', ')}`] : []),
    ...(late.length > 0 ? [`late: ${late.join(', ')}`] : []),
    ...(denied.length > 0 ? [`not yours to ask: ${denied.join(', ')}`] : []),
  ];
  return missing.length === 0
    ? []
    : [`Partial: ${answered.length} of ${count(asked, 'agent')} answered; ${missing.join('; ')}.`];
}

/** True when an agent that was asked did not answer: the exit code says so. */
export function isPartial({ coverage }: Pick<ToolEnvelope, 'coverage'>): boolean {
  return coverage.silent.length > 0 || coverage.late.length > 0;
}
