import type { WriteSession } from '../database.js';
import { numberOf, textOf } from '../rows.js';
import type { BatchIdentity } from './batch-identity.js';
import type { CheckedBatch, RefusalReason } from './check-batch.js';

/** Which agent spoke of which service, and when each answered last. */
export async function recordServices(sql: WriteSession, agentId: string, batch: CheckedBatch): Promise<void> {
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

/** How far the agent's deliveries reach, and what was wrong with them. */
export async function recordReport(sql: WriteSession, id: BatchIdentity, batch: CheckedBatch): Promise<void> {
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
