/** Adds summary batches up the way the colony does, keyed like reference.ts. */
import { mergeHistograms } from '@coral/model';
import { colonyV1 } from '@coral/rpc';
import type { Counted } from './reference.js';

const kinds: Record<number, string> = { 1: 'request', 2: 'database', 3: 'queue' };

function add(groups: Map<string, Counted>, key: unknown[], part: colonyV1.ServiceWindow | colonyV1.EdgeWindow): void {
  const name = JSON.stringify(key);
  const wire = part.latency as colonyV1.LatencyHistogram;
  const latency = {
    zeroCount: wire.zeroCount,
    sum: wire.sumNs,
    min: wire.minNs,
    max: wire.maxNs,
    buckets: wire.buckets,
    counts: wire.counts,
  };
  const known = groups.get(name);
  groups.set(name, {
    requests: (known?.requests ?? 0) + part.requests,
    errors: (known?.errors ?? 0) + part.errors,
    latency: mergeHistograms(known === undefined ? [latency] : [known.latency, latency]),
  });
}

export function summedWindows(batches: readonly colonyV1.PushSummaryRequest[]): Map<string, Counted> {
  const groups = new Map<string, Counted>();
  for (const one of batches.flatMap((batch) => batch.windows)) {
    add(groups, [one.startMs, one.service, one.version, one.route], one);
  }
  return groups;
}

export function summedEdges(batches: readonly colonyV1.PushSummaryRequest[]): Map<string, Counted> {
  const groups = new Map<string, Counted>();
  for (const one of batches.flatMap((batch) => batch.edges)) {
    add(groups, [one.startMs, one.service, kinds[one.kind], one.address, one.system, one.name], one);
  }
  return groups;
}
