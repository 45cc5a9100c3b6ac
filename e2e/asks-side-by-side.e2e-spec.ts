import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAudit, verifyAudit, type AuditRow } from '@coral/audit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CoralSystem, type User } from '../scripts/demo/coral-system.js';
import { ask, type AskAnswer } from '../scripts/demo/incident.js';
import { sendOrdinaryTraffic } from './support/traffic.js';
import { until } from './support/until.js';

const askers = ['alex', 'jordan', 'sam'];
const policy = {
  version: 1,
  roles: {
    developer: { permissions: ['read:metrics', 'read:topology', 'read:events', 'read:health'] },
    security: { permissions: ['manage:leases'] },
  },
  bindings: [
    { role: 'developer', users: askers },
    { role: 'security', users: ['riley'] },
  ],
};

interface Asked {
  user: string;
  answer: AskAnswer & { agent_id: string; tools: unknown[] };
}

describe('three people who ask two questions each at once', () => {
  const undo = new AsyncDisposableStack();
  let system: CoralSystem;
  let riley: User;
  let asked: Asked[];
  let rows: AuditRow[];

  beforeAll(async () => {
    system = await CoralSystem.open(await mkdtemp(join(tmpdir(), 'coral-asks-')), policy);
    undo.defer(() => system.erase());
    undo.use(system);
    const agent = await system.startAgent('orders-1', 'group:orders');
    await sendOrdinaryTraffic(`http://${agent.ready.otlp_http}`);
    riley = await system.addUser('riley');
    const users = await Promise.all(askers.map((name) => system.addUser(name)));
    // Before the agent's first report every answer is partial.
    await until(async () => (await users[0]?.coral(['query', 'payment latency, last 15m']))?.code === 0);
    const questions = ['Why is payment slow?', 'Is anything failing?'];
    asked = await Promise.all(
      users.flatMap((user) =>
        questions.map(async (question) => ({
          user: user.name,
          answer: (await ask(user, question)) as Asked['answer'],
        })),
      ),
    );
    rows = [];
    for await (const row of readAudit(system.auditFolder)) rows.push(row);
  });
  afterAll(() => undo.disposeAsync());

  const rowsOf = (agentId: string, kind: AuditRow['kind']): AuditRow[] =>
    rows.filter((row) => row.agent_id === agentId && row.kind === kind);

  it('each get an answer that was looked up', () => {
    expect(asked).toHaveLength(6);
    for (const { answer } of asked) {
      expect(answer.answer).not.toBe('');
      expect(answer.tools.length).toBeGreaterThan(0);
    }
  });

  it('each ask under a lease of their own, several of them alive at the same moment', () => {
    const ids = asked.map(({ answer }) => answer.agent_id);
    expect(new Set(ids).size).toBe(6);
    let alive = 0;
    let most = 0;
    for (const { kind, agent_id: id } of rows) {
      if (!ids.includes(String(id))) continue;
      if (kind === 'ephemeral.request_access') alive += 1;
      if (kind === 'ephemeral.release_access') alive -= 1;
      most = Math.max(most, alive);
    }
    // At least one of the three held both of theirs.
    expect(most).toBeGreaterThan(askers.length);
  });

  it('leave rows that name who asked, and only them', () => {
    for (const { user, answer } of asked) {
      const intents = rowsOf(answer.agent_id, 'tool_call.intent');
      const outcomes = rowsOf(answer.agent_id, 'tool_call.outcome');
      expect(intents.length).toBeGreaterThan(0);
      expect(outcomes.map((row) => row.payload['intent_seq'])).toEqual(
        expect.arrayContaining(intents.map((row) => row.seq)),
      );
      expect(outcomes).toHaveLength(answer.tools.length);
      const names = rows.filter((row) => row.agent_id === answer.agent_id).map((row) => row.user_id);
      expect(new Set(names)).toEqual(new Set([user]));
    }
  });

  it('give everything back', async () => {
    for (const { answer } of asked) {
      expect(rowsOf(answer.agent_id, 'ephemeral.request_access')).toHaveLength(1);
      expect(rowsOf(answer.agent_id, 'ephemeral.release_access')).toMatchObject([{ payload: { cause: 'released' } }]);
    }
    const listed = await riley.coral(['colony', 'ephemeral', 'list', '--json']);
    expect(listed.code, listed.stderr).toBe(0);
    expect(JSON.parse(listed.stdout)).toEqual({ agents: [] });
    expect(await verifyAudit(system.auditFolder)).toMatchObject({ ok: true });
  });
});
