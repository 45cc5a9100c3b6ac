import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import type { Coverage, MetricRow } from '@coral/tools';
import { CoralSystem, type User } from '../../scripts/demo/coral-system.js';
import { demoPolicy } from '../../scripts/demo/incident.js';
import { postTraces, refusalsOf, several, tracesOf, type OtlpAnswer } from '../support/otlp-post.js';
import { until } from '../support/until.js';
import { answered, type Fault, type Seen } from './fault.js';
import type { FaultWorld } from './world.js';

const minute = 60_000;
const hour = 60 * minute;
const mebibyte = 1_048_576;

/** What an exporter is told, and the reason in the agent's metrics. */
const exported =
  (body: () => string | Buffer, status: number, headers?: Record<string, string>) =>
  async (world: FaultWorld): Promise<Seen> => {
    const before = await refusalsOf(world.agent.ready.ops);
    const answer = await postTraces(world.agent.ready.otlp_http, body(), headers);
    expect(answer.status).toBe(status);
    const grown = [...(await refusalsOf(world.agent.ready.ops))].filter(
      ([reason, count]) => count > (before.get(reason) ?? 0),
    );
    expect(grown).toHaveLength(1);
    return { kind: answer.kind, reason: String(grown[0]?.[0]), exit: null, next: answer.message };
  };

function partial(answer: OtlpAnswer, rejected: number): Seen {
  expect(answer).toMatchObject({ status: 200, kind: 'ok', rejected });
  return { kind: 'ok', reason: 'partial_success', exit: null, next: answer.message };
}

interface Counted {
  requests: number;
  seen: Seen;
  coverage: Coverage;
}

/** Requests of one service as the colony counts them in a window, and what it remarks. */
async function counted({ alex }: { alex: User }, service: string, range: string): Promise<Counted> {
  const done = await alex.coral(['query', 'throughput by service', '--time-range', range, '--json']);
  const { seen, envelope } = answered(done);
  const { rows } = envelope.data as { rows: MetricRow[] };
  const requests = rows.find((row) => row.service === service)?.requests ?? 0;
  return { requests, seen, coverage: envelope.coverage };
}

async function malformed(world: FaultWorld): Promise<Seen> {
  const nonsense = { service: 'half-good', over: { traceId: 'not hexadecimal' } };
  const good = { service: 'half-good' };
  const answer = await postTraces(world.agent.ready.otlp_http, tracesOf([good, nonsense, good]));
  await until(async () => (await counted(world, 'half-good', '5m')).requests === 2, 'the good part');
  return partial(answer, 1);
}

async function duplicates(world: FaultWorld): Promise<Seen> {
  const body = several(25, { service: 'sent-thrice' });
  for (let i = 0; i < 3; i++) {
    expect(await postTraces(world.agent.ready.otlp_http, body)).toMatchObject({ status: 200, rejected: 0 });
  }
  // Behind the last copy: once this is counted, so is everything before it.
  await postTraces(world.agent.ready.otlp_http, tracesOf([{ service: 'sent-after' }]));
  await until(async () => (await counted(world, 'sent-after', '5m')).requests === 1, 'what was sent after');
  const { requests, seen } = await counted(world, 'sent-thrice', '5m');
  expect(requests).toBe(25);
  return seen;
}

async function farFuture(world: FaultWorld): Promise<Seen> {
  const ahead = { service: 'from-tomorrow', endMs: Date.now() + 2 * hour };
  const answer = await postTraces(world.agent.ready.otlp_http, tracesOf([ahead, { service: 'from-today' }]));
  await until(async () => (await counted(world, 'from-today', '5m')).requests === 1, 'the good part');
  expect((await counted(world, 'from-tomorrow', '5m')).requests).toBe(0);
  return partial(answer, 1);
}

async function nearFuture(world: FaultWorld): Promise<Seen> {
  const body = several(10, { service: 'clock-ahead', endMs: Date.now() + 59 * minute });
  expect(await postTraces(world.agent.ready.otlp_http, body)).toMatchObject({ status: 200, rejected: 0 });
  await until(async () => (await counted(world, 'clock-ahead', '5m')).requests === 10, 'the numbers');
  return (await counted(world, 'clock-ahead', '5m')).seen;
}

async function hourBehind(world: FaultWorld): Promise<Seen> {
  const body = several(10, { service: 'clock-behind', endMs: Date.now() - hour });
  expect(await postTraces(world.agent.ready.otlp_http, body)).toMatchObject({ status: 200, rejected: 0 });
  await until(async () => (await counted(world, 'clock-behind', '2h')).requests === 10, 'the numbers');
  // They say when they were, and are not taken for what goes on now.
  expect((await counted(world, 'clock-behind', '15m')).requests).toBe(0);
  return (await counted(world, 'clock-behind', '2h')).seen;
}

/** Makes Node believe in another time, as on a machine whose clock is off. */
const clockOff = (ms: number): NodeJS.ProcessEnv => {
  const shifted = `const There = Date; globalThis.Date = class extends There {
    constructor(...given) { super(...(given.length ? given : [There.now() + ${ms}])); }
    static now() { return There.now() + ${ms}; }
  };`;
  return { NODE_OPTIONS: `--import=data:text/javascript;base64,${Buffer.from(shifted).toString('base64')}` };
};

/** The agent's clock is wrong, its services' are right: the numbers stand where they belong, and the clock is told of. */
const agentClock = (offMs: number) => async (): Promise<Seen> => {
  await using undo = new AsyncDisposableStack();
  const system = await CoralSystem.open(await mkdtemp(join(tmpdir(), 'coral-clock-')), demoPolicy);
  undo.defer(() => system.erase());
  undo.use(system);
  const agent = await system.startAgent('elsewhen-1', 'robin', { summaries: { interval: '1s' } }, clockOff(offMs));
  const alex = await system.addUser('alex');
  const began = Date.now();
  expect(await postTraces(agent.ready.otlp_http, several(20, { service: 'punctual' }))).toMatchObject({ rejected: 0 });
  await until(async () => (await counted({ alex }, 'punctual', '5m')).requests === 20, 'the numbers');
  const { seen, coverage } = await counted({ alex }, 'punctual', '5m');
  expect(coverage).toMatchObject({ answered: [expect.stringContaining('elsewhen-1')], silent: [] });
  // The child's own log shows that it lived in another time.
  const told = Date.parse((JSON.parse(agent.log().split('\n')[0] ?? '') as { at: string }).at);
  expect(Math.abs(told - began - offMs)).toBeLessThan(minute);
  return seen;
};

/** Telemetry that no well-behaved exporter sends, and what becomes of the good part of it. */
export const telemetryFaults: Fault[] = [
  {
    input: 'a body over the limit',
    see: exported(() => ' '.repeat(17 * mebibyte), 413),
    kind: 'resource_exhausted',
    reason: 'body_too_large',
    exit: null,
    next: /batch size/,
  },
  {
    input: 'a gzip bomb',
    see: exported(() => gzipSync(Buffer.alloc(200 * mebibyte)), 413, { 'content-encoding': 'gzip' }),
    kind: 'resource_exhausted',
    reason: 'body_too_large',
    exit: null,
    next: /batch size/,
  },
  {
    input: 'a body that is no OTLP',
    see: exported(() => '{"resourceSpans": [', 400),
    kind: 'invalid_argument',
    reason: 'malformed_body',
    exit: null,
    next: /Content-Type/,
  },
  {
    input: 'malformed OTLP among good: the good part is kept',
    see: malformed,
    kind: 'ok',
    reason: 'partial_success',
    exit: null,
    next: /trace_id must be 16 bytes/,
  },
  {
    input: 'the same spans three times: counted once',
    see: duplicates,
    kind: 'ok',
    reason: 'ok',
    exit: 0,
    next: /^/,
  },
  {
    input: 'spans from tomorrow: refused, the good part kept',
    see: farFuture,
    kind: 'ok',
    reason: 'partial_success',
    exit: null,
    next: /in the future/,
  },
  {
    input: 'spans of a clock an hour ahead: counted where they arrived',
    see: nearFuture,
    kind: 'ok',
    reason: 'ok',
    exit: 0,
    next: /orders-1\S* sent data from the future .*moved to its arrival/,
  },
  {
    input: 'spans of a clock an hour behind: counted where they say, not now',
    see: hourBehind,
    kind: 'ok',
    reason: 'ok',
    exit: 0,
    next: /^/,
  },
  {
    input: 'an agent whose clock is an hour ahead',
    see: agentClock(hour),
    kind: 'ok',
    reason: 'ok',
    exit: 0,
    next: /the clock of agent \S+ \(elsewhen-1\) was .* ahead of the colony's/,
  },
  {
    input: 'an agent whose clock is an hour behind',
    see: agentClock(-hour),
    kind: 'ok',
    reason: 'ok',
    exit: 0,
    next: /the clock of agent \S+ \(elsewhen-1\) was .* behind the colony's/,
  },
];
