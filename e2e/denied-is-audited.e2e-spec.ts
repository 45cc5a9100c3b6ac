import { credentials } from '@grpc/grpc-js';
import { connectMcp } from '@coral/mcp-client';
import { colonyV1, openMeshChannel } from '@coral/rpc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditRow } from '@coral/audit';
import { bearer, closing, ColonyUnderTest, jsonRpc, slowSql, toolCall } from './support/start-colony.js';
import type { Leased, Person } from './support/start-colony.js';
import { until } from './support/until.js';

/** Nobody gets past these without a row: `do` makes the attempt, `row` is what the audit must then hold. */
describe('every refusal', () => {
  let colony: ColonyUnderTest;
  let alex: Person;
  let sam: Person;
  let lease: Leased;
  let other: Leased;

  beforeAll(async () => {
    colony = await ColonyUnderTest.start();
    alex = await colony.person('alex');
    sam = await colony.person('sam');
    lease = await alex.lease(600);
    other = await sam.lease(600);
  });

  afterAll(async () => {
    await lease[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    alex.door[Symbol.dispose]();
    sam.door[Symbol.dispose]();
    await colony[Symbol.asyncDispose]();
  });

  /** Rows written while `attempt` ran. */
  async function rowsDuring(attempt: () => Promise<unknown>): Promise<AuditRow[]> {
    const before = (await colony.audit()).length;
    await attempt();
    return (await colony.audit()).slice(before);
  }

  it('of a tool for a lack of permission names who, what and why', async () => {
    let answer: Record<string, unknown> | undefined;
    const rows = await rowsDuring(async () => {
      [answer] = await other.exchange(toolCall('coral_query', { query: 'errors by service' }));
    });
    const error = { kind: 'permission_denied', reason: 'missing_permission' };
    expect(answer).toMatchObject({ result: { isError: true, structuredContent: { error } } });
    expect(rows).toMatchObject([
      {
        kind: 'tool_call.outcome',
        user_id: 'sam',
        agent_id: other.answer.agentId,
        payload: {
          tool_name: 'coral_query',
          tool_args: { query: 'errors by service', time_range: '1h' },
          door: 'grpc',
          outcome: 'denied',
          error_reason: 'missing_permission',
          decision: { allowed: false },
        },
      },
    ]);
  });

  it('of bad arguments is an answer the model can mend, and a row', async () => {
    let answer: Record<string, unknown> | undefined;
    const rows = await rowsDuring(async () => {
      [answer] = await lease.exchange(toolCall('coral_query', { query: 'x', nonsense: 1 }));
    });
    expect(answer).toMatchObject({
      result: { isError: true, structuredContent: { error: { kind: 'invalid_argument' } } },
    });
    expect(rows).toMatchObject([{ kind: 'tool_call.outcome', user_id: 'alex', payload: { outcome: 'invalid' } }]);
  });

  it('of a tool that does not exist is a protocol error, and a row', async () => {
    let answer: Record<string, unknown> | undefined;
    const rows = await rowsDuring(async () => {
      [answer] = await lease.exchange(toolCall('coral_drop_everything'));
    });
    expect(answer).toMatchObject({
      error: { code: -32_602, message: expect.stringContaining('coral_drop_everything') },
    });
    expect(rows).toMatchObject([
      { kind: 'tool_call.outcome', user_id: 'alex', payload: { error_reason: 'unknown_tool' } },
    ]);
  });

  it.each<[string, unknown, number, string]>([
    ['no JSON', Buffer.from('{"jsonrpc":'), -32_700, 'malformed_not_json'],
    ['a batch', [jsonRpc('tools/list')], -32_600, 'malformed_not_an_object'],
    ['a deep message', Buffer.from(`${'['.repeat(10_000)}${']'.repeat(10_000)}`), -32_600, 'malformed_too_deep'],
    ['a large message', toolCall('coral_query', { query: 'x'.repeat(300_000) }), -32_600, 'malformed_too_large'],
    ['an unknown method', jsonRpc('tools/destroy'), -32_601, 'malformed_json_rpc'],
    ['the revision of 2025', { jsonrpc: '2.0', id: 1, method: 'tools/list' }, -32_022, 'malformed_json_rpc'],
    ['a call of no tool', jsonRpc('tools/call', { arguments: {} }), -32_602, 'malformed_json_rpc'],
  ])('of %s is a JSON-RPC error, and a row', async (_name, message, code, reason) => {
    let frames: unknown;
    const rows = await rowsDuring(async () => {
      frames = await lease.exchange(message);
    });
    expect(frames).toMatchObject([{ error: { code } }]);
    expect(rows).toMatchObject([
      {
        kind: 'tool_call.outcome',
        user_id: 'alex',
        agent_id: lease.answer.agentId,
        payload: { outcome: 'invalid', error_reason: reason, door: 'grpc' },
      },
    ]);
  });

  it.each<[string, () => unknown]>([
    ['a tool call', () => toolCall('coral_get_health')],
    ['the list of tools', () => jsonRpc('tools/list')],
    ['discovery', () => jsonRpc('server/discover')],
    ['something malformed', () => Buffer.from('{')],
    ['an unknown method', () => jsonRpc('nothing')],
    ['a tool call without a name', () => jsonRpc('tools/call')],
  ])(
    "of %s with the token of somebody else's tunnel comes before everything, and has a row",
    async (_name, message) => {
      const rows = await rowsDuring(async () => {
        await expect(lease.exchange(message(), other.answer.accessToken)).rejects.toMatchObject({ code: 16 });
      });
      expect(rows).toHaveLength(1);
      expect(rows[0]).toMatchObject({ user_id: null, payload: { error_reason: 'token_wrong_tunnel' } });
      expect(JSON.stringify(rows[0]?.payload)).toContain('"sam"');
    },
  );

  it.each<[string, () => string, string]>([
    ['no token', () => '', 'token_missing'],
    ['an API token in place of a lease', () => alex.token, 'token_invalid'],
    ['a token with one letter changed', () => changed(lease.answer.accessToken), 'token_invalid'],
  ])('of %s has a row', async (_name, token, reason) => {
    const rows = await rowsDuring(async () => {
      await expect(lease.exchange(toolCall('coral_get_health'), token())).rejects.toMatchObject({ code: 16 });
    });
    expect(rows).toMatchObject([{ kind: 'tool_call.outcome', user_id: null, payload: { error_reason: reason } }]);
  });

  it('shows in the list of tools what the caller may call, and nothing else', async () => {
    const listed = async (by: Leased) =>
      ((await by.exchange(jsonRpc('tools/list')))[0] as { result: { tools: { name: string }[] } }).result.tools;
    expect((await listed(lease)).map(({ name }) => name)).not.toContain('coral_fetch_live');
    expect(await listed(other)).toEqual([]);
    expect(await listed(lease)).toEqual(await listed(lease));
  });

  it('has one row per attempt under load, allowed and denied mixed, each with its own subject', async () => {
    const rows = await rowsDuring(() =>
      Promise.all(
        Array.from({ length: 60 }, async (_, i) => {
          const mine = i % 2 === 0 ? lease : other;
          const [answer] = await mine.exchange(toolCall('coral_get_health', { service_filter: `canary-${i}` }));
          expect(JSON.stringify(answer)).not.toMatch(new RegExp(`canary-(?!${i}\\b)`));
          expect((answer as { result: { isError: boolean } }).result.isError).toBe(i % 2 === 1);
        }),
      ),
    );
    const outcomes = rows.filter((row) => row.kind === 'tool_call.outcome');
    expect(outcomes).toHaveLength(60);
    for (const row of outcomes) {
      const canary = Number(/canary-(\d+)/.exec(JSON.stringify(row.payload['tool_args']))?.[1]);
      expect(row.user_id).toBe(canary % 2 === 0 ? 'alex' : 'sam');
    }
    expect(rows.filter((row) => row.kind === 'tool_call.intent')).toHaveLength(30);
  });

  it('holds for the real client of the CLI too', async () => {
    const channel = await openMeshChannel(lease.mesh, lease.colonyAddress, 9_000);
    const mcp = await connectMcp({ channel, token: lease.answer.accessToken });
    const rows = await rowsDuring(async () => {
      expect(await mcp.callTool('coral_get_health', {})).toMatchObject({
        isError: false,
        envelope: { status: 'no_data' },
      });
      expect(await mcp.callTool('coral_fetch_live', { agent_id: 'agt-x', sql_query: 'SELECT 1' })).toMatchObject({
        isError: true,
        error: { kind: 'permission_denied' },
      });
    });
    expect(rows.map((row) => [row.kind, row.payload['outcome']])).toEqual([
      ['tool_call.intent', undefined],
      ['tool_call.outcome', 'ok'],
      ['tool_call.outcome', 'denied'],
    ]);
    await mcp.close();
    await channel.close();
  });

  it('has a row when the caller goes away', async () => {
    const before = (await colony.audit()).length;
    const channel = await openMeshChannel(lease.mesh, lease.colonyAddress, 9_000);
    using mcp = closing(new colonyV1.McpServiceClient(channel.target, credentials.createInsecure()));
    const message = Buffer.from(JSON.stringify(toolCall('coral_query', { query: slowSql })));
    const call = mcp.client.exchange({ json: message }, bearer(lease.answer.accessToken));
    call.on('error', () => undefined);
    await until(
      async () => (await colony.audit()).slice(before).some((row) => row.kind === 'tool_call.intent'),
      'the intent',
    );
    call.cancel();
    const outcome = async () => (await colony.audit()).slice(before).find((row) => row.kind === 'tool_call.outcome');
    await until(async () => (await outcome()) !== undefined, 'the outcome', 5_000);
    expect((await outcome())?.payload['outcome']).toBe('cancelled');
    await channel.close();
  });

  it('stands in a chain that holds from the first row to the last', async () => {
    expect(await colony.verifyAudit()).toMatchObject({ ok: true });
  });
});

function changed(token: string): string {
  const [head, body, signature] = token.split('.') as [string, string, string];
  return [head, body, (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1)].join('.');
}
