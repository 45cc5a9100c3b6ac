import { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ToolRequest, ToolRules } from './contract.js';
import { envelope, openStage, policyText, serve, type Lessee, type Stage } from './testing/stage.js';
import { ToolPath } from './tool-call.js';

const problem = (kind: CoralError['kind'], reason: string): CoralError =>
  new CoralError({ kind, reason, message: `said ${reason}` });

/** What became of a call: its answer, or what it threw. */
async function ending(
  stage: Stage,
  request: ToolRequest,
): Promise<{ thrown?: unknown; error?: unknown; isError?: boolean }> {
  try {
    const { isError, body } = await stage.path.call(request);
    return { isError, ...('error' in body && { error: body.error }) };
  } catch (thrown) {
    return { thrown };
  }
}

interface Case {
  what: string;
  arrange?(stage: Stage, who: Lessee): void | Promise<void>;
  user?: string;
  request?: Partial<ToolRequest>;
  rules?: Partial<ToolRules>;
  expected: { kind: string; reason: string; thrown?: true; where?: string; next?: string };
  outcome: string;
  /** Who the row names; the caller unless said. */
  nobody?: true;
  ran?: true;
  /** It got as far as its intent, and no further. */
  intent?: true;
}

let stillRunning: AbortController;

const cases: Case[] = [
  {
    what: 'no token',
    request: { token: undefined },
    expected: { kind: 'unauthenticated', reason: 'token_missing', thrown: true },
    outcome: 'unauthenticated',
    nobody: true,
  },
  {
    what: 'a token that is none',
    request: { token: 'eyJhbGciOiJub25lIn0.e30.' },
    expected: { kind: 'unauthenticated', reason: 'token_invalid', thrown: true },
    outcome: 'unauthenticated',
    nobody: true,
  },
  {
    what: 'an expired token',
    arrange: (stage) => void (stage.clock.at += 300_000),
    expected: { kind: 'unauthenticated', reason: 'token_expired', thrown: true },
    outcome: 'unauthenticated',
    nobody: true,
  },
  {
    what: 'a token in the tunnel of another key',
    request: { peer: 'AAAA' as KeyId },
    expected: { kind: 'unauthenticated', reason: 'token_wrong_tunnel', thrown: true },
    outcome: 'unauthenticated',
    nobody: true,
  },
  {
    what: 'a token outside any tunnel',
    request: { peer: undefined },
    expected: { kind: 'unauthenticated', reason: 'token_wrong_tunnel', thrown: true },
    outcome: 'unauthenticated',
    nobody: true,
  },
  {
    what: 'a lease that was released',
    arrange: (stage) => stage.leases.clear(),
    expected: { kind: 'unauthenticated', reason: 'lease_expired', thrown: true },
    outcome: 'unauthenticated',
  },
  {
    what: 'a lease that ends this millisecond',
    arrange: (stage, who) => void (who.lease.expiresAt = stage.clock.at),
    expected: { kind: 'unauthenticated', reason: 'lease_expired', thrown: true },
    outcome: 'unauthenticated',
  },
  {
    what: 'a lease of another key',
    arrange: (_, who) => void (who.lease.keyId = 'AAAA' as KeyId),
    expected: { kind: 'unauthenticated', reason: 'lease_expired', thrown: true },
    outcome: 'unauthenticated',
  },
  {
    what: 'an unknown tool',
    request: { name: 'coral_get_helth' },
    expected: { kind: 'not_found', reason: 'unknown_tool', thrown: true },
    outcome: 'invalid',
  },
  {
    what: 'an unknown argument',
    request: { name: 'coral_query', args: { query: 'x', time_rang: '1h' } },
    expected: {
      kind: 'invalid_argument',
      reason: 'unknown_argument',
      where: 'time_rang',
      next: 'coral_query takes query, scope, time_range.',
    },
    outcome: 'invalid',
  },
  {
    what: 'a missing argument',
    request: { name: 'coral_query', args: {} },
    expected: { kind: 'invalid_argument', reason: 'missing_argument', where: 'query' },
    outcome: 'invalid',
  },
  {
    what: 'an argument of the wrong type',
    request: { name: 'coral_query', args: { query: 7 } },
    expected: { kind: 'invalid_argument', reason: 'bad_argument', where: 'query' },
    outcome: 'invalid',
  },
  {
    what: 'arguments that are a list',
    request: { args: [] },
    expected: { kind: 'invalid_argument', reason: 'bad_argument', where: 'arguments' },
    outcome: 'invalid',
  },
  {
    what: 'a tool that is switched off',
    rules: { enabled: ['coral_query'] },
    expected: { kind: 'permission_denied', reason: 'tool_disabled' },
    outcome: 'denied',
  },
  {
    what: 'a permission that the user lacks',
    user: 'jordan',
    request: { name: 'coral_fetch_live', args: { agent_id: 'agt-pay', sql_query: 'SELECT 1' } },
    expected: {
      kind: 'permission_denied',
      reason: 'missing_permission',
      next: 'Ask an administrator to bind jordan to a role with read:live_data in the policy file.',
    },
    outcome: 'denied',
  },
  {
    what: 'a user whom no binding names',
    user: 'mallory',
    expected: { kind: 'permission_denied', reason: 'missing_permission' },
    outcome: 'denied',
  },
  {
    what: "somebody else's agent",
    request: { name: 'coral_fetch_live', args: { agent_id: 'agt-web', sql_query: 'SELECT 1' } },
    expected: { kind: 'permission_denied', reason: 'not_agent_owner', where: 'agent_id' },
    outcome: 'denied',
  },
  {
    what: 'an agent that nobody knows',
    request: { name: 'coral_fetch_live', args: { agent_id: 'agt-x', sql_query: 'SELECT 1' } },
    expected: { kind: 'not_found', reason: 'unknown_agent', where: 'agent_id' },
    outcome: 'error',
  },
  {
    what: 'a question that the tool does not understand',
    arrange: (stage) =>
      serve(stage, 'coral_get_health', () => Promise.reject(problem('invalid_argument', 'bad_query'))),
    expected: { kind: 'invalid_argument', reason: 'bad_query' },
    outcome: 'invalid',
    ran: true,
  },
  {
    what: 'a tool that cannot reach its agents',
    arrange: (stage) => serve(stage, 'coral_get_health', () => Promise.reject(problem('unavailable', 'agents_silent'))),
    expected: { kind: 'unavailable', reason: 'agents_silent' },
    outcome: 'error',
    ran: true,
  },
  {
    what: 'a tool whose agent did not let the colony in',
    arrange: (stage) => serve(stage, 'coral_get_health', () => Promise.reject(problem('unauthenticated', 'wrong_ca'))),
    expected: { kind: 'internal', reason: 'internal' },
    outcome: 'error',
    ran: true,
  },
  {
    what: 'a tool that throws something unknown',
    arrange: (stage) =>
      serve(stage, 'coral_get_health', () => {
        throw new TypeError('/secret/path is not a function');
      }),
    expected: { kind: 'internal', reason: 'internal' },
    outcome: 'error',
    ran: true,
  },
  {
    what: 'a tool that answers nothing',
    arrange: (stage) => serve(stage, 'coral_get_health', () => Promise.resolve(undefined as never)),
    expected: { kind: 'internal', reason: 'internal' },
    outcome: 'error',
    ran: true,
  },
  {
    what: 'an answer of which not one row fits',
    arrange: (stage) =>
      serve(stage, 'coral_get_health', () => Promise.resolve(envelope({ services: ['x'.repeat(5_000)] }))),
    rules: { maxResponseBytes: 4_000 },
    expected: { kind: 'resource_exhausted', reason: 'response_too_large' },
    outcome: 'error',
    ran: true,
  },
  {
    what: 'a tool that is too slow and does not listen',
    arrange: (stage) => serve(stage, 'coral_get_health', () => new Promise(() => undefined)),
    rules: { deadlineMs: 5 },
    expected: { kind: 'deadline_exceeded', reason: 'tool_deadline' },
    outcome: 'deadline',
    ran: true,
  },
  {
    what: 'a caller that goes away in the middle',
    arrange: (stage) => {
      stillRunning = new AbortController();
      serve(stage, 'coral_get_health', async (_, { signal }) => {
        stillRunning.abort();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw new Error('interrupted');
      });
    },
    request: {
      get signal() {
        return stillRunning.signal;
      },
    },
    expected: { kind: 'cancelled', reason: 'cancelled' },
    outcome: 'cancelled',
    ran: true,
  },
  {
    what: 'a caller that was gone before the tool began',
    request: { signal: AbortSignal.abort() },
    expected: { kind: 'cancelled', reason: 'cancelled' },
    outcome: 'cancelled',
    intent: true,
  },
  {
    what: 'a lease that was revoked in the middle',
    arrange: (stage) =>
      serve(stage, 'coral_get_health', async () => {
        stage.leases.clear();
        return envelope();
      }),
    expected: { kind: 'unauthenticated', reason: 'lease_expired', thrown: true },
    outcome: 'unauthenticated',
    ran: true,
  },
  {
    what: 'a lease that ends in the middle, under a tool that does not listen',
    arrange: (stage, who) => {
      who.lease.expiresAt = stage.clock.at + 5;
      serve(stage, 'coral_get_health', () => new Promise(() => undefined));
    },
    expected: { kind: 'unauthenticated', reason: 'lease_expired', thrown: true },
    outcome: 'unauthenticated',
    ran: true,
  },
  {
    what: 'an idempotency key that is none',
    request: { idempotencyKey: 'a b' },
    expected: { kind: 'invalid_argument', reason: 'bad_idempotency_key' },
    outcome: 'invalid',
  },
];

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

  it.each(cases)(
    'refuses $what, and says so in a row',
    async ({ arrange, user, request, rules, expected, ...test }) => {
      await using stage = await openStage(rules);
      const who = await stage.lessee(user ?? 'alex');
      await arrange?.(stage, who);
      const asked = stage.request(who, { name: 'coral_get_health', ...request });
      const { thrown, ...wanted } = expected;
      const end = await ending(stage, asked);
      expect(end).toMatchObject(thrown ? { thrown: wanted } : { isError: true, error: wanted });
      expect(stage.ran.length).toBe(test.ran ? 1 : 0);

      const rows = await stage.rows();
      const intents = rows.filter((row) => row.kind === 'tool_call.intent');
      const outcomes = rows.filter((row) => row.kind === 'tool_call.outcome');
      expect(outcomes).toHaveLength(1);
      expect(intents).toHaveLength(test.intent || test.ran ? 1 : 0);
      expect(rows).toHaveLength(intents.length + 1);
      expect(outcomes[0]).toMatchObject({
        user_id: test.nobody ? null : (user ?? 'alex'),
        agent_id: test.nobody ? null : who.agentId,
        payload: { tool_name: asked.name, outcome: test.outcome, error_reason: expected.reason },
      });
      expect(outcomes[0]?.payload['intent_seq']).toBe(intents[0]?.seq);
      expect('response_size_bytes' in (outcomes[0]?.payload ?? {})).toBe(!thrown);
      expect('tool_args' in (outcomes[0]?.payload ?? {})).toBe(!test.nobody);
    },
  );

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
    const malformed = { token: who.token, peer: who.peer, door: 'http', remoteAddress: '10.137.64.2' } as const;
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
      return (await stage.path.visibleTools(who.token, who.peer)).map(({ name }) => name);
    };
    expect(await names('alex')).toEqual(['coral_query', 'coral_get_health']);
    expect(await names('jordan')).toEqual(['coral_get_health']);
    expect(await names('mallory')).toEqual([]);
  });

  it('are shown to nobody whose lease is over, which leaves a row in their name', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    who.lease.expiresAt = stage.clock.at;
    await expect(stage.path.visibleTools(who.token, who.peer)).rejects.toMatchObject({ reason: 'lease_expired' });
    expect(await stage.rows()).toMatchObject([
      { kind: 'auth.refused', user_id: 'alex', agent_id: who.agentId, payload: { error_reason: 'lease_expired' } },
    ]);
  });

  it('are shown to nobody without a good token, which leaves a row', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    await expect(stage.path.visibleTools(who.token, 'other' as KeyId)).rejects.toMatchObject({
      reason: 'token_wrong_tunnel',
    });
    expect(await stage.rows()).toMatchObject([
      { kind: 'auth.refused', user_id: null, payload: { asked_for: 'tools/list', claimed_user_id: 'alex' } },
    ]);
  });
});

describe('the order of a call', () => {
  afterEach(() => vi.useRealTimers());

  /** The log's own genesis row is synced when the stage is built. */
  const genesis = 1;

  it('runs nothing before the intent is durable, and answers nothing before the outcome is', async () => {
    await using stage = await openStage();
    const reached = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const release = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    stage.gate.before = async (sync) => {
      reached[sync - genesis - 1]?.resolve();
      await release[sync - genesis - 1]?.promise;
    };
    const steps: string[] = [];
    serve(stage, 'coral_get_health', async () => {
      steps.push('ran');
      return envelope();
    });
    const answered = stage.path.call(stage.request(await stage.lessee('alex'))).then(() => steps.push('answered'));
    await reached[0]?.promise;
    expect(steps).toEqual([]);
    expect(stage.log.head().seq).toBe(0);
    release[0]?.resolve();
    await reached[1]?.promise;
    expect(steps).toEqual(['ran']);
    expect(stage.log.head().seq).toBe(1);
    release[1]?.resolve();
    await answered;
    expect(steps).toEqual(['ran', 'answered']);
    expect(stage.log.head().seq).toBe(2);
  });

  it('never runs the tool when the intent cannot be written', async () => {
    await using stage = await openStage();
    stage.gate.before = () => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    const call = stage.path.call(stage.request(await stage.lessee('alex')));
    await expect(call).rejects.toMatchObject({ kind: 'unavailable', reason: 'audit_unavailable' });
    expect(stage.ran).toEqual([]);
  });

  it.each(['ok', 'failing'] as const)('withholds an %s answer when the outcome cannot be written', async (which) => {
    await using stage = await openStage();
    if (which === 'failing') {
      serve(stage, 'coral_get_health', () => Promise.reject(problem('invalid_argument', 'bad_query')));
    }
    stage.gate.before = (sync) => {
      if (sync > genesis + 1) throw Object.assign(new Error('broken'), { code: 'EIO' });
    };
    const call = stage.path.call(stage.request(await stage.lessee('alex')));
    await expect(call).rejects.toMatchObject({ kind: 'unavailable', reason: 'audit_unavailable' });
    expect(stage.ran).toHaveLength(1);
  });

  it.each<[string, (stage: Stage, who: Lessee) => Promise<unknown>]>([
    ['an unauthenticated', (stage, who) => stage.path.call(stage.request(who, { token: undefined }))],
    ['an unknown tool', (stage, who) => stage.path.call(stage.request(who, { name: 'x' }))],
    ['an invalid', (stage, who) => stage.path.call(stage.request(who, { args: { x: 1 } }))],
    ['a denied', (stage, who) => stage.path.call(stage.request(who, { name: 'coral_query', args: { query: 'x' } }))],
    ['a malformed', (stage, who) => stage.path.refuse(stage.request(who), problem('invalid_argument', 'bad_json'))],
    ['a listing', (stage) => stage.path.visibleTools(undefined, undefined)],
  ])('does not even tell the reason of %s call without its row', async (_what, call) => {
    await using stage = await openStage();
    const who = await stage.lessee('jordan');
    stage.gate.before = () => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    await expect(call(stage, who)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    expect(stage.ran).toEqual([]);
  });

  it('answers again as soon as the log can be written again', async () => {
    await using stage = await openStage();
    const request = stage.request(await stage.lessee('alex'));
    stage.gate.before = () => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    await expect(stage.path.call(request)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    stage.gate.before = () => undefined;
    expect((await stage.path.call(request)).isError).toBe(false);
    expect((await stage.rows()).map((row) => row.kind)).toEqual([
      'audit.recovered',
      'tool_call.intent',
      'tool_call.outcome',
    ]);
  });

  it('tells the tool to stop when the deadline passes, and does not wait for it', async () => {
    await using stage = await openStage({ deadlineMs: 5 });
    const told = Promise.withResolvers<void>();
    serve(stage, 'coral_get_health', (_, { signal }) => {
      signal.addEventListener('abort', () => told.resolve());
      return new Promise(() => undefined);
    });
    const answer = await stage.path.call(stage.request(await stage.lessee('alex')));
    expect(answer).toMatchObject({ isError: true, body: { error: { reason: 'tool_deadline' } } });
    await told.promise;
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
