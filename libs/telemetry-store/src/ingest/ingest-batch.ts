import { BIGINT, INTEGER, LIST, listValue } from '@duckdb/node-api';
import { mergeHistograms, percentile, type Histogram } from '@coral/model';
import type { Appender, Row, WriteSession } from '../database.js';
import { histogramOf, numberOf, textOf } from '../rows.js';
import type { CheckedBatch, EdgeWindowRow, LinkRow, Measured, ServiceWindowRow } from './check-batch.js';
import type { RefusalReason } from './check-batch.js';
import { recordSightings } from './record-sightings.js';
import { acceptSeq, type Ledger } from './ledger.js';

export interface BatchIdentity {
  agentId: string;
  epoch: string;
  seq: number;
  oldestSeq?: number | undefined;
  producedAtMs: number;
  arrivalMs: number;
}

/** How long a half of a call waits for its other half. Longer than any buffering agent should lag. */
export const linkWaitMs = 3_600_000;

/** One transaction's work. Returns the durable seq; `duplicate` means that nothing was added. */
export async function ingestBatch(
  sql: WriteSession,
  id: BatchIdentity,
  batch: CheckedBatch,
): Promise<{ durableSeq: number; duplicate: boolean }> {
  const ledger = await readLedger(sql, id);
  const step = acceptSeq(ledger, id.seq, id.oldestSeq);
  await writeLedger(sql, id, ledger, step.ledger);
  if (!step.duplicate) {
    await addWindows(sql, serviceWindows, id.agentId, batch.windows);
    await addWindows(sql, edgeWindows, id.agentId, batch.edges);
    await matchLinks(sql, batch.links, id.arrivalMs);
    await recordSightings(sql, id.agentId, batch.sightings);
    await recordServices(sql, id.agentId, batch);
    await recordReport(sql, id, batch);
  }
  return { durableSeq: step.ledger.contiguous, duplicate: step.duplicate };
}

async function readLedger(sql: WriteSession, { agentId, epoch }: BatchIdentity): Promise<Ledger> {
  const params = { agent: agentId, epoch };
  const known = await sql.row('SELECT * FROM outbox WHERE agent_id = $agent AND epoch = $epoch', params);
  if (known === undefined) {
    const lost = await sql.row(`SELECT 1 AS yes FROM store_fact WHERE name = 'rows_lost'`);
    return { contiguous: 0, ahead: new Set(), resync: lost !== undefined };
  }
  const ahead = await sql.rows('SELECT seq FROM batch_ahead WHERE agent_id = $agent AND epoch = $epoch', params);
  return {
    contiguous: numberOf(known, 'contiguous_seq'),
    ahead: new Set(ahead.map((row) => numberOf(row, 'seq'))),
    resync: known['resync'] === true,
  };
}

async function writeLedger(sql: WriteSession, id: BatchIdentity, before: Ledger, after: Ledger): Promise<void> {
  const params = { agent: id.agentId, epoch: id.epoch };
  await sql.run('DELETE FROM outbox WHERE agent_id = $agent AND epoch = $epoch', params);
  await sql.run('INSERT INTO outbox VALUES ($agent, $epoch, $seq::BIGINT, false, $now::BIGINT)', {
    ...params,
    seq: after.contiguous,
    now: id.arrivalMs,
  });
  if (before.ahead.size === 0 && after.ahead.size === 0) return;
  await sql.run('DELETE FROM batch_ahead WHERE agent_id = $agent AND epoch = $epoch', params);
  await sql.append('batch_ahead', after.ahead, (to, seq) => {
    to.appendVarchar(id.agentId);
    to.appendVarchar(id.epoch);
    to.appendBigInt(BigInt(seq));
  });
}

interface WindowTable<R extends Measured> {
  table: 'service_window' | 'edge_window';
  keys: readonly string[];
  keyOf(row: R): string[];
}

const serviceWindows: WindowTable<ServiceWindowRow> = {
  table: 'service_window',
  keys: ['service', 'version', 'route'],
  keyOf: (row) => [row.service, row.version, row.route],
};
const edgeWindows: WindowTable<EdgeWindowRow> = {
  table: 'edge_window',
  keys: ['service', 'kind', 'address', 'system', 'name'],
  keyOf: (row) => [row.service, row.kind, row.address, row.system, row.name],
};

/**
 * Adds to the windows that are there: one row per key, agent and window, however many batches it came in, so that the
 * percentiles beside each row are those of the whole window.
 */
async function addWindows<R extends Measured>(
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

/** Puts the two halves of a call together: the client knew an address, the server knows its name. */
async function matchLinks(sql: WriteSession, links: readonly LinkRow[], arrivalMs: number): Promise<void> {
  if (links.length === 0) return;
  await sql.append('link', links, (to, link) => {
    to.appendVarchar(link.callId);
    to.appendVarchar(link.side);
    to.appendVarchar(link.service);
    to.appendVarchar(link.address);
    to.appendBigInt(BigInt(link.atMs));
    to.appendBigInt(BigInt(arrivalMs));
  });
  const ids = { ids: listValue([...new Set(links.map((link) => link.callId))]) };
  const met = await sql.rows(
    `SELECT c.service AS from_service, c.address, s.service AS to_service,
       min(c.at_ms) AS first_ms, max(c.at_ms) AS last_ms, count(DISTINCT c.call_id) AS calls,
       list(DISTINCT c.call_id) AS call_ids
     FROM link c JOIN link s ON c.call_id = s.call_id AND c.side = 'client' AND s.side = 'server'
     WHERE c.call_id IN (SELECT unnest($ids::VARCHAR[]))
     GROUP BY ALL`,
    ids,
  );
  for (const row of met) await learnPeer(sql, row);
  const done = met.flatMap((row) => row['call_ids'] as string[]);
  if (done.length > 0) {
    await sql.run('DELETE FROM link WHERE call_id IN (SELECT unnest($ids::VARCHAR[]))', { ids: listValue(done) });
  }
  await sql.run('DELETE FROM link WHERE received_ms < $old::BIGINT', { old: arrivalMs - linkWaitMs });
}

async function learnPeer(sql: WriteSession, met: Row): Promise<void> {
  const key = { a: textOf(met, 'from_service'), b: textOf(met, 'address'), c: textOf(met, 'to_service') };
  const where = 'from_service = $a AND address = $b AND to_service = $c';
  const known = await sql.row(`SELECT * FROM peer WHERE ${where}`, key);
  await sql.run(`DELETE FROM peer WHERE ${where}`, key);
  await sql.run('INSERT INTO peer VALUES ($a, $b, $c, $first::BIGINT, $last::BIGINT, $calls::BIGINT)', {
    ...key,
    first: Math.min(numberOf(met, 'first_ms'), known ? numberOf(known, 'first_seen_ms') : Infinity),
    last: Math.max(numberOf(met, 'last_ms'), known ? numberOf(known, 'last_seen_ms') : 0),
    calls: numberOf(met, 'calls') + (known ? numberOf(known, 'calls') : 0),
  });
}

async function recordServices(sql: WriteSession, agentId: string, batch: CheckedBatch): Promise<void> {
  const seen = new Map<string, { last: number; answered: number | null }>();
  const note = (service: string, last: number, answered: number | null): void => {
    const before = seen.get(service);
    const answers = [before?.answered, answered].filter((ms) => typeof ms === 'number');
    seen.set(service, {
      last: Math.max(last, before?.last ?? 0),
      answered: answers.length === 0 ? null : Math.max(...answers),
    });
  };
  for (const row of batch.windows) {
    const end = row.startMs + row.lengthMs;
    note(row.service, end, row.requests > 0 ? end : null);
  }
  for (const row of batch.edges) note(row.service, row.startMs + row.lengthMs, null);
  for (const row of batch.sightings) note(row.service, row.lastSeenMs, null);
  if (seen.size === 0) return;
  const agent = { agent: agentId };
  for (const row of await sql.rows('SELECT * FROM service_seen WHERE agent_id = $agent', agent)) {
    const answered = row['last_answered_ms'] === null ? null : numberOf(row, 'last_answered_ms');
    note(textOf(row, 'service'), numberOf(row, 'last_seen_ms'), answered);
  }
  await sql.run('DELETE FROM service_seen WHERE agent_id = $agent', agent);
  await sql.append('service_seen', seen, (to, [service, { last, answered }]) => {
    to.appendVarchar(service);
    to.appendVarchar(agentId);
    to.appendBigInt(BigInt(last));
    if (answered === null) to.appendNull();
    else to.appendBigInt(BigInt(answered));
  });
}

async function recordReport(sql: WriteSession, id: BatchIdentity, batch: CheckedBatch): Promise<void> {
  const agent = { agent: id.agentId };
  const known = await sql.row('SELECT * FROM agent_report WHERE agent_id = $agent', agent);
  const before = (name: string): number => (known ? numberOf(known, name) : 0);
  const refused = Object.entries(batch.refused) as [RefusalReason, number][];
  const refusedNow = refused.reduce((sum, [, n]) => sum + n, 0);
  await sql.run('DELETE FROM agent_report WHERE agent_id = $agent', agent);
  await sql.run(
    `INSERT INTO agent_report VALUES ($agent, $now::BIGINT, $covered::BIGINT, $skew::BIGINT, $clamped::BIGINT,
       $clampedAt::BIGINT, $refused::BIGINT, $refusedAt::BIGINT, $reason)`,
    {
      ...agent,
      now: id.arrivalMs,
      covered: Math.max(before('covered_to_ms'), Math.min(id.producedAtMs, id.arrivalMs)),
      skew: before('skew_ms'),
      clamped: before('clamped_rows') + batch.clamped,
      clampedAt: batch.clamped > 0 ? id.arrivalMs : before('last_clamped_ms'),
      refused: before('refused_rows') + refusedNow,
      refusedAt: refusedNow > 0 ? id.arrivalMs : before('last_refused_ms'),
      reason: refused.map(([reason]) => reason).join(', ') || (known ? textOf(known, 'last_refused_reason') : ''),
    },
  );
}
