import type { Coverage, ToolData, ToolEnvelope } from '@coral/tools';

export interface EnvelopeParts<D extends ToolData> {
  data: D;
  status: ToolEnvelope['status'];
  /** ms */
  from: number;
  to: number;
  now: number;
  /** Time of the newest datum, ms; null: there is none. */
  newest: number | null;
  coverage: Coverage;
  notes: string[];
  truncation?: ToolEnvelope['truncation'];
}

export function envelope<D extends ToolData>(parts: EnvelopeParts<D>): ToolEnvelope<D> {
  // The window being filled ends in the future; its newest datum does not.
  const newest = parts.newest === null ? null : Math.min(parts.newest, parts.now);
  return {
    data: parts.data,
    status: parts.status,
    window: { from: timeText(parts.from), to: timeText(parts.to) },
    freshness: {
      newest: newest === null ? null : timeText(newest),
      age_ms: newest === null ? null : parts.now - newest,
    },
    coverage: parts.coverage,
    sampling: { factor: 1 },
    truncation: parts.truncation ?? { truncated: false },
    notes: parts.notes,
  };
}

export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
