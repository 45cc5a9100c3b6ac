import { listValue, type DuckDBListValue } from '@duckdb/node-api';
import type { Row, WriteSession } from '../database.js';
import { numberOf, textOf } from '../rows.js';
import type { SightingRow } from './check-batch.js';
import { deriveEvents, type DerivedEvent, type Instance } from './derive-events.js';

const ofServices = 'service IN (SELECT unnest($services::VARCHAR[]))';

/** Keeps who was seen, and brings the deployments and restarts of the services concerned up to date. */
export async function recordSightings(
  sql: WriteSession,
  agentId: string,
  sightings: readonly SightingRow[],
): Promise<void> {
  if (sightings.length === 0) return;
  const services = { services: listValue([...new Set(sightings.map((s) => s.service))]) };
  const before = (await sql.rows(`SELECT * FROM instance WHERE ${ofServices}`, services)).map(instanceOf);
  const known = new Map(before.map((one) => [keyOf(one), one]));
  let changed = false;
  for (const sighting of sightings) {
    const one = { ...sighting, agentId };
    const old = known.get(keyOf(one));
    const next = old ? widen(old, one) : one;
    changed ||= old === undefined || next.firstSeenMs !== old.firstSeenMs || next.lastSeenMs !== old.lastSeenMs;
    known.set(keyOf(one), next);
  }
  if (!changed) return;
  await sql.run(`DELETE FROM instance WHERE ${ofServices}`, services);
  await sql.append('instance', known.values(), (to, one) => {
    for (const word of [one.agentId, one.service, one.version, one.instance, one.host]) to.appendVarchar(word);
    to.appendBigInt(BigInt(one.firstSeenMs));
    to.appendBigInt(BigInt(one.lastSeenMs));
  });

  await rewriteEvents(sql, [...known.values()], services);
}

async function rewriteEvents(
  sql: WriteSession,
  instances: readonly Instance[],
  services: { services: DuckDBListValue },
): Promise<void> {
  const byService = Map.groupBy(instances, (one) => one.service);
  const events = [...byService.values()].flatMap(deriveEvents);
  // What was derived before and would not be now was a mistake of a shorter view. The event of the oldest instance stays:
  // what it replaced has been forgotten by retention.
  const scope = { ...services, oldest: Math.min(...instances.map((one) => one.firstSeenMs)) };
  const derived = `type IN ('deploy', 'restart') AND ${ofServices} AND at_ms > $oldest::BIGINT`;
  const stored = (await sql.rows(`SELECT * FROM event WHERE ${derived}`, scope)).map(fingerprintOfRow);
  if (sameSet(stored, events.map(fingerprintOf))) return;
  await sql.run(`DELETE FROM event WHERE ${derived}`, scope);
  await sql.append('event', events, (to, event) => {
    to.appendBigInt(BigInt(event.atMs));
    for (const word of [event.type, event.service, event.summary, event.version, event.previousVersion]) {
      to.appendVarchar(word);
    }
    for (const word of [event.instance, event.host, event.agentId, '']) to.appendVarchar(word);
  });
}

function fingerprintOf(event: DerivedEvent): string {
  return JSON.stringify([event.atMs, event.type, event.service, event.previousVersion, event.version, event.instance]);
}

function fingerprintOfRow(row: Row): string {
  const words = ['type', 'service', 'previous_version', 'version', 'instance'].map((name) => textOf(row, name));
  return JSON.stringify([numberOf(row, 'at_ms'), ...words]);
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && new Set([...a, ...b]).size === new Set(a).size && new Set(a).size === new Set(b).size;
}

function keyOf(one: SightingRow): string {
  return JSON.stringify([one.service, one.version, one.instance, one.host]);
}

function widen(old: Instance, seen: SightingRow): Instance {
  return {
    ...old,
    firstSeenMs: Math.min(old.firstSeenMs, seen.firstSeenMs),
    lastSeenMs: Math.max(old.lastSeenMs, seen.lastSeenMs),
  };
}

function instanceOf(row: Row): Instance {
  return {
    agentId: textOf(row, 'agent_id'),
    service: textOf(row, 'service'),
    version: textOf(row, 'version'),
    instance: textOf(row, 'instance'),
    host: textOf(row, 'host'),
    firstSeenMs: numberOf(row, 'first_seen_ms'),
    lastSeenMs: numberOf(row, 'last_seen_ms'),
  };
}
