import { gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import type { MetricRow } from '@coral/tools';
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

/** Requests of one service as the colony counts them in a window, and what it remarks. */
async function counted(world: FaultWorld, service: string, range: string): Promise<{ requests: number; seen: Seen }> {
  const done = await world.alex.coral(['query', 'throughput by service', '--time-range', range, '--json']);
  const { seen, envelope } = answered(done);
  const { rows } = envelope.data as { rows: MetricRow[] };
  return { requests: rows.find((row) => row.service === service)?.requests ?? 0, seen };
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
];
