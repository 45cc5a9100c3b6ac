import type { WriteSession } from '../database.js';
import { numberOf } from '../rows.js';
import { addWindows, edgeWindows, serviceWindows } from './add-windows.js';
import type { BatchIdentity } from './batch-identity.js';
import type { CheckedBatch } from './check-batch.js';
import { acceptSeq, type Ledger } from './ledger.js';
import { matchLinks } from './match-links.js';
import { recordReport, recordServices } from './record-delivery.js';
import { recordSightings } from './record-sightings.js';

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
