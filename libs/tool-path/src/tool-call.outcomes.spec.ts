import { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';
import { describe, expect, it } from 'vitest';
import type { ToolRequest, ToolRules } from './contract.js';
import { envelope, openStage, serve, type Lessee, type Stage } from './testing/stage.js';

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
});
