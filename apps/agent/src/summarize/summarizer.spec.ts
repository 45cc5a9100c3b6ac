import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { colonyV1 } from '@coral/rpc';
import { readRequest } from '../ingest/request-reader.js';
import type { SpanRecord } from '../ingest/records.js';
import { AgentMetrics } from '../ops/agent-metrics.js';
import { SpanStore } from '../store/span-store.js';
import { exportJson, FakeClock, LogBook, scratch, testConfig, type SpanSketch } from '../spec-support/fixtures.js';
import { referenceEdges, referenceWindows } from '../spec-support/reference.js';
import { summedEdges, summedWindows } from '../spec-support/summaries.js';
import { Outbox } from './outbox.js';
import { Summarizer } from './summarizer.js';

async function setUp(path: string, clock = new FakeClock(), limits: Record<string, unknown> = {}) {
  const config = testConfig(path, { limits });
  const book = new LogBook();
  const store = await SpanStore.open({ ...config, directory: join(path, 'spans'), clock, log: book.log });
  const outbox = Outbox.open({ directory: path, maxBytes: config.limits.max_outbox, now: clock.now(), log: book.log });
  const metrics = new AgentMetrics();
  const summarizer = new Summarizer({
    store,
    outbox,
    windowMs: 10_000,
    limits: config.limits,
    clock,
    log: book.log,
    metrics,
  });
  const read = (resource: Record<string, string>, spans: readonly SpanSketch[]): SpanRecord[] => {
    const body = Buffer.from(JSON.stringify(exportJson(resource, spans)));
    return readRequest('traces', 'json', body, clock.now(), config.limits).spans;
  };
  const commit = (spans: SpanRecord[]) => store.commit({ spans, logs: [], metrics: [] });
  return { clock, book, store, outbox, summarizer, read, commit };
}

function takeAll(outbox: Outbox): colonyV1.PushSummaryRequest[] {
  const all: colonyV1.PushSummaryRequest[] = [];
  for (let next = outbox.oldest(); next !== undefined; next = outbox.oldest()) {
    all.push(next.request);
    outbox.forget(next.seq);
  }
  return all;
}

const clientAttributes: Record<string, string | number>[] = [
  { 'http.request.method': 'GET', 'server.address': 'orders', 'server.port': 8080 },
  { 'http.method': 'POST', 'net.peer.name': 'stock', 'net.peer.port': 80 },
  {
    'db.system.name': 'postgresql',
    'db.query.text': 'select 1',
    'server.address': 'db',
    'server.port': 5432,
    'db.namespace': 'shop',
  },
  { 'db.system.name': 'postgresql', 'server.address': 'db', 'server.port': 5432 },
  { 'messaging.system': 'kafka', 'messaging.destination.name': 'orders', 'messaging.operation.type': 'send' },
  {},
];

const anySpan = (now: number): fc.Arbitrary<SpanSketch> =>
  fc.record({
    kind: fc.integer({ min: 0, max: 5 }),
    name: fc.constantFrom('GET /a', 'GET /b', 'work'),
    endMs: fc.integer({ min: now - 60_000, max: now }),
    durationMs: fc.oneof(fc.constant(0), fc.double({ min: 0.001, max: 20_000, noNaN: true })),
    error: fc.boolean(),
    attributes: fc.constantFrom(...clientAttributes),
  });

describe('Summarizer', () => {
  it('counts every span of random exports exactly as a naive reference does, in any number of rounds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(
            fc.constantFrom('cart', 'mail'),
            fc.constantFrom('', '1', '2'),
            fc.array(anySpan(1_790_000_000_000), { minLength: 1, maxLength: 40 }),
          ),
          { minLength: 1, maxLength: 8 },
        ),
        async (exports) => {
          await using directory = await scratch();
          const { store, outbox, summarizer, read, commit } = await setUp(directory.path);
          const all: SpanRecord[] = [];
          for (const [service, version, sketches] of exports) {
            const spans = read(
              { 'service.name': service, ...(version === '' ? {} : { 'service.version': version }) },
              sketches,
            );
            all.push(...spans);
            await commit(spans);
            if (sketches.length % 3 === 0) await summarizer.run();
          }
          await summarizer.run();
          const batches = takeAll(outbox);
          expect(sorted(summedWindows(batches))).toEqual(sorted(referenceWindows(all, 10_000)));
          expect(sorted(summedEdges(batches))).toEqual(sorted(referenceEdges(all, 10_000)));
          await store.close();
          outbox.close();
        },
      ),
      { numRuns: 15 },
    );
  });

  it('puts a span into exactly one batch, also when it is sent again', async () => {
    await using directory = await scratch();
    const { clock, store, outbox, summarizer, read, commit } = await setUp(directory.path);
    const spans = read({ 'service.name': 'cart' }, [
      { endMs: clock.now(), span: '00000000000000ab', trace: 'ab'.repeat(16) },
    ]);
    await commit(spans);
    await summarizer.run();
    expect(await commit(spans)).toEqual({ spans: 0, duplicates: 1 });
    await summarizer.run();
    const requests = takeAll(outbox)
      .flatMap((batch) => batch.windows)
      .map((window) => window.requests);
    expect(requests).toEqual([1]);
    await store.close();
    outbox.close();
  });

  it('counts routes beyond the cap under (other), so totals stay right', async () => {
    await using directory = await scratch();
    const { clock, store, outbox, summarizer, read, commit } = await setUp(directory.path, new FakeClock(), {
      max_routes_per_service: 3,
    });
    const sketches = Array.from({ length: 10 }, (_, i) => ({
      endMs: clock.now(),
      attributes: { 'http.route': `/r${i}` },
    }));
    await commit(read({ 'service.name': 'cart' }, sketches));
    await summarizer.run();
    const windows = takeAll(outbox).flatMap((batch) => batch.windows);
    expect(windows.map((window) => window.route).sort()).toEqual(['(other)', '/r0', '/r1', '/r2']);
    expect(windows.find((window) => window.route === '(other)')?.requests).toBe(7);
    await store.close();
    outbox.close();
  });

  it('samples links by trace id, so that two agents keep the same traces', async () => {
    await using one = await scratch();
    await using two = await scratch();
    const limits = { max_links: 6 };
    const [first, second] = [
      await setUp(one.path, new FakeClock(), limits),
      await setUp(two.path, new FakeClock(), limits),
    ];
    const traces = Array.from({ length: 40 }, (_, i) =>
      (((i + 1) * 2_654_435_761) >>> 0).toString(16).padStart(32, '7'),
    );
    const endMs = first.clock.now();
    await first.commit(
      first.read(
        { 'service.name': 'web' },
        traces.map((trace) => ({
          trace,
          endMs,
          kind: 3,
          attributes: { 'http.request.method': 'GET', 'server.address': 'cart' },
        })),
      ),
    );
    await second.commit(
      second.read(
        { 'service.name': 'cart' },
        [...traces].reverse().map((trace) => ({ trace, endMs, kind: 2, parent: '00000000000000cd' })),
      ),
    );
    await first.summarizer.run();
    await second.summarizer.run();
    const linked = (outbox: Outbox) =>
      takeAll(outbox)
        .flatMap((batch) => batch.links)
        .map((link) => link.traceId.toString('hex'))
        .sort();
    const [ours, theirs] = [linked(first.outbox), linked(second.outbox)];
    expect(ours).toHaveLength(6);
    expect(ours).toEqual(theirs);
    for (const { store, outbox } of [first, second]) {
      await store.close();
      outbox.close();
    }
  });

  it('tells which versions and instances it saw, and leaves an empty batch when idle', async () => {
    await using directory = await scratch();
    const { clock, store, outbox, summarizer, read, commit } = await setUp(directory.path);
    await summarizer.run();
    expect(takeAll(outbox)).toMatchObject([{ seq: 1, windows: [] }]);
    const resource = { 'service.name': 'cart', 'service.version': '2', 'service.instance.id': 'i-7', 'host.name': 'h' };
    await commit(read(resource, [{ endMs: clock.now() - 2_000 }, { endMs: clock.now() }]));
    await summarizer.run();
    expect(takeAll(outbox).flatMap((batch) => batch.sightings)).toEqual([
      {
        service: 'cart',
        version: '2',
        instance: 'i-7',
        host: 'h',
        firstSeenMs: clock.now() - 2_000,
        lastSeenMs: clock.now(),
      },
    ]);
    await store.close();
    outbox.close();
  });
});

function sorted<T>(groups: Map<string, T>): [string, T][] {
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1));
}
