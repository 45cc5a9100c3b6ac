import { BIGINT, INTEGER, LIST, listValue } from '@duckdb/node-api';
import { mergeHistograms, percentile, type Histogram } from '@coral/model';
import type { Appender, Row, WriteSession } from '../database.js';
import { histogramOf, numberOf, textOf } from '../rows.js';
import type { EdgeWindowRow, Measured, ServiceWindowRow } from './check-batch.js';

interface WindowTable<R extends Measured> {
  table: 'service_window' | 'edge_window';
  keys: readonly string[];
  keyOf(row: R): string[];
}

export const serviceWindows: WindowTable<ServiceWindowRow> = {
  table: 'service_window',
  keys: ['service', 'version', 'route'],
  keyOf: (row) => [row.service, row.version, row.route],
};
export const edgeWindows: WindowTable<EdgeWindowRow> = {
  table: 'edge_window',
  keys: ['service', 'kind', 'address', 'system', 'name'],
  keyOf: (row) => [row.service, row.kind, row.address, row.system, row.name],
};

/**
 * Adds to the windows that are there: one row per key, agent and window, however many batches it came in, so that the
 * percentiles beside each row are those of the whole window.
 */
export async function addWindows<R extends Measured>(
  sql: WriteSession,
  { table, keys, keyOf }: WindowTable<R>,
  agentId: string,
  incoming: readonly R[],
): Promise<void> {
  if (incoming.length === 0) return;
  const merged = new Map<string, { key: string[]; parts: Measured[] }>();
  const put = (key: string[], part: Measured): void => {
    const id = JSON.stringify([...key, part.startMs, part.lengthMs]);
    const slot = merged.get(id);
    if (slot) slot.parts.push(part);
    else merged.set(id, { key, parts: [part] });
  };
  for (const row of incoming) put(keyOf(row), row);

  const starts = incoming.map((row) => row.startMs);
  const stored = await sql.rows(
    `SELECT rowid AS row_id, * FROM ${table}
     WHERE agent_id = $agent AND start_ms BETWEEN $first::BIGINT AND $last::BIGINT`,
    { agent: agentId, first: Math.min(...starts), last: Math.max(...starts) },
  );
  const replaced: string[] = [];
  for (const row of stored) {
    const key = keys.map((name) => textOf(row, name));
    const part = measuredOf(row);
    if (!merged.has(JSON.stringify([...key, part.startMs, part.lengthMs]))) continue;
    put(key, part);
    replaced.push(String(row['row_id']));
  }
  if (replaced.length > 0) await sql.run(`DELETE FROM ${table} WHERE rowid IN (${replaced.join(',')})`);
  await sql.append(table, merged.values(), (to, { key, parts }) => appendWindow(to, agentId, key, addUp(parts)));
}

function measuredOf(row: Row): Measured {
  return {
    startMs: numberOf(row, 'start_ms'),
    lengthMs: numberOf(row, 'length_ms'),
    requests: numberOf(row, 'requests'),
    errors: numberOf(row, 'errors'),
    latency: histogramOf(row),
  };
}

function addUp(parts: readonly Measured[]): Measured {
  const [first] = parts as [Measured, ...Measured[]];
  if (parts.length === 1) return first;
  return {
    startMs: first.startMs,
    lengthMs: first.lengthMs,
    requests: parts.reduce((sum, part) => sum + part.requests, 0),
    errors: parts.reduce((sum, part) => sum + part.errors, 0),
    latency: mergeHistograms(parts.map((part) => part.latency)),
  };
}

function appendWindow(to: Appender, agentId: string, key: readonly string[], row: Measured): void {
  to.appendVarchar(agentId);
  for (const word of key) to.appendVarchar(word);
  to.appendBigInt(BigInt(row.startMs));
  to.appendInteger(row.lengthMs);
  to.appendBigInt(BigInt(row.requests));
  to.appendBigInt(BigInt(row.errors));
  to.appendBigInt(BigInt(row.latency.zeroCount));
  to.appendDouble(row.latency.sum);
  to.appendDouble(row.latency.min);
  to.appendDouble(row.latency.max);
  to.appendList(listValue(row.latency.buckets), LIST(INTEGER));
  to.appendList(listValue(row.latency.counts.map(BigInt)), LIST(BIGINT));
  for (const p of [0.5, 0.95, 0.99]) appendPercentile(to, row.latency, p);
}

function appendPercentile(to: Appender, latency: Histogram, p: number): void {
  const ns = percentile(latency, p);
  if (ns === null) to.appendNull();
  else to.appendDouble(ns / 1e6);
}
