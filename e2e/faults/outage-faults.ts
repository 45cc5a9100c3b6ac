import { mkdtemp, watch } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAudit } from '@coral/audit';
import { expect } from 'vitest';
import { CoralSystem } from '../../scripts/demo/coral-system.js';
import { demoPolicy } from '../../scripts/demo/incident.js';
import { Laptop, unlessEnded } from '../support/laptop.js';
import { postTraces, refusalsOf, several } from '../support/otlp-post.js';
import { openSmallDisk } from '../support/small-disk.js';
import { ColonyUnderTest, toolCall } from '../support/start-colony.js';
import { until } from '../support/until.js';
import { answered, refused, type Fault, type LoneFault, type Seen } from './fault.js';
import type { FaultWorld } from './world.js';

async function laptopFor(colony: ColonyUnderTest, user: string): Promise<Laptop> {
  const { token } = await colony.apiToken(user);
  const laptop = await Laptop.open({ CORAL_TOKEN: token });
  const { endpoint, ca_fingerprint } = colony.ready;
  await laptop.configure({ id: 'own', endpoint, ca_fingerprint });
  return laptop;
}

async function noDataYet(): Promise<Seen> {
  await using colony = await ColonyUnderTest.start();
  await using laptop = await laptopFor(colony, 'alex');
  const done = await laptop.coral(['health', '--json']);
  expect(done.stdout).not.toContain('healthy');
  const text = await laptop.coral(['health']);
  expect(text.stdout.toLowerCase()).toContain('no data');
  expect(text.stdout).not.toContain('healthy');
  return answered(done).seen;
}

/** Neither a lease nor a tool's answer without a row; when there is room again, all goes on by itself. */
async function colonyDiskFull(): Promise<Seen> {
  await using undo = new AsyncDisposableStack();
  const colony = await ColonyUnderTest.prepare();
  // Last to go: what it stands on is unmounted before its folder is erased.
  undo.use(colony);
  const disk = undo.use(await openSmallDisk(colony.dataDirectory, 64, () => colony.pid));
  undo.defer(async () => void (await colony.kill('SIGKILL')));
  await colony.run();
  const laptop = undo.use(await laptopFor(colony, 'alex'));
  const alex = await colony.person('alex');
  undo.use(alex.door);
  const lease = undo.use(await alex.lease());
  expect(await lease.exchange(toolCall('coral_get_health'))).toHaveLength(1);

  await disk.fill();
  // A few rows may still find room behind the last one: the file's last block was there already.
  const isAnswered = () =>
    lease.exchange(toolCall('coral_get_health')).then(
      () => true,
      () => false,
    );
  await until(async () => !(await isAnswered()), 'the disk full');
  await expect(lease.exchange(toolCall('coral_get_health'))).rejects.toMatchObject({ code: 14 });
  const seen = await refused(laptop, ['health']);
  const ready = await fetch(`http://${colony.ready.ops}/readyz`);
  expect([ready.status, await ready.json()]).toMatchObject([503, { checks: { audit_writable: false } }]);

  await disk.free();
  await until(async () => (await laptop.coral(['health'])).code === 0, 'answers again', 30_000);
  expect(await lease.exchange(toolCall('coral_get_health'))).toMatchObject([{ result: { isError: false } }]);
  expect(await colony.rowsOf('audit.recovered')).not.toEqual([]);
  await colony.mustVerify();
  return seen;
}

/** What was acknowledged before stays, what was not is taken when there is room again. */
async function agentDiskFull(): Promise<Seen> {
  await using undo = new AsyncDisposableStack();
  const system = await CoralSystem.open(await mkdtemp(join(tmpdir(), 'coral-disk-')), demoPolicy);
  undo.defer(() => system.erase());
  const directory = join(system.folder, 'small-disk');
  const disk = undo.use(await openSmallDisk(directory, 64, () => system.agents.get('small-1')?.child.pid ?? 0));
  undo.use(system);
  const agent = await system.startAgent('small-1', 'robin', { data_dir: directory, limits: { min_free_disk: '0B' } });
  const robin = await system.addUser('robin');
  const { otlp_http: door, agent_id: agentId, ops } = agent.ready;
  expect(await postTraces(door, several(50, { service: 'kept' }))).toMatchObject({ status: 200 });

  await disk.fill();
  const late = several(50, { service: 'late' });
  const answer = await postTraces(door, late);
  expect(answer).toMatchObject({ status: 503, retryAfter: '2' });
  const reasons = [...(await refusalsOf(ops)).keys()];

  await disk.free();
  await until(async () => (await postTraces(door, late)).status === 200, 'room again', 30_000);
  const sql = 'SELECT service, count(*)::INTEGER FROM spans GROUP BY service ORDER BY service';
  const live = answered(await robin.coral(['live', agentId, sql, '--json'])).envelope;
  expect(live.data).toMatchObject({
    rows: [
      ['kept', 50],
      ['late', 50],
    ],
  });
  expect(agent.log()).not.toContain('data_loss');
  return { kind: answer.kind, reason: reasons.join(' '), exit: null, next: answer.message };
}

/** Runs `work` while the world's agent is dead or stopped, and brings it back. */
async function without<T>(world: FaultWorld, signal: 'SIGKILL' | 'SIGSTOP', work: () => Promise<T>): Promise<T> {
  const { child } = world.agent;
  if (signal === 'SIGKILL') await world.agent.stop('SIGKILL');
  else child.kill('SIGSTOP');
  try {
    return await work();
  } finally {
    if (signal === 'SIGKILL') await world.system.restartAgent('orders-1');
    else child.kill('SIGCONT');
    const alive = ['live', world.agent.ready.agent_id, 'SELECT 1 AS one FROM spans LIMIT 1'];
    await until(async () => (await world.robin.coral(alive)).code === 0, 'the agent back', 60_000);
    await until(async () => (await world.alex.coral(['health'])).code === 0, 'all agents heard', 60_000);
  }
}

const agentDown =
  (signal: 'SIGKILL' | 'SIGSTOP', args: string[]) =>
  (world: FaultWorld): Promise<Seen> =>
    without(world, signal, async () => {
      const { alex } = world;
      await until(async () => (await alex.coral(args)).code === 8, 'the silence', 60_000);
      const text = await alex.coral(args);
      expect(text.stdout).toMatch(/orders-1/);
      const { seen, envelope } = answered(await alex.coral([...args, '--json']));
      expect(envelope.coverage).toMatchObject({ answered: [], silent: [expect.stringContaining('orders-1')] });
      return seen;
    });

const liveAtDown =
  (signal: 'SIGKILL' | 'SIGSTOP') =>
  async (world: FaultWorld): Promise<Seen> => {
    await using laptop = await world.laptopOf(world.robin);
    const { agent_id: agentId } = world.agent.ready;
    return await without(world, signal, () =>
      refused(laptop, ['live', agentId, 'SELECT 1 FROM spans'], {}, '(orders-1)'),
    );
  };

async function colonyAway(): Promise<Seen> {
  await using colony = await ColonyUnderTest.start();
  await using laptop = await laptopFor(colony, 'alex');
  await colony.kill('SIGKILL');
  return await refused(laptop, ['health']);
}

/** Resolves when a tool call of `user` has its intent on the disk, which is before it has run. */
async function nextIntent(auditFolder: string, user: string): Promise<void> {
  const since = Date.now();
  for await (const _change of watch(auditFolder)) {
    for await (const row of readAudit(auditFolder)) {
      if (row.kind === 'tool_call.intent' && row.user_id === user && Date.parse(row.at) >= since) return;
    }
  }
}

/** `coral ask` in the world of telemetry, whose colony is killed at the first tool call. */
async function killedInMidQuestion(world: FaultWorld): Promise<Seen> {
  const { system, alex } = world;
  await using laptop = await world.laptopOf(alex);
  const intent = nextIntent(system.auditFolder, 'alex');
  const ended = laptop.coral(['ask', 'Why is payment slow?', '--json']);
  await unlessEnded(intent, ended);
  await system.colony.stop('SIGKILL');
  await system.restartColony();
  const { code, stdout, stderr } = await ended;
  expect(code, stderr).toBe(0);
  const answer = JSON.parse(stdout) as { answer: string; tools: unknown[] };
  expect(answer.answer).toContain('payment');
  expect(answer.tools.length).toBeGreaterThan(2);
  return { kind: 'ok', reason: 'answered', exit: code, next: answer.answer };
}

/** As before, but nobody starts it again. */
async function killedForGood(): Promise<Seen> {
  await using colony = await ColonyUnderTest.start();
  await using laptop = await laptopFor(colony, 'alex');
  const intent = nextIntent(colony.auditDirectory, 'alex');
  const ended = laptop.coral(['ask', 'Is anything wrong?', '--json']);
  await unlessEnded(intent, ended);
  await colony.kill('SIGKILL');
  const { code, stdout, stderr } = await ended;
  expect(stdout).toBe('');
  const last = JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as { error: Seen };
  const { kind, reason, next } = last.error;
  return { kind, reason, exit: code, next };
}

/** Processes and networks that fail while everything else is right. */
export const outageFaults: Fault[] = [
  {
    input: 'an agent down: health names it',
    see: agentDown('SIGKILL', ['health']),
    kind: 'partial',
    reason: 'ok',
    exit: 8,
    next: /silent agent: agt-\w+ \(orders-1\)/,
  },
  {
    input: 'an agent that hangs: numbers name it',
    see: agentDown('SIGSTOP', ['query', 'payment latency, last 15m']),
    kind: 'partial',
    reason: 'ok',
    exit: 8,
    next: /silent agent: agt-\w+ \(orders-1\)/,
  },
  {
    input: 'an agent down, asked live',
    see: liveAtDown('SIGKILL'),
    kind: 'unavailable',
    reason: 'agent_unreachable',
    exit: 6,
    next: /coral_query/,
  },
  {
    input: 'an agent that hangs, asked live',
    see: liveAtDown('SIGSTOP'),
    kind: 'unavailable',
    reason: 'agent_unreachable',
    exit: 6,
    next: /coral_query/,
  },
  {
    input: 'the colony killed in mid-question and started again: the question is answered',
    see: killedInMidQuestion,
    kind: 'ok',
    reason: 'answered',
    exit: 0,
    next: /^/,
  },
];

/** As well, each in a system of its own: they neither need nor hurt the world of the others. */
export const loneOutageFaults: LoneFault[] = [
  {
    input: 'a colony with no data yet: "no data", not "healthy"',
    see: noDataYet,
    kind: 'ok',
    reason: 'no_data',
    exit: 0,
    next: /no agent has reported/,
  },
  {
    input: "the colony's disk full, so its audit cannot be written: refused, and well again by itself",
    see: colonyDiskFull,
    kind: 'unavailable',
    reason: 'audit_unavailable',
    exit: 6,
    next: /Free space/,
  },
  {
    input: "an agent's disk full: refused with a retry hint, nothing acknowledged lost",
    see: agentDiskFull,
    kind: 'unavailable',
    reason: 'not_durable',
    exit: null,
    next: /send it again/,
  },
  {
    input: 'a colony that is away',
    see: colonyAway,
    kind: 'unavailable',
    reason: 'colony_unreachable',
    exit: 6,
    next: /coral colony list/,
  },
  {
    input: 'the colony killed in mid-question for good',
    see: killedForGood,
    kind: 'unavailable',
    reason: 'colony_unreachable',
    exit: 6,
    next: /colony/,
  },
];
