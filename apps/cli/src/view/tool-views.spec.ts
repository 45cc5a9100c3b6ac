import type {
  FetchLiveData,
  GetHealthData,
  GetTopologyData,
  MetricRow,
  QueryData,
  QueryEventsData,
} from '@coral/tools';
import { describe, expect, it } from 'vitest';
import { eventsView } from './events-view.js';
import { healthView } from './health-view.js';
import { agentTable, leaseTable } from './lists-view.js';
import { liveView } from './live-view.js';
import { queryView } from './query-view.js';
import { topologyView } from './topology-view.js';
import { envelopeOf as envelope } from '../testing/envelopes.js';

const row: MetricRow = {
  service: 'checkout',
  route: 'POST /pay',
  requests: 44_280,
  requests_per_s: 12.3,
  errors: 177,
  error_rate: 0.004,
  p50_ms: 35.1,
  p95_ms: 450.2,
  p99_ms: 601.34,
  max_ms: 912,
};

function golden(lines: string[]): string {
  expect(Math.max(...lines.map((line) => [...line].length))).toBeLessThanOrEqual(80);
  return `\n${lines.join('\n')}\n`;
}

describe('views at 80 columns', () => {
  it('shows each number with what it was before', () => {
    const { max_ms: _max, errors: _errors, ...rest } = row;
    const before = { ...rest, p50_ms: 34, p95_ms: 150.1, p99_ms: 170 };
    const data: QueryData = {
      kind: 'metrics',
      canonical: 'latency of checkout by route, last 1h',
      rows: [
        {
          ...row,
          baseline: [
            { kind: 'previous_window', ...before },
            { kind: 'day_before', ...before, p95_ms: null },
          ],
        },
        { ...row, route: 'GET /cart', baseline: 'no baseline' },
      ],
    };
    expect(golden(queryView(envelope(data), 80))).toMatchInlineSnapshot(`
      "
      latency of checkout by route, last 1h
      2026-11-21 10:00:00 to 11:00:00 UTC (1h) · newest 3s ago

      SERVICE          ROUTE      REQ/S  ERRORS  P50 ms  P95 ms  P99 ms  MAX ms
      checkout         POST /pay   12.3  0.40 %    35.1     450     601     912
        just before                12.3  0.40 %      34     150     170
        a day earlier              12.3  0.40 %      34       –     170
      checkout         GET /cart   12.3  0.40 %    35.1     450     601     912
        no baseline
      "
    `);
  });

  it('shows steps of time without a baseline', () => {
    const { route: _route, ...step } = row;
    const data: QueryData = {
      kind: 'metrics',
      canonical: 'traffic of checkout by time',
      step_ms: 60_000,
      rows: [{ ...step, start: '2026-11-21T10:00:00.000Z' }],
    };
    expect(golden(queryView(envelope(data), 80))).toMatchInlineSnapshot(`
      "
      traffic of checkout by time
      2026-11-21 10:00:00 to 11:00:00 UTC (1h) · newest 3s ago

      START                SERVICE   REQ/S  ERRORS  P50 ms  P95 ms  P99 ms  MAX ms
      2026-11-21 10:00:00  checkout   12.3  0.40 %    35.1     450     601     912
      "
    `);
  });

  it('names silent agents, truncation and notes under the rows', () => {
    const data: QueryData = {
      kind: 'table',
      columns: [
        { name: 'n', type: 'BIGINT' },
        { name: 'who', type: 'VARCHAR' },
      ],
      rows: [
        [7, 'a\u001b[31mb'],
        [null, { x: 1 }],
      ],
    };
    const text = golden(
      queryView(
        envelope(data, {
          coverage: { asked: 3, answered: ['agt-a'], late: ['agt-b'], silent: ['agt-c (payment-host)'], denied: [] },
          truncation: { truncated: true, note: '2 of 900 rows; add a WHERE clause' },
          notes: ['clock of agt-a is 40 s ahead'],
        }),
        80,
      ),
    );
    expect(text).toMatchInlineSnapshot(`
      "
      2026-11-21 10:00:00 to 11:00:00 UTC (1h) · newest 3s ago

      n  who
      7  a␛[31mb
      –  {"x":1}

      Partial: 1 of 3 agents answered; silent: agt-c (payment-host); late: agt-b.
      Truncated: 2 of 900 rows; add a WHERE clause
      clock of agt-a is 40 s ahead
      "
    `);
  });

  it('tells no data from nothing visible', () => {
    const data: QueryData = { kind: 'metrics', canonical: 'latency', rows: [] };
    const empty = { newest: null, age_ms: null };
    expect(golden(queryView(envelope(data, { status: 'no_data', freshness: empty }), 80))).toMatchInlineSnapshot(`
      "
      latency
      2026-11-21 10:00:00 to 11:00:00 UTC (1h) · no datum

      No data: nothing was recorded for this question in this window.
      "
    `);
    expect(queryView(envelope(data, { status: 'nothing_visible' }), 80).join('\n')).toContain('Nothing visible');
    const told = eventsView(envelope({ events: [] }, { status: 'no_data', notes: ['no data: no agent yet'] }), 80);
    expect(told.slice(2)).toEqual(['no data: no agent yet']);
    expect(eventsView(envelope({ events: [] }), 80).at(-1)).toBe('No events.');
  });

  it('lists events, and cuts a long one instead of breaking the table', () => {
    const data: QueryEventsData = {
      events: [
        {
          at: '2026-11-21T10:30:00.000Z',
          type: 'deploy',
          service: 'payment',
          summary: `payment 1.4.0 → 1.5.0 ${'and more '.repeat(9)}`,
        },
        { at: '2026-11-21T10:31:00.000Z', type: 'restart', service: 'web', summary: 'web restarted' },
      ],
    };
    expect(golden(eventsView(envelope(data), 80))).toMatchInlineSnapshot(`
      "
      2026-11-21 10:00:00 to 11:00:00 UTC (1h) · newest 3s ago

      WHEN (UTC)           TYPE     SERVICE  WHAT
      2026-11-21 10:30:00  deploy   payment  payment 1.4.0 → 1.5.0 and more and more …
      2026-11-21 10:31:00  restart  web      web restarted
      "
    `);
  });

  it('puts the worst service first', () => {
    const at = { last_seen: null, requests_per_s: 3, error_rate: 0, p95_ms: 12.25, reference: null };
    const data: GetHealthData = {
      services: [
        { service: 'catalogue', status: 'healthy', reason: 'p95 12.2 ms, as before', ...at },
        { service: 'payment', status: 'degraded', reason: 'p95 450 ms is 3.0 times the 150 ms before', ...at },
        { service: 'ledger', status: 'down', reason: 'no request answered for 5m', ...at, p95_ms: null },
      ],
    };
    expect(golden(healthView(envelope(data), 80))).toMatchInlineSnapshot(`
      "
      2026-11-21 10:00:00 to 11:00:00 UTC (1h) · newest 3s ago

      STATUS    SERVICE    REQ/S  ERRORS  P95 ms  WHY
      down      ledger         3     0 %       –  no request answered for 5m
      degraded  payment        3     0 %    12.3  p95 450 ms is 3.0 times the 150 ms …
      healthy   catalogue      3     0 %    12.3  p95 12.2 ms, as before
      "
    `);
  });

  it('shows who calls whom, and prints graphviz ready for dot', () => {
    const data: GetTopologyData = {
      format: 'json',
      nodes: ['web', 'checkout', 'idle'].map((id) => ({ id, kind: 'service', name: id })),
      edges: [
        {
          from: 'web',
          to: 'checkout',
          requests: 10,
          requests_per_s: 0.25,
          error_rate: 0.5,
          p50_ms: 1,
          p95_ms: 1_234.5,
          first_seen: '2026-11-21T10:00:00.000Z',
          last_seen: '2026-11-21T10:59:00.000Z',
        },
      ],
    };
    expect(golden(topologyView(envelope(data), 80))).toMatchInlineSnapshot(`
      "
      2026-11-21 10:00:00 to 11:00:00 UTC (1h) · newest 3s ago

      FROM  TO        REQ/S  ERRORS  P50 ms  P95 ms
      web   checkout   0.25    50 %       1    1235

      WITHOUT CALLS
      idle
      "
    `);
    const dot = envelope<GetTopologyData>({ format: 'graphviz', text: 'digraph {\n}\n' }, { notes: ['young data'] });
    expect(topologyView(dot, 80)).toEqual(['// young data', 'digraph {', '}']);
  });

  it('shows rows of one agent with its name and time', () => {
    const data: FetchLiveData = {
      kind: 'table',
      agent_id: 'agt-a',
      as_of: '2026-11-21T10:59:58.000Z',
      columns: [
        { name: 'route', type: 'VARCHAR' },
        { name: 'n', type: 'BIGINT' },
      ],
      rows: [['POST /pay', 12]],
    };
    expect(golden(liveView(envelope(data), 80))).toMatchInlineSnapshot(`
      "
      agent agt-a, as of 2026-11-21 10:59:58 UTC
      2026-11-21 10:00:00 to 11:00:00 UTC (1h) · newest 3s ago

      route       n
      POST /pay  12
      "
    `);
  });

  it('lists leases as RFD 028 does', () => {
    const now = Date.parse('2026-11-21T11:00:00Z');
    const at = (seconds: number) => new Date(now + seconds * 1_000);
    const lines = leaseTable(
      [
        { agentId: 'eph-abc123', userId: 'alex', createdAt: at(-120), expiresAt: at(180), purpose: 'coral ask' },
        { agentId: 'eph-def456', userId: 'jordan', createdAt: at(-30), expiresAt: at(270.4), purpose: 'coral proxy' },
      ],
      now,
      80,
    );
    expect(golden(lines)).toBe(`
Agent ID                 User        Created   Expires   Purpose
eph-abc123               alex        2m ago    3m        coral ask
eph-def456               jordan      30s ago   4m30s     coral proxy
`);
  });

  it('lists agents with owner and labels', () => {
    const now = Date.parse('2026-11-21T11:00:00Z');
    const agent = {
      agentId: 'agt-x',
      name: 'pay',
      owner: 'group:payments',
      labels: { zone: 'a' },
      services: ['payment'],
    };
    const lines = agentTable([{ ...agent, enrolledAt: undefined, lastSeenAt: new Date(now - 4_000) }], now, 80);
    expect(golden(lines)).toMatchInlineSnapshot(`
      "
      Agent ID  Name  Owner           Last seen  Services  Labels
      agt-x     pay   group:payments  4s ago     payment   zone=a
      "
    `);
  });
});
