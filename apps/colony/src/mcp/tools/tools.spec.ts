import { describe, expect, it } from 'vitest';
import { CoralError } from '@coral/errors';
import type { AgentId } from '@coral/model';
import { toolNames, type GetHealthData, type GetTopologyData, type ServiceHealth } from '@coral/tools';
import type { AgentCaller, LiveAnswer } from '../../telemetry/agents.js';
import { toDot } from '../../telemetry/graphviz.js';
import { answeredBy, Bench, callAt, times, windowAt } from '../../telemetry/testing/fixture.js';
import { createToolHandlers } from './index.js';

const noon = Date.parse('2026-05-04T12:00:00Z');
const minute = 60_000;
const hour = 60 * minute;

describe('createToolHandlers', () => {
  it('has a handler for every tool, under its own name', async () => {
    await using bench = await Bench.open(noon);
    const agentCaller: AgentCaller = { runQuery: () => Promise.reject(new Error('unused')) };
    const handlers = createToolHandlers({
      store: bench.store,
      clock: bench.clock,
      agents: { list: () => [] },
      agentCaller,
    });
    expect([...handlers.keys()].toSorted()).toEqual(toolNames.toSorted());
    expect([...handlers].every(([name, handler]) => handler.name === name)).toBe(true);
  });
});

describe('coral_get_topology', () => {
  async function shop(): Promise<Bench> {
    const bench = await Bench.open(noon);
    bench.addAgent('web-1', ['web']);
    const at = noon - minute;
    await bench.push('web-1', {
      windows: [windowAt(at, { service: 'web' }), windowAt(at, { service: 'cron' }), windowAt(at)],
      edges: [
        callAt(at - 10 * minute, 'web', 'cart:80', { ms: times(5, 20) }),
        callAt(at, 'web', '10.1.1.1:80', { ms: times(7, 20), errors: 6 }),
        callAt(at, 'cart', 'db:5432', { kind: 2, system: 'postgresql', name: 'orders', ms: [5] }),
        callAt(at, 'cart', 'mq:5672', { kind: 3, system: 'rabbitmq', name: 'mails' }),
        callAt(at, 'cart', 'bank.example:443'),
      ],
      links: [...answeredBy(1, 'web', 'cart:80', 'cart', at), ...answeredBy(2, 'web', '10.1.1.1:80', 'cart', at)],
    });
    return bench;
  }

  it('joins the addresses of one service into one edge, and knows databases, queues and strangers apart', async () => {
    await using bench = await shop();
    const answer = await bench.call('coral_get_topology', {});
    const data = answer.data as GetTopologyData & { format: 'json' };
    expect(data.nodes.map((node) => [node.id, node.kind])).toEqual([
      ['cart', 'service'],
      ['cron', 'service'],
      ['http@bank.example:443', 'external'],
      ['postgresql:orders@db:5432', 'database'],
      ['rabbitmq:mails@mq:5672', 'queue'],
      ['web', 'service'],
    ]);
    expect(data.edges[0]).toMatchObject({
      from: 'web',
      to: 'cart',
      requests: 12,
      error_rate: 0.5,
      first_seen: '2026-05-04T11:49:00.000Z',
      last_seen: '2026-05-04T11:59:10.000Z',
    });
    expect(data.edges).toHaveLength(4);
    expect(answer.coverage.answered).toEqual(['agt-web-1 (web-1)']);
  });

  it('is no_data for a window without anything, and refuses a time range that is none', async () => {
    await using bench = await Bench.open(noon);
    expect(await bench.call('coral_get_topology', {})).toMatchObject({ status: 'no_data', data: { nodes: [] } });
    await expect(bench.call('coral_get_topology', { time_range: 'soon' })).rejects.toMatchObject({
      kind: 'invalid_argument',
      reason: 'bad_time_range',
      where: 'time_range',
    });
  });

  it('draws the graph', async () => {
    await using bench = await shop();
    const { data } = await bench.call('coral_get_topology', { format: 'graphviz' });
    const { text } = data as GetTopologyData & { format: 'graphviz' };
    expect(text).toContain('"cart" -> "postgresql:orders@db:5432"');
    expect(text).toContain('shape=cylinder');
    expect(statements(text)).toHaveLength(4 + 6 + 4 - 1);
  });

  it('lets no name out of its quotes', () => {
    const evil = ['a"; b', 'x\\', 'y\\" -> z', '\n} digraph {', '<b>&amp;</b>', '\\N\\G', 'ü\u2028v\u0000w'];
    const nodes = evil.map((id) => ({ id, kind: 'service' as const, name: id }));
    const edge = {
      requests: 1,
      requests_per_s: 1,
      error_rate: 0,
      p50_ms: 1,
      p95_ms: 1,
      first_seen: '',
      last_seen: '',
    };
    const text = toDot(
      nodes,
      evil.map((id) => ({ ...edge, from: id, to: evil[0] as string })),
    );
    // Once every quoted string is taken out, only the skeleton is left: nothing escaped.
    const skeleton = text.replaceAll(/"(?:[^"\\]|\\.)*"/gs, 'S');
    expect(new Set(skeleton.trim().split('\n'))).toEqual(
      new Set(['digraph topology {', '  rankdir=LR;', '  S [label=S, shape=box];', '  S -> S [label=S];', '}']),
    );
    expect(text).toContain(String.raw`"y\\\" -> z"`);
  });
});

/** DOT statements by line. */
function statements(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

describe('coral_query_events', () => {
  const seen = (service: string, version: string, at: number) => ({
    service,
    version,
    instance: `${service}-${version}`,
    host: 'h',
    firstSeenMs: at,
    lastSeenMs: at,
  });

  it('filters by type, service and time, newest first', async () => {
    await using bench = await Bench.open(noon);
    await bench.push('web-1', {
      sightings: [
        seen('a', '1', noon - 90 * hour),
        seen('a', '2', noon - 30 * hour),
        seen('a', '3', noon - hour),
        seen('b', '1', noon - 90 * hour),
        seen('b', '2', noon - 2 * hour),
      ],
    });
    const versions = async (args: Record<string, unknown>) => {
      const { data } = await bench.call('coral_query_events', args);
      return (data as { events: { service: string; version?: string }[] }).events.map(
        (e) => `${e.service}${e.version}`,
      );
    };
    expect(await versions({})).toEqual(['a3', 'b2']);
    expect(await versions({ time_range: '7d' })).toEqual(['a3', 'b2', 'a2']);
    expect(await versions({ service: 'B' })).toEqual(['b2']);
    expect(await versions({ event_type: 'restart' })).toEqual([]);
    await expect(versions({ service: 'c' })).rejects.toMatchObject({ kind: 'not_found', reason: 'unknown_service' });
  });

  it('tells nothing happened from nothing known', async () => {
    await using bench = await Bench.open(noon);
    expect(await bench.call('coral_query_events', {})).toMatchObject({ status: 'no_data' });
    await bench.push('web-1', { windows: [windowAt(noon - hour)] });
    expect(await bench.call('coral_query_events', {})).toMatchObject({
      status: 'ok',
      window: { from: '2026-05-04T11:00:00.000Z' },
      notes: [expect.stringContaining('observation begins at') as string],
    });
  });
});

describe('coral_get_health', () => {
  const judged = async (bench: Bench, args: Record<string, unknown> = {}): Promise<Record<string, ServiceHealth>> => {
    const { services } = (await bench.call('coral_get_health', args)).data as GetHealthData;
    return Object.fromEntries(services.map((service) => [service.service, service]));
  };

  it('compares the last minute with the ten before', async () => {
    await using bench = await Bench.open(noon);
    const windows = [];
    for (let i = 1; i <= 66; i += 1) {
      const at = noon - i * 10_000;
      const recent = i <= 6;
      windows.push(windowAt(at, { service: 'fine', ms: times(5, 50) }));
      windows.push(windowAt(at, { service: 'slow', ms: times(5, recent ? 200 : 50) }));
      windows.push(windowAt(at, { service: 'failing', ms: times(5, 50), errors: recent ? 1 : 0 }));
      windows.push(windowAt(at, { service: 'broken', ms: times(5, 50), errors: recent ? 4 : 0 }));
      windows.push(windowAt(at, { service: 'rare', ms: recent && i % 3 > 0 ? [] : [50] }));
      if (!recent) windows.push(windowAt(at, { service: 'quiet' }));
      if (!recent) windows.push(windowAt(at, { service: 'dead' }));
    }
    const edges = [callAt(noon - 20_000, 'fine', 'dead:80', { ms: times(12, 1), errors: 12 })];
    await bench.push('web-1', { windows, edges, links: answeredBy(1, 'fine', 'dead:80', 'dead', noon - 5 * minute) });
    const health = await judged(bench);
    expect(Object.fromEntries(Object.values(health).map((h) => [h.service, h.status]))).toEqual({
      fine: 'healthy',
      slow: 'degraded',
      failing: 'degraded',
      broken: 'down',
      rare: 'unknown',
      quiet: 'unknown',
      dead: 'down',
    });
    expect(health['slow']).toMatchObject({ requests_per_s: 0.5, reference: { from: '2026-05-04T11:49:00.000Z' } });
    expect(health['slow']?.reason).toMatch(/p95 (199|200|201|202) ms against (50|49\.\d|50\.\d) ms before/);
    expect(health['dead']?.reason).toContain('12 calls, 100 % failed');
    expect(Object.keys(await judged(bench, { service_filter: 'FA*' }))).toEqual(['failing']);
    await expect(judged(bench, { service_filter: 'dea' })).rejects.toMatchObject({ reason: 'unknown_service' });
  });

  it('is never healthy without data', async () => {
    await using bench = await Bench.open(noon);
    const agent = bench.addAgent('web-1', ['cart']);
    const empty = await bench.call('coral_get_health', {});
    expect(empty).toMatchObject({ status: 'no_data', data: { services: [] } });
    expect(empty.notes[0]).toContain('no data');
    for (let i = 1; i <= 30; i += 1)
      await bench.push('web-1', { windows: [windowAt(noon - i * 10_000, { ms: times(9, 50) })] });
    expect((await judged(bench))['cart']?.status).toBe('healthy');
    bench.clock.advance(3 * minute);
    const after = (await judged(bench))['cart'];
    expect(after?.status).toBe('unknown');
    expect(after?.reason).toContain(`silent agent ${agent.agentId} (web-1)`);
  });
});

describe('coral_fetch_live', () => {
  const answer: LiveAnswer = {
    columns: [{ name: 'n', type: 'BIGINT' }],
    rows: [[7]],
    truncated: true,
    asOf: noon - 1_000,
    oldest: noon - 5 * minute,
  };
  const args = { agent_id: 'agt-web-1', sql_query: 'SELECT count(*) AS n FROM spans' };

  it('asks one agent and says from when to when its answer is', async () => {
    await using bench = await Bench.open(noon);
    bench.addAgent('web-1');
    const asked: unknown[] = [];
    const agentCaller: AgentCaller = {
      runQuery: (agentId, sql, limits) => {
        asked.push([agentId, sql, limits.maxRows > 0 && limits.maxBytes > 0 && limits.timeoutMs > 0]);
        return Promise.resolve(answer);
      },
    };
    const result = await bench.call('coral_fetch_live', args, { agentCaller });
    expect(asked).toEqual([['agt-web-1', args.sql_query, true]]);
    expect(result).toMatchObject({
      data: {
        kind: 'table',
        columns: answer.columns,
        rows: [[7]],
        agent_id: 'agt-web-1',
        as_of: '2026-05-04T11:59:59.000Z',
      },
      window: { from: '2026-05-04T11:55:00.000Z', to: '2026-05-04T11:59:59.000Z' },
      freshness: { age_ms: 1_000 },
      coverage: { asked: 1, answered: ['agt-web-1 (web-1)'] },
      truncation: { truncated: true },
    });
  });

  it('lists the agents that the caller may ask when the id is none of them', async () => {
    await using bench = await Bench.open(noon);
    const own = bench.addAgent('web-1');
    bench.addAgent('secret-1');
    const agents = { list: () => bench.agents, visibleTo: () => [own] };
    for (const agent_id of ['agt-web-2', 'agt-secret-1', 'web-1']) {
      const failed = bench.call('coral_fetch_live', { ...args, agent_id }, { agents });
      await expect(failed).rejects.toMatchObject({ kind: 'not_found', reason: 'unknown_agent', where: 'agent_id' });
      await expect(failed).rejects.toThrow('agt-web-1 (web-1)');
      await expect(failed).rejects.not.toThrow('Agents you may ask: agt-secret-1');
    }
  });

  it('names the agent that cannot be reached, and passes on what its gate says', async () => {
    await using bench = await Bench.open(noon);
    bench.addAgent('web-1');
    const failing = (kind: 'unavailable' | 'deadline_exceeded' | 'invalid_argument', reason: string) => ({
      agentCaller: { runQuery: () => Promise.reject(new CoralError({ kind, reason, message: 'x' })) },
    });
    for (const [kind, reason] of [
      ['unavailable', 'mesh_refused'],
      ['deadline_exceeded', 'deadline'],
    ] as const) {
      const unreachable = bench.call('coral_fetch_live', args, failing(kind, reason));
      await expect(unreachable).rejects.toMatchObject({ kind: 'unavailable', reason: 'agent_unreachable' });
      await expect(unreachable).rejects.toThrow('agt-web-1 (web-1)');
    }
    for (const [kind, reason] of [
      ['invalid_argument', 'sql_refused'],
      ['deadline_exceeded', 'sql_too_slow'],
      ['unavailable', 'snapshot_failed'],
    ] as const) {
      const told = bench.call('coral_fetch_live', args, failing(kind, reason));
      await expect(told).rejects.toMatchObject({ kind, reason });
    }
  });

  it('is no_data when the agent holds no spans', async () => {
    await using bench = await Bench.open(noon);
    bench.addAgent('web-1');
    const agentCaller: AgentCaller = {
      runQuery: () => Promise.resolve({ ...answer, rows: [], truncated: false, oldest: 0 }),
    };
    const result = await bench.call('coral_fetch_live', { ...args, agent_id: 'agt-web-1' as AgentId }, { agentCaller });
    expect(result).toMatchObject({ status: 'no_data', freshness: { newest: null } });
  });
});
