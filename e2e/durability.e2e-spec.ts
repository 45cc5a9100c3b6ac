import { mkdtemp, watch } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAudit, verifyAudit, type AuditRow, type AuditVerdict } from '@coral/audit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CoralSystem, type User } from '../scripts/demo/coral-system.js';
import { demoPolicy } from '../scripts/demo/incident.js';
import { CallLoad, type AnsweredCall } from './support/call-load.js';
import { personOf } from './support/people.js';
import { SdkLoad } from './support/sdk-load.js';
import { until } from './support/until.js';

const kills = 20;
/** Decides how much happens between two kills; printed, and can be set again. */
const seed = Number(process.env['CORAL_SEED'] ?? Date.now() % 1_000_000);

/** 1 … most, the same for the same seed (Numerical Recipes' linear congruence). */
function dice(start: number): (most: number) => number {
  let state = start;
  return (most) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 1 + (state % most);
  };
}

/** Resolves when something is written in the folder, or after a while without. */
async function nextChange(folder: string): Promise<void> {
  const signal = AbortSignal.timeout(3_000);
  try {
    for await (const _change of watch(folder, { signal })) return;
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  }
}

interface MetricsAnswer {
  data: { rows: { service: string; requests: number }[] };
  coverage: { silent: string[] };
}

/**
 * One system for all promises: an agent fed by real SDKs and a colony asked by real clients, both killed again and again
 * at the same time, so that each also has to live with the other's deaths.
 */
describe(`an agent and its colony, killed ${kills} times each under load (CORAL_SEED=${seed})`, () => {
  const undo = new AsyncDisposableStack();
  let system: CoralSystem;
  let robin: User;
  let agentId: string;
  let spans: SdkLoad;
  let callers: CallLoad[];
  const granted = new Map<string, string>();
  const verdicts: AuditVerdict[] = [];
  const leasesAfterKills: Map<string, string>[] = [];
  let rows: AuditRow[];

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'coral-durability-'));
    system = await CoralSystem.open(folder, demoPolicy);
    undo.defer(() => system.erase());
    undo.use(system);
    const agent = await system.startAgent('orders-1', 'robin', { summaries: { interval: '1s' } });
    agentId = agent.ready.agent_id;
    const users = await Promise.all(['alex', 'robin'].map((name) => system.addUser(name)));
    robin = users[1] as User;

    spans = new SdkLoad(agent.ready);
    callers = await Promise.all(users.map(async (user) => CallLoad.start(await personOf(system, user))));
    for (const { lease } of callers) granted.set(lease.answer.agentId, String(lease.answer.expiresAt?.toISOString()));

    await Promise.all([killAgents(dice(seed)), killColonies(dice(seed + 1))]);
    await Promise.all(callers.map((caller) => caller.stop()));
    await spans.stop();
    rows = await auditRows();
  });
  afterAll(() => undo.disposeAsync());

  async function killAgents(roll: (most: number) => number): Promise<void> {
    for (let i = 0; i < kills; i++) {
      const goal = spans.acknowledged.length + roll(100);
      await until(() => spans.acknowledged.length >= goal, 'further acknowledged spans');
      // What was promised a moment ago is what is most easily lost.
      await spans.nextAcknowledged();
      await system.agents.get('orders-1')?.stop('SIGKILL');
      await system.restartAgent('orders-1');
    }
  }

  const answered = (): AnsweredCall[] => callers.flatMap((caller) => caller.answered);

  async function killColonies(roll: (most: number) => number): Promise<void> {
    for (let i = 0; i < kills; i++) {
      const goal = answered().length + roll(20);
      await until(() => answered().length >= goal, 'further answered calls');
      // In turn: right after an answer, and in the middle of storing a summary, on the disk but not confirmed yet.
      if (i % 2 === 0) await Promise.race(callers.map((caller) => caller.nextAnswer()));
      else await nextChange(join(system.folder, 'colony', 'telemetry'));
      await system.colony.stop('SIGKILL');
      await system.restartColony();
      verdicts.push(await verifyAudit(system.auditFolder));
      leasesAfterKills.push(await leases());
    }
  }

  /** Ends by agent id, as the colony tells them. */
  async function leases(): Promise<Map<string, string>> {
    const person = await personOf(system, robin);
    using _door = person.door;
    const all = await person.list();
    return new Map(all.map((lease) => [lease.agentId, String(lease.expiresAt?.toISOString())]));
  }

  async function auditRows(): Promise<AuditRow[]> {
    const found: AuditRow[] = [];
    for await (const row of readAudit(system.auditFolder)) found.push(row);
    return found;
  }

  async function summarized(): Promise<number> {
    const done = await robin.coral(['query', 'throughput by service, last 1h', '--json']);
    expect(done.code, done.stderr).toBe(0);
    const { data } = JSON.parse(done.stdout) as MetricsAnswer;
    return data.rows.reduce((sum, { requests }) => sum + requests, 0);
  }

  it('was under load all the time, and really killed', () => {
    expect(rows.filter(({ kind }) => kind === 'colony.started')).toHaveLength(kills + 1);
    expect(rows.filter(({ kind }) => kind === 'colony.stopped')).toEqual([]);
    expect(spans.acknowledged.length).toBeGreaterThan(1_000);
    expect(answered().length).toBeGreaterThan(100);
  });

  it('still has every acknowledged span, for anybody who asks the agent live', async () => {
    expect(spans.acknowledged).toHaveLength(spans.recorded);
    const sql = "SELECT count(*), string_agg(span_id, '' ORDER BY span_id) FROM spans";
    const done = await robin.coral(['live', agentId, sql, '--json']);
    expect(done.code, done.stderr).toBe(0);
    const { data } = JSON.parse(done.stdout) as { data: { rows: [number, string][] } };
    const [count, ids] = data.rows[0] as [number, string];
    expect(Number(count)).toBe(spans.acknowledged.length);
    expect(ids.match(/.{16}/g)).toEqual(spans.acknowledged.toSorted());
  });

  it('counted each span exactly once in the summaries', async () => {
    await until(async () => (await summarized()) >= spans.acknowledged.length, 'the last summary');
    // Stopping sends what is left, so a span that was counted twice would show now.
    await system.agents.get('orders-1')?.stop('SIGTERM');
    expect(await summarized()).toBe(spans.acknowledged.length);
  });

  it('has the outcome row of every answered call, under the name of its caller', () => {
    const told = (key: unknown, userId: unknown, lease: unknown): string => JSON.stringify([key, userId, lease]);
    const recorded = new Set(
      rows
        .filter(({ kind, payload }) => kind === 'tool_call.outcome' && payload['outcome'] === 'ok')
        .map(({ payload, user_id, agent_id }) => told(payload['idempotency_key'], user_id, agent_id)),
    );
    expect(answered().filter(({ key, userId, agentId: lease }) => !recorded.has(told(key, userId, lease)))).toEqual([]);
  });

  it('carried the calls over the deaths of the colony: each was answered, on the same key', () => {
    expect(callers.flatMap(({ failed }) => failed.map(({ reason, message }) => ({ reason, message })))).toEqual([]);
    const intents = rows.filter(({ kind }) => kind === 'tool_call.intent').map((row) => row.payload['idempotency_key']);
    expect(intents.length).toBeGreaterThan(new Set(intents).size);
  });

  it('has an audit whose chain verified after every kill, and grew', () => {
    expect(verdicts).toHaveLength(kills);
    const lengths = verdicts.map((verdict) => {
      expect(verdict).toMatchObject({ ok: true });
      return verdict.rows;
    });
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
    expect(new Set(rows.map(({ seq }) => seq)).size).toBe(rows.length);
  });

  it('kept the ends of the leases', () => {
    expect(granted.size).toBe(callers.length);
    for (const after of leasesAfterKills) {
      for (const [agent, end] of granted) expect(after.get(agent)).toBe(end);
    }
  });
});
