import { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';
import { describe, expect, it } from 'vitest';
import type { ToolRules } from './contract.js';
import { envelope, openStage, policyText, serve } from './testing/stage.js';
import { ToolPath } from './tool-call.js';

const problem = (kind: CoralError['kind'], reason: string): CoralError =>
  new CoralError({ kind, reason, message: `said ${reason}` });

describe('a tool call', () => {
  it('is answered, and leaves an intent and an outcome', async () => {
    await using stage = await openStage();
    serve(stage, 'coral_query', async () => {
      stage.clock.at += 42;
      return envelope({ kind: 'events', canonical: 'x', events: [] });
    });
    const who = await stage.lessee('alex');
    const request = stage.request(who, {
      name: 'coral_query',
      args: { query: 'latency', scope: 'web' },
      idempotencyKey: 'k-1',
      clientInfo: 'coral/0.1.0',
    });
    const answer = await stage.path.call(request);
    expect(answer.isError).toBe(false);
    expect(JSON.parse(answer.text)).toEqual(answer.body);
    const said = {
      audience: 'mesh',
      tool_name: 'coral_query',
      tool_args: { query: 'latency', scope: 'web', time_range: '1h' },
      door: 'grpc',
      remote_address: '10.137.64.2',
      peer: who.peer,
      token_id: expect.any(String),
      idempotency_key: 'k-1',
      client_info: 'coral/0.1.0',
      decision: { allowed: true, rule: 'policy.yaml:8:5 role developer', reason: expect.stringContaining('alex') },
      policy_revision: expect.stringMatching(/^[0-9a-f]{64}$/),
    };
    const [intent, outcome, ...more] = await stage.rows();
    expect(more).toEqual([]);
    expect(intent).toMatchObject({ kind: 'tool_call.intent', user_id: 'alex', agent_id: who.agentId });
    expect(intent?.payload).toEqual(said);
    expect(outcome).toMatchObject({ kind: 'tool_call.outcome', user_id: 'alex', agent_id: who.agentId });
    expect(outcome?.payload).toEqual({
      ...said,
      outcome: 'ok',
      response_size_bytes: Buffer.byteLength(answer.text),
      execution_time_ms: 42,
      intent_seq: intent?.seq,
      agents: { asked: 2, answered: ['agt-a'], late: [], silent: ['agt-b'], denied: [] },
    });
  });

  it('tells nobody but the log what broke inside', async () => {
    await using stage = await openStage();
    serve(stage, 'coral_get_health', () => Promise.reject(new Error('/var/lib/coral: no such table')));
    const { text } = await stage.path.call(stage.request(await stage.lessee('alex')));
    expect(text).not.toContain('/var/lib');
    expect(JSON.stringify(await stage.rows())).not.toContain('/var/lib');
    const requestId = /request ([0-9a-f-]{36})/.exec(text)?.[1];
    expect(stage.internal.map((error) => error.message)).toEqual([expect.stringContaining(requestId ?? '?')]);
  });

  it('names in the row what a token claimed that did not count, but not as the user', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    const stolen = stage.request(who, { peer: 'thief' as KeyId });
    await expect(stage.path.call(stolen)).rejects.toMatchObject({ reason: 'token_wrong_tunnel' });
    const [row] = await stage.rows();
    expect(row).toMatchObject({
      user_id: null,
      payload: { claimed_user_id: 'alex', claimed_agent_id: who.agentId, peer: 'thief' },
    });
  });

  it('decides by the policy in force, not by what the token was issued with', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    const request = stage.request(who, { idempotencyKey: 'same' });
    expect((await stage.path.call(request)).isError).toBe(false);
    stage.setPolicy(policyText.replace('users: [alex, robin]', 'users: [robin]'));
    expect(await stage.path.call(request)).toMatchObject({ body: { error: { reason: 'missing_permission' } } });
    stage.setPolicy(policyText);
    expect((await stage.path.call(request)).isError).toBe(false);
  });

  it('lets the members of the owning group read the agent live', async () => {
    await using stage = await openStage();
    serve(stage, 'coral_fetch_live', () => Promise.resolve(envelope()));
    const args = { agent_id: 'agt-pay', sql_query: 'SELECT 1' };
    const asAlex = await stage.path.call(stage.request(await stage.lessee('alex'), { name: 'coral_fetch_live', args }));
    expect(asAlex.isError).toBe(false);
    const robin = stage.request(await stage.lessee('robin'), { name: 'coral_fetch_live', args });
    expect(await stage.path.call(robin)).toMatchObject({ body: { error: { reason: 'not_agent_owner' } } });
  });

  it('keeps 200 interleaved calls of three users apart, each with its own rows', async () => {
    await using stage = await openStage();
    serve(stage, 'coral_query', async (args, { caller }) => envelope({ services: [{ args, user: caller.userId }] }));
    const lessees = await Promise.all(['alex', 'robin', 'jordan'].map((user) => stage.lessee(user)));
    const users = ['alex', 'robin', 'jordan'];
    const calls = Array.from({ length: 200 }, async (_, n) => {
      const who = lessees[n % 3];
      if (!who) throw new Error('nobody');
      const answer = await stage.path.call(stage.request(who, { name: 'coral_query', args: { query: `canary-${n}` } }));
      return { n, answer };
    });
    for (const { n, answer } of await Promise.all(calls)) {
      const user = users[n % 3];
      expect(answer.isError).toBe(user === 'jordan');
      const own = { services: [{ args: { query: `canary-${n}`, time_range: '1h' }, user }] };
      const body = JSON.parse(answer.text) as { data?: unknown };
      expect(body.data).toEqual(user === 'jordan' ? undefined : own);
    }
    const rows = await stage.rows();
    expect(rows.filter((row) => row.kind === 'tool_call.outcome')).toHaveLength(200);
    for (const row of rows) {
      const { query } = row.payload['tool_args'] as { query: string };
      expect(row.user_id).toBe(users[Number(query.slice('canary-'.length)) % 3]);
    }
  });

  it('leaves the row of a call that no door could read', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    const malformed = { ...stage.request(who), door: 'http' } as const;
    await stage.path.refuse(malformed, problem('invalid_argument', 'bad_json'));
    await stage.path.refuse({ ...malformed, token: 'x' }, problem('invalid_argument', 'bad_json'));
    expect(await stage.rows()).toMatchObject([
      { kind: 'tool_call.outcome', user_id: 'alex', payload: { outcome: 'invalid', error_reason: 'bad_json' } },
      { kind: 'tool_call.outcome', user_id: null, payload: { outcome: 'invalid', error_reason: 'bad_json' } },
    ]);
  });
});

describe('the visible tools', () => {
  it('are those that the caller may call', async () => {
    await using stage = await openStage({ enabled: ['coral_query', 'coral_get_health'] });
    const names = async (user: string): Promise<string[]> => {
      const who = await stage.lessee(user);
      return (await stage.path.visibleTools(stage.request(who))).map(({ name }) => name);
    };
    expect(await names('alex')).toEqual(['coral_query', 'coral_get_health']);
    expect(await names('jordan')).toEqual(['coral_get_health']);
    expect(await names('mallory')).toEqual([]);
  });

  it('are shown to nobody whose lease is over, which leaves a row in their name', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    who.lease.expiresAt = stage.clock.at;
    await expect(stage.path.visibleTools(stage.request(who))).rejects.toMatchObject({ reason: 'lease_expired' });
    expect(await stage.rows()).toMatchObject([
      { kind: 'auth.refused', user_id: 'alex', agent_id: who.agentId, payload: { error_reason: 'lease_expired' } },
    ]);
  });

  it('are shown to nobody without a good token, which leaves a row', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    await expect(stage.path.visibleTools(stage.request(who, { peer: 'other' as KeyId }))).rejects.toMatchObject({
      reason: 'token_wrong_tunnel',
    });
    expect(await stage.rows()).toMatchObject([
      { kind: 'auth.refused', user_id: null, payload: { asked_for: 'tools/list', claimed_user_id: 'alex' } },
    ]);
  });
});

describe('rules that cannot be kept', () => {
  it.each<[string, Partial<ToolRules>, string]>([
    [
      'an owner check on a tool without agent',
      {
        required: {
          coral_query: { permission: 'read:metrics', additionalCheck: 'agent_owner_match' },
          coral_fetch_live: { permission: 'read:live_data' },
          coral_get_topology: { permission: 'read:topology' },
          coral_query_events: { permission: 'read:events' },
          coral_get_health: { permission: 'read:health' },
        },
      },
      'mcp_server.rbac.coral_query.additional_check',
    ],
    ['a redaction of everything', { redactFields: ['*'] }, 'mcp_server.data_filtering.redact_fields'],
  ])('are refused when the path is built: %s', async (_what, rules, where) => {
    await expect(openStage(rules)).rejects.toMatchObject({ kind: 'failed_precondition', where });
  });

  it('are refused when the path is built: an enabled tool that nothing serves', async () => {
    await using stage = await openStage();
    const deps = { handlers: new Map(), rules: { enabled: ['coral_query'], redactFields: [] } };
    expect(() => new ToolPath({ ...deps, clock: stage.clock } as never)).toThrow(/nothing here serves it/);
  });
});
