/** A slow and obvious summary of spans, written without looking at the real one; specs compare the two. */
import { emptyHistogram, recordValue, type Histogram } from '@coral/model';
import type { SpanRecord } from '../ingest/records.js';

export interface Counted {
  requests: number;
  errors: number;
  latency: Histogram;
}

function count(groups: Map<string, Counted>, key: readonly unknown[], span: SpanRecord): void {
  const name = JSON.stringify(key);
  const found = groups.get(name) ?? { requests: 0, errors: 0, latency: emptyHistogram() };
  groups.set(name, found);
  found.requests++;
  if (span.failed) found.errors++;
  recordValue(found.latency, Number(span.durationNs));
}

const windowOf = (span: SpanRecord, windowMs: number) => Math.floor(Number(span.endUs) / 1_000 / windowMs) * windowMs;

export function referenceWindows(spans: readonly SpanRecord[], windowMs: number): Map<string, Counted> {
  const groups = new Map<string, Counted>();
  for (const span of spans) {
    if (span.kind !== 'SERVER' && span.kind !== 'CONSUMER') continue;
    count(groups, [windowOf(span, windowMs), span.service, span.version, span.route], span);
  }
  return groups;
}

export function referenceEdges(spans: readonly SpanRecord[], windowMs: number): Map<string, Counted> {
  const groups = new Map<string, Counted>();
  for (const span of spans) {
    if (span.peerKind === null) continue;
    const start = windowOf(span, windowMs);
    count(groups, [start, span.service, span.peerKind, span.peerAddress, span.peerSystem, span.peerName], span);
  }
  return groups;
}
