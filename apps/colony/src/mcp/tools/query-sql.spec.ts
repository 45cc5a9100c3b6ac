import { describe, expect, it } from 'vitest';
import type { TableData } from '@coral/tools';
import { answeredBy, Bench, callAt, times, windowAt } from '../../telemetry/testing/fixture.js';

const noon = Date.parse('2026-05-04T12:00:00Z');
const minute = 60_000;

async function filled(): Promise<Bench> {
  const bench = await Bench.open(noon);
  bench.addAgent('web-1');
  const at = noon - 5 * minute;
  const seen = { service: 'cart', instance: 'a', host: 'h', firstSeenMs: noon - 9 * minute, lastSeenMs: noon };
  await bench.push('web-1', {
    windows: [windowAt(at, { ms: times(99, 40) }), windowAt(at - 10_000, { ms: [1_000], errors: 1, route: "/it's" })],
    edges: [callAt(at, 'cart', 'billing:8080', { ms: times(4, 30) })],
    links: answeredBy(1, 'cart', 'billing:8080', 'billing', at),
    sightings: [
      { ...seen, version: '1.0.0' },
      { ...seen, version: '1.1.0', instance: 'b', firstSeenMs: at },
    ],
  });
  return bench;
}
const sql = async (bench: Bench, query: string): Promise<TableData> =>
  (await bench.call('coral_query', { query })).data as TableData;

describe('coral_query, SQL', () => {
  it('reads the published views, with percentiles in each row', async () => {
    await using bench = await filled();
    const answer = await bench.call('coral_query', {
      query: `SELECT service, route, requests, errors, round(p95_ms) AS p95, window_start
              FROM service_windows ORDER BY window_start`,
    });
    expect(answer.data).toEqual({
      kind: 'table',
      columns: [
        { name: 'service', type: 'VARCHAR' },
        { name: 'route', type: 'VARCHAR' },
        { name: 'requests', type: 'BIGINT' },
        { name: 'errors', type: 'BIGINT' },
        { name: 'p95', type: 'DOUBLE' },
        { name: 'window_start', type: 'TIMESTAMP' },
      ],
      rows: [
        ['cart', "/it's", '1', '1', 1_000, '2026-05-04 11:54:50'],
        ['cart', '/pay', '99', '0', 40, '2026-05-04 11:55:00'],
      ],
    });
    expect(answer).toMatchObject({
      status: 'ok',
      window: { from: '2026-05-04T11:54:50.000Z', to: '2026-05-04T12:00:00.000Z' },
      coverage: { asked: 1, answered: ['agt-web-1 (web-1)'] },
      truncation: { truncated: false },
    });
    expect(await sql(bench, 'FROM edges SELECT service, dependency, requests')).toMatchObject({
      rows: [['cart', 'billing', '4']],
    });
    expect(await sql(bench, 'select type, previous_version, version from events')).toMatchObject({
      rows: [['deploy', '1.0.0', '1.1.0']],
    });
    expect((await sql(bench, 'SHOW TABLES')).rows.flat().toSorted()).toEqual(['edges', 'events', 'service_windows']);
    expect((await sql(bench, 'describe edges')).rows.map(([name]) => name)).toContain('dependency');
  });

  it('cuts at the row limit and says so', async () => {
    await using bench = await filled();
    const limits = { sql: { maxRows: 1, maxBytes: 10_000, timeoutMs: 5_000 } };
    const answer = await bench.call('coral_query', { query: 'SELECT route FROM service_windows' }, limits);
    expect(answer.data).toMatchObject({ rows: [[expect.any(String)]] });
    expect(answer.truncation).toMatchObject({
      truncated: true,
      note: expect.stringContaining('first 1 rows') as string,
    });
  });

  it.each([
    ['SELECT * FROM service_window', 'sql_refused'],
    ['SELECT * FROM outbox', 'sql_refused'],
    ["SELECT * FROM read_csv('/etc/passwd')", 'sql_refused'],
    ['WITH x AS (SELECT 1) SELECT * FROM x; DROP TABLE events', 'sql_refused'],
    ['SELECT nonsense FROM events', 'sql_invalid'],
  ])('refuses %s', async (query, reason) => {
    await using bench = await filled();
    await expect(bench.call('coral_query', { query })).rejects.toMatchObject({ kind: 'invalid_argument', reason });
  });
});
