import { describe, expect, it } from 'vitest';
import type { Baseline, MetricRow, QueryData, ToolEnvelope } from '@coral/tools';
import { answeredBy, Bench, callAt, randomFrom, times, windowAt } from '../../telemetry/testing/fixture.js';

const noon = Date.parse('2026-05-04T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;
const checkout = { service: 'checkout' };

function metricsOf(answer: ToolEnvelope): QueryData & { kind: 'metrics' } {
  const data = answer.data as QueryData;
  if (data.kind !== 'metrics') throw new Error(`answered ${data.kind}`);
  return data;
}
const ask = async (bench: Bench, query: string, more: Record<string, unknown> = {}): Promise<ToolEnvelope> =>
  await bench.call('coral_query', { query, ...more });

describe('coral_query, numbers', () => {
  it('answers a published question with value, baselines, window, freshness and coverage', async () => {
    await using bench = await Bench.open(noon);
    bench.addAgent('web-1', ['checkout']);
    const windows = [
      ...times(6, 0).map((_, i) =>
        windowAt(noon - (i + 1) * 10 * minute, { ...checkout, ms: times(10, 450), errors: 2 }),
      ),
      windowAt(noon - 90 * minute, { ...checkout, ms: times(20, 150) }),
      windowAt(noon - 24 * hour - 30 * minute, { ...checkout, ms: times(5, 140), errors: 1 }),
      windowAt(noon - 40 * hour, checkout),
    ];
    await bench.push('web-1', { windows });
    const answer = await ask(bench, 'checkout service latency, last 1h');
    const { canonical, rows } = metricsOf(answer);
    expect(canonical).toBe('checkout latency, last 1h');
    expect(rows).toHaveLength(1);
    const [row] = rows as [MetricRow];
    expect(row).toMatchObject({ requests: 60, errors: 12, error_rate: 0.2, requests_per_s: 0.0166667 });
    expect(row.p95_ms).toBeGreaterThan(445);
    expect(row.p95_ms).toBeLessThan(455);
    const baselines = row.baseline as Baseline[];
    expect(baselines.map((b) => [b.kind, b.requests, b.error_rate])).toEqual([
      ['previous_window', 20, 0],
      ['day_before', 5, 0.2],
    ]);
    expect(baselines[0]?.p95_ms).toBeCloseTo(150, -1);
    expect(answer).toMatchObject({
      status: 'ok',
      window: { from: '2026-05-04T11:00:00.000Z', to: '2026-05-04T12:00:00.000Z' },
      freshness: { newest: '2026-05-04T11:50:10.000Z', age_ms: 590_000 },
      coverage: { asked: 1, answered: ['agt-web-1 (web-1)'], silent: [] },
      sampling: { factor: 1 },
      truncation: { truncated: false },
      notes: [],
    });
  });

  it('says no baseline where there is nothing to compare with, and clips to where data begins', async () => {
    await using bench = await Bench.open(noon);
    await bench.push('web-1', { windows: [windowAt(noon - 5 * minute, { ms: times(30, 10) })] });
    const answer = await ask(bench, 'cart latency, last 1h');
    expect(metricsOf(answer).rows).toMatchObject([{ requests: 30, requests_per_s: 0.1, baseline: 'no baseline' }]);
    expect(answer.window.from).toBe('2026-05-04T11:55:00.000Z');
    expect(answer.notes).toEqual(['asked for the last 1h, but data begins at 2026-05-04T11:55:00.000Z']);
  });

  it('keeps a row for what has stopped answering', async () => {
    await using bench = await Bench.open(noon);
    await bench.push('web-1', {
      windows: [windowAt(noon - 25 * minute, { service: 'billing' }), windowAt(noon - 5 * minute)],
    });
    const { rows } = metricsOf(await ask(bench, 'throughput by service, last 15m'));
    expect(rows).toMatchObject([
      { service: 'cart', requests: 1 },
      { service: 'billing', requests: 0, p95_ms: null, baseline: [{ kind: 'previous_window', requests: 1 }] },
    ]);
  });

  it('groups by time in steps, leaves empty steps out and shows the step in the canonical form', async () => {
    await using bench = await Bench.open(noon + 5_000);
    const at = [noon, noon - 10_000, noon - 5 * minute];
    await bench.push('web-1', { windows: at.map((start) => windowAt(start, { ms: times(5, 10) })) });
    const data = metricsOf(await ask(bench, 'cart latency by service and time, last 15m'));
    expect(data).toMatchObject({
      canonical: 'cart latency by service and time, last 15m, step 10s',
      step_ms: 10_000,
      rows: [
        { service: 'cart', start: '2026-05-04T11:55:00.000Z', requests_per_s: 0.5 },
        { start: '2026-05-04T11:59:50.000Z', requests_per_s: 0.5 },
        // This step is half over: the rate is over the half that was.
        { start: '2026-05-04T12:00:00.000Z', requests_per_s: 1 },
      ],
    });
    expect(data.rows.every((row) => row.baseline === undefined)).toBe(true);
  });

  it('answers about dependencies by the name of the service that was seen answering', async () => {
    await using bench = await Bench.open(noon);
    const at = noon - minute;
    await bench.push('web-1', {
      edges: [
        callAt(at, 'cart', 'billing:8080', { ms: times(3, 100) }),
        callAt(at, 'cart', '10.0.0.7:8080', { ms: times(2, 100), errors: 1 }),
        callAt(at, 'cart', 'db:5432', { kind: 2, system: 'postgresql', name: 'orders', ms: [5] }),
        callAt(at, 'web', 'api.example:443'),
      ],
      links: [
        ...answeredBy(1, 'cart', 'billing:8080', 'billing', at),
        ...answeredBy(2, 'cart', '10.0.0.7:8080', 'billing', at),
      ],
      windows: [windowAt(at), windowAt(at, { service: 'billing' })],
    });
    const { rows } = metricsOf(await ask(bench, 'throughput by service and dependency'));
    expect(rows.map((row) => [row.service, row.dependency, row.requests, row.errors])).toEqual([
      ['cart', 'billing', 5, 1],
      ['cart', 'postgresql:orders@db:5432', 1, 0],
      ['web', 'http@api.example:443', 1, 0],
    ]);
    const scoped = metricsOf(await ask(bench, 'cart dependency latency'));
    expect(scoped.canonical).toBe('cart latency by dependency, last 1h');
    expect(scoped.rows.map((row) => row.dependency)).toEqual(['billing', 'postgresql:orders@db:5432']);
    expect(scoped.rows[0]?.service).toBeUndefined();
  });

  it('sorts by what was asked and stops at top N', async () => {
    await using bench = await Bench.open(noon);
    const at = noon - minute;
    await bench.push('web-1', {
      windows: [
        windowAt(at, { service: 'a', ms: times(9, 5) }),
        windowAt(at, { service: 'b', ms: [900], errors: 1 }),
        windowAt(at, { service: 'c', ms: times(4, 50), errors: 2 }),
      ],
    });
    const order = async (query: string) => metricsOf(await ask(bench, query)).rows.map((row) => row.service);
    expect(await order('latency by service')).toEqual(['b', 'c', 'a']);
    expect(await order('errors by service')).toEqual(['c', 'b', 'a']);
    expect(await order('error rate by service')).toEqual(['b', 'c', 'a']);
    expect(await order('top 2 services by throughput')).toEqual(['a', 'c']);
  });

  it('says that rows were left out', async () => {
    await using bench = await Bench.open(noon);
    const windows = Array.from({ length: 250 }, (_, i) => windowAt(noon - minute, { route: `/r${i}` }));
    await bench.push('web-1', { windows });
    const answer = await ask(bench, 'latency by route');
    expect(metricsOf(answer).rows).toHaveLength(200);
    expect(answer.truncation).toMatchObject({ truncated: true, note: expect.stringContaining('200 of 250') as string });
  });

  it('answers no_data before anything was reported, whatever the service', async () => {
    await using bench = await Bench.open(noon);
    bench.addAgent('web-1');
    const answer = await ask(bench, 'cart service latency, last 1h');
    expect(answer).toMatchObject({ status: 'no_data', data: { rows: [] }, freshness: { newest: null, age_ms: null } });
    expect(answer.notes[0]).toContain('no agent has reported anything yet');
    expect(answer.coverage.silent).toEqual(['agt-web-1 (web-1)']);
  });

  it('names an agent whose summaries stopped, and one that is catching up', async () => {
    await using bench = await Bench.open(noon);
    for (const name of ['web-1', 'web-2', 'db-1']) bench.addAgent(name, ['cart']);
    for (const name of ['web-1', 'web-2', 'db-1']) await bench.push(name, { windows: [windowAt(noon - 10_000)] });
    bench.clock.advance(31_000);
    await bench.push('web-1', { windows: [windowAt(noon + 20_000)] });
    await bench.push('db-1', { windows: [windowAt(noon)], producedAtMs: noon - 5_000 });
    const answer = await ask(bench, 'cart latency, last 15m');
    expect(answer.coverage).toEqual({
      asked: 3,
      answered: ['agt-web-1 (web-1)'],
      late: ['agt-db-1 (db-1)'],
      silent: ['agt-web-2 (web-2)'],
      denied: [],
    });
    expect(answer.notes.join('\n')).toMatch(/silent agent: agt-web-2 \(web-2\).*2026-05-04T12:00:00/);
    expect(answer.notes.join('\n')).toMatch(/agt-db-1 \(db-1\) is catching up/);
  });

  it('tells of a clock that is off and of rows from the future or beyond belief', async () => {
    await using bench = await Bench.open(noon);
    bench.addAgent('web-1', ['cart']);
    await bench.store.recordSkew('agt-web-1', hour - 1_000);
    const ahead = windowAt(noon + hour - 11_000);
    await bench.push('web-1', { windows: [ahead, windowAt(noon + 2 * hour)], producedAtMs: noon + hour });
    const answer = await ask(bench, 'cart throughput, last 15m');
    expect(metricsOf(answer).rows[0]?.requests).toBe(1);
    expect(answer.freshness.age_ms).toBe(0);
    const notes = answer.notes.join('\n');
    expect(notes).toContain('59m59s ahead of');
    expect(notes).toContain('moved to its arrival');
    expect(notes).toContain('1 rows in all were refused, last for: too_far_ahead');
  });

  it('stops when the caller goes away', async () => {
    await using bench = await Bench.open(noon);
    const gone = AbortSignal.abort(new Error('gone'));
    await expect(bench.call('coral_query', { query: 'latency' }, {}, { signal: gone })).rejects.toThrow('gone');
  });

  it('lists deployments in the words of RFD 028', async () => {
    await using bench = await Bench.open(noon);
    const seen = (version: string, at: number) => ({
      service: 'checkout',
      version,
      instance: version,
      host: 'web-1',
      firstSeenMs: at,
      lastSeenMs: at,
    });
    await bench.push('web-1', { sightings: [seen('2.3.0', noon - 5 * hour), seen('2.4.0', noon - 30 * minute)] });
    const answer = await ask(bench, 'checkout deployments, last 4h');
    expect(answer.data).toEqual({
      kind: 'events',
      canonical: 'checkout deployments, last 4h',
      events: [
        {
          at: '2026-05-04T11:30:00.000Z',
          type: 'deploy',
          service: 'checkout',
          summary: 'checkout 2.3.0 → 2.4.0 on web-1 (instance 2.4.0)',
          version: '2.4.0',
          previous_version: '2.3.0',
          instance: '2.4.0',
          agent_id: 'agt-web-1',
        },
      ],
    });
    expect(await ask(bench, 'checkout restarts')).toMatchObject({ status: 'ok', data: { events: [] } });
  });
});

describe('baselines against a naive reference', () => {
  it('agree over random data, for every grouping', async () => {
    const random = randomFrom(42);
    const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
    for (let round = 0; round < 6; round += 1) {
      const now = noon + Math.floor(random() * 20_000);
      await using bench = await Bench.open(now);
      const facts: { at: number; service: string; route: string; version: string; ms: number[]; errors: number }[] = [];
      const age = pick([30 * minute, 50 * minute, 3 * hour, 26 * hour, 60 * hour]);
      for (let i = 0; i < 600; i += 1) {
        const nearby = pick([0, 0, 24 * hour]);
        const at = Math.floor((now - nearby - random() * Math.min(age, 3 * hour)) / 10_000) * 10_000;
        if (at < now - age) continue;
        const ms = Array.from({ length: 1 + Math.floor(random() * 8) }, () => 1 + random() * 500);
        const names = { service: pick(['a', 'b']), route: pick(['/x', '/y']), version: pick(['1', '2']) };
        facts.push({ at, ...names, ms, errors: Math.floor(random() * (ms.length + 1)) });
      }
      for (const agent of ['p', 'q']) {
        const mine = facts.filter((_, i) => (i % 2 === 0) === (agent === 'p'));
        await bench.push(agent, { windows: mine.map((fact) => windowAt(fact.at, fact)) });
      }
      const begin = Math.min(...facts.map((fact) => fact.at));
      const end = Math.ceil(now / 10_000) * 10_000;
      for (const [range, length] of [
        ['15m', 15 * minute],
        ['1h', hour],
        ['24h', 24 * hour],
      ] as const) {
        const from = Math.max(end - length, begin);
        const expected = (lo: number, hi: number, group: (fact: (typeof facts)[0]) => string) =>
          Map.groupBy(
            facts.filter((fact) => fact.at >= Math.max(lo, begin) && fact.at < hi),
            group,
          );
        const covered = (lo: number, hi: number) => (hi - Math.max(lo, begin)) / (hi - lo) >= 0.5;
        for (const key of ['service', 'route', 'version'] as const) {
          const rows = metricsOf(await ask(bench, `latency by ${key}, last ${range}`)).rows;
          const current = expected(from, end, (fact) => fact[key]);
          const previous = covered(from - length, from)
            ? expected(from - length, from, (fact) => fact[key])
            : new Map();
          const dayBefore =
            length < 24 * hour && covered(from - 24 * hour, end - 24 * hour)
              ? expected(from - 24 * hour, end - 24 * hour, (fact) => fact[key])
              : new Map();
          expect(rows.map((row) => row[key]).toSorted()).toEqual(
            [...new Set([...current.keys(), ...previous.keys()])].toSorted(),
          );
          for (const row of rows) {
            const name = row[key] as string;
            checkNumbers(row, current.get(name) ?? []);
            const wanted = [
              ...(previous.has(name) ? ['previous_window'] : []),
              ...(dayBefore.has(name) ? ['day_before'] : []),
            ];
            const given = row.baseline === 'no baseline' ? [] : (row.baseline as Baseline[]);
            expect(given.map((one) => one.kind)).toEqual(wanted);
            for (const one of given) checkNumbers(one, (one.kind === 'day_before' ? dayBefore : previous).get(name));
          }
        }
      }
    }
  });

  function checkNumbers(
    given: Pick<Baseline, 'requests' | 'error_rate' | 'p50_ms' | 'p95_ms' | 'p99_ms'>,
    facts: readonly { ms: number[]; errors: number }[],
  ): void {
    const values = facts.flatMap((fact) => fact.ms).toSorted((a, b) => a - b);
    const errors = facts.reduce((sum, fact) => sum + fact.errors, 0);
    expect(given.requests).toBe(values.length);
    expect(given.error_rate).toBeCloseTo(values.length === 0 ? 0 : errors / values.length, 5);
    const exact = (p: number): number => values[Math.ceil(p * values.length) - 1] ?? 0;
    for (const [p, value] of [
      [0.5, given.p50_ms],
      [0.95, given.p95_ms],
      [0.99, given.p99_ms],
    ] as const) {
      expect(value === null).toBe(values.length === 0);
      expect(Math.abs((value ?? 0) - exact(p))).toBeLessThanOrEqual(0.011 * exact(p) + 1e-9);
    }
  }
});
