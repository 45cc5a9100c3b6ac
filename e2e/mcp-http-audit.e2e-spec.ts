import { randomUUID } from 'node:crypto';
import type { AuditRow } from '@coral/audit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commonHeaders, modernHeaders, type HttpEntrance } from './support/http-entrance.js';
import { jsonRpc, slowSql, toolCall } from './support/start-colony.js';
import { TwoDoors, type Caller } from './support/two-doors.js';
import { until } from './support/until.js';

type Json = Record<string, unknown>;

const eras = ['modern', 'legacy'] as const;
const slow = toolCall('coral_query', { query: slowSql });
const sql = (query: string): Json => toolCall('coral_query', { query });

describe('the audit of what came over HTTP', () => {
  let doors: TwoDoors;
  let alex: Caller;

  beforeAll(async () => {
    doors = await TwoDoors.start({
      config: { tools: { deadline: '20s' }, ephemeral_agents: { max_public_per_user: 20 } },
    });
    alex = await doors.caller('alex', 900);
  });

  afterAll(async () => {
    await alex[Symbol.asyncDispose]();
    await doors.colony.mustVerify();
    await doors[Symbol.asyncDispose]();
  });

  it('item 30: who hangs up in the middle of a call ends the work, and the row says so', async () => {
    for (const door of alex.doors) {
      for (const era of eras) {
        const before = (await doors.colony.audit()).length;
        const body =
          era === 'modern' ? slow : { ...slow, params: { name: 'coral_query', arguments: { query: slowSql } } };
        const headers = { ...commonHeaders(door), ...(era === 'modern' ? modernHeaders(slow) : {}) };
        const gone = new AbortController();
        const hanging = door.open({ headers, body, signal: gone.signal });
        const since = async (kind: AuditRow['kind']) =>
          (await doors.colony.audit()).slice(before).find((row) => row.kind === kind);
        await until(async () => (await since('tool_call.intent')) !== undefined, 'the call');
        gone.abort();
        await expect(hanging).rejects.toMatchObject({ name: 'AbortError' });
        await until(async () => (await since('tool_call.outcome')) !== undefined, 'its end', 3_000);
        expect((await since('tool_call.outcome'))?.payload).toMatchObject({
          outcome: 'cancelled',
          audience: door.name,
        });
      }
    }
  });

  it('item 31: as many rows as requests, whatever they were', async () => {
    await using sam = await doors.caller('sam');
    const attempts = [
      ...attemptsAt(alex, doors),
      ...sam.doors.map((door) => () => door.modern(toolCall('coral_get_health'))),
    ];
    const total = 400;
    // Lehmer's generator: the same requests in every run.
    let state = 20_261_121;
    const random = (below: number): number => (state = (state * 48_271) % 2_147_483_647) % below;
    const before = (await doors.colony.audit()).length;
    const lanes = Array.from({ length: 8 }, async () => {
      for (let i = 0; i < total / 8; i += 1) await (attempts[random(attempts.length)] as () => Promise<unknown>)();
    });
    await Promise.all(lanes);
    const ends = new Set<AuditRow['kind']>(['tool_call.outcome', 'auth.refused', 'ephemeral.denied']);
    const rows = async () => (await doors.colony.audit()).slice(before).filter(({ kind }) => ends.has(kind));
    // Whoever hung up does not wait for its row.
    await until(async () => (await rows()).length >= total, 'the rows', 10_000);
    const found = await rows();
    expect(found).toHaveLength(total);
    const outcomes = new Set(found.map(({ payload }) => payload['outcome']));
    for (const needed of ['ok', 'denied', 'invalid', 'unauthenticated', 'cancelled'])
      expect(outcomes).toContain(needed);
  });

  it('item 32: the row tells how the call ended, not what HTTP said', async () => {
    await using sam = await doors.caller('sam');
    const ended: [Caller, Json, string][] = [
      [alex, toolCall('coral_get_health'), 'ok'],
      [alex, toolCall('coral_nothing'), 'invalid'],
      [alex, toolCall('coral_get_health', { nonsense: 1 }), 'invalid'],
      [alex, sql('SELECT * FROM secrets'), 'invalid'],
      [alex, toolCall('coral_fetch_live', { agent_id: 'agt-none', sql_query: 'SELECT 1' }), 'denied'],
      [sam, toolCall('coral_get_health'), 'denied'],
    ];
    for (const [caller, message, outcome] of ended) {
      for (const door of caller.doors) {
        for (const era of eras) {
          let status = 0;
          const rows = await doors.rowsDuring(async () => ({ status } = await door[era](message)));
          const row = rows.findLast(({ kind }) => kind === 'tool_call.outcome');
          expect([status, row?.payload['outcome'], row?.payload['door']]).toEqual([200, outcome, 'http']);
        }
      }
    }
  });
});

/** Requests of every kind, each of which must leave exactly one last row. */
function attemptsAt({ doors, person }: Caller, at: TwoDoors): (() => Promise<unknown>)[] {
  const each = (send: (door: HttpEntrance) => Promise<unknown>) => doors.map((door) => () => send(door));
  const hangUp = async (door: HttpEntrance): Promise<void> => {
    const gone = new AbortController();
    const key = randomUUID();
    const hanging = door.modern(slow, { 'idempotency-key': key }, gone.signal);
    const begun = async () =>
      (await at.colony.rowsOf('tool_call.intent')).some(({ payload }) => payload['idempotency_key'] === key);
    await until(begun, 'the call');
    gone.abort();
    await expect(hanging).rejects.toMatchObject({ name: 'AbortError' });
  };
  return [
    ...each((door) => door.modern(toolCall('coral_get_health'))),
    ...each((door) => door.legacy(toolCall('coral_get_topology'))),
    ...each((door) => door.modern(toolCall('coral_nothing'))),
    ...each((door) => door.legacy(toolCall('coral_query', { query: 'x', nonsense: 1 }))),
    ...each((door) => door.modern(toolCall('coral_fetch_live', { agent_id: 'agt-x', sql_query: 'SELECT 1' }))),
    ...each((door) => door.modern(toolCall('coral_get_health'), { 'mcp-name': 'coral_query' })),
    ...each((door) => door.modern(jsonRpc('tools/destroy'))),
    ...each((door) => door.legacy(jsonRpc('resources/list'))),
    ...each((door) => door.modern(jsonRpc('tools/list'), { 'content-type': 'text/plain' })),
    ...each((door) => door.legacy(jsonRpc('tools/list'), { accept: 'text/html' })),
    ...each((door) => door.legacy(jsonRpc('tools/list'), { 'mcp-protocol-version': '2001-01-01' })),
    ...each((door) => door.with('x').modern(toolCall('coral_get_health'))),
    ...each((door) => door.with('').legacy(jsonRpc('tools/list'))),
    ...each((door) => door.send({ method: 'GET' })),
    ...each((door) => door.send({ method: 'DELETE', headers: commonHeaders(door) })),
    ...each((door) => door.send({ path: '/mcp/x' })),
    ...each((door) => door.send({ path: '/mcp?token=x', headers: commonHeaders(door) })),
    ...each((door) => door.send({ headers: { ...commonHeaders(door), host: 'x' } })),
    ...each((door) => door.send({ headers: commonHeaders(door), body: '{' })),
    ...each((door) => door.send({ headers: commonHeaders(door), body: '[]' })),
    ...each((door) => door.raw('NONSENSE\r\n\r\n')),
    ...each(hangUp),
    () => at.exchange({ subject_token: 'x' }),
    () => at.exchange({ subject_token: person.token, expires_in: '901' }),
    () => at.exchange({ subject_token: undefined }),
  ];
}
