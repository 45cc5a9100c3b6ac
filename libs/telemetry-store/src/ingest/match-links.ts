import { listValue } from '@duckdb/node-api';
import type { Row, WriteSession } from '../database.js';
import { numberOf, textOf } from '../rows.js';
import type { LinkRow } from './check-batch.js';

/** How long a half of a call waits for its other half. Longer than any buffering agent should lag. */
export const linkWaitMs = 3_600_000;

/** Puts the two halves of a call together: the client knew an address, the server knows its name. */
export async function matchLinks(sql: WriteSession, links: readonly LinkRow[], arrivalMs: number): Promise<void> {
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
