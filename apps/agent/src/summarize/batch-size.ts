import { colonyV1 } from '@coral/rpc';
import type { SummaryBatch } from './outbox.js';

/** Largest batch, encoded; gRPC's default limit for one message is 4 MiB. */
export const maxBatchBytes = 2 * 1_048_576;

/** Splits a summary that would not fit one message. Batches add up, so it does not matter which half a window is in. */
export function splitBatch(batch: SummaryBatch, maxBytes = maxBatchBytes): SummaryBatch[] {
  const size = colonyV1.PushSummaryRequest.encode({ epoch: '', seq: 0, ...batch }).finish().length;
  const { producedAtMs, windows, edges, links, sightings } = batch;
  const longest = Math.max(windows.length, edges.length, links.length, sightings.length);
  if (size <= maxBytes || longest < 2) return [batch];
  const half = (skip: boolean): SummaryBatch => ({
    producedAtMs,
    windows: windows.slice(...halfOf(windows, skip)),
    edges: edges.slice(...halfOf(edges, skip)),
    links: links.slice(...halfOf(links, skip)),
    sightings: sightings.slice(...halfOf(sightings, skip)),
  });
  return [...splitBatch(half(false), maxBytes), ...splitBatch(half(true), maxBytes)];
}

function halfOf(list: readonly unknown[], second: boolean): [number, number] {
  const middle = Math.ceil(list.length / 2);
  return second ? [middle, list.length] : [0, middle];
}
