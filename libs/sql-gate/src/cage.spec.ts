import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { CoralError } from '@coral/errors';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCaged, type CagedQuery } from './cage.js';

let directory: string;
let snapshot: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coral-cage-'));
  snapshot = join(directory, 'snapshot.duckdb');
  const instance = await DuckDBInstance.create(snapshot);
  const connection = await instance.connect();
  await connection.run(`CREATE TABLE spans AS
    SELECT ['checkout', 'payment'][1 + i % 2] AS service, i * 1000000::BIGINT AS duration_ns,
           TIMESTAMP '2026-11-21 10:00:00' + INTERVAL (i) SECOND AS start_time,
           '{"http.route": "/pay", "n": ' || i || '}' AS attributes
    FROM range(1000) t(i)`);
  await connection.run(`CREATE TABLE secrets AS SELECT 'canary-7f3a' AS value`);
  connection.closeSync();
  instance.closeSync();
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function run(sql: string, more: Partial<CagedQuery> = {}): Promise<Awaited<ReturnType<typeof runCaged>>> {
  return runCaged({ snapshot, views: ['spans'], sql, maxRows: 100, maxBytes: 100_000, timeoutMs: 5_000, ...more });
}

async function reasonOf(work: Promise<unknown>): Promise<string> {
  const thrown: unknown = await work.then(
    () => 'accepted',
    (error: unknown) => error,
  );
  return thrown instanceof CoralError ? thrown.reason : String(thrown);
}

describe('legitimate SQL', () => {
  it('answers an incident question with columns, types and rows', async () => {
    const result = await run(
      `SELECT service, count(*) AS n, quantile_cont(duration_ns / 1e6, 0.95) AS p95_ms
       FROM spans WHERE attributes->>'http.route' = '/pay' GROUP BY ALL ORDER BY service`,
    );
    expect(result.columns.map((column) => column.name)).toEqual(['service', 'n', 'p95_ms']);
    expect(result.rows.map((row) => row[0])).toEqual(['checkout', 'payment']);
    expect(Number(result.rows[0]?.[2])).toBeCloseTo(948.1, 1);
    expect(result.truncated).toBe(false);
  });

  it.each([
    ['WITH slow AS (SELECT * FROM spans WHERE duration_ns > 9e8) SELECT count(*) FROM slow', '99'],
    [
      'SELECT time_bucket(INTERVAL 5 MINUTE, start_time) AS t, max(duration_ns) FROM spans GROUP BY t ORDER BY t LIMIT 1',
      '2026-11-21',
    ],
    [
      'SELECT service FROM spans QUALIFY row_number() OVER (PARTITION BY service ORDER BY duration_ns DESC) = 1 ORDER BY 1',
      'checkout',
    ],
    [
      "SELECT date_trunc('minute', start_time), count(*) FILTER (WHERE service = 'payment') FROM spans GROUP BY 1 ORDER BY 1 LIMIT 1",
      '30',
    ],
    [
      "SELECT coalesce(nullif(service, 'x'), 'y'), CAST(duration_ns AS DOUBLE) FROM spans WHERE service LIKE 'che%' OR service ILIKE 'PAY%' LIMIT 1",
      'checkout',
    ],
    ["SELECT json_extract_string(attributes, '$.n')::INT AS n FROM spans ORDER BY n DESC LIMIT 1", '999'],
    ['SELECT * FROM (SELECT 1 AS a UNION ALL SELECT 2) ORDER BY a', '1'],
    ['FROM spans LIMIT 1', 'checkout'],
    ['DESCRIBE spans', 'duration_ns'],
    ['SHOW TABLES', 'spans'],
  ])('accepts %s', async (sql, expected) => {
    expect(JSON.stringify((await run(sql)).rows)).toContain(expected);
  });

  it('stops at the row cap and at the byte cap and says so', async () => {
    const byRows = await run('SELECT service FROM spans', { maxRows: 7 });
    expect([byRows.rows.length, byRows.truncated]).toEqual([7, true]);
    const byBytes = await run('SELECT service FROM spans', { maxBytes: 130 });
    expect(byBytes.truncated).toBe(true);
    expect(Buffer.byteLength(JSON.stringify(byBytes.rows))).toBeLessThanOrEqual(131);
  });

  it('names the column that does not exist', async () => {
    await expect(run('SELECT latency FROM spans')).rejects.toMatchObject({
      reason: 'sql_invalid',
      message: expect.stringContaining('latency'),
    });
    await expect(run('SELECT FROM WHERE')).rejects.toMatchObject({
      reason: 'sql_invalid',
      message: expect.stringContaining('character'),
    });
  });
});

describe('the cage', () => {
  const escapes = readFile(join(import.meta.dirname, '../testdata/escapes.txt'), 'utf8').then((text) =>
    text.split('\n').filter((line) => line !== '' && !line.startsWith('#')),
  );

  it('refuses every known way out, and the file is untouched', { timeout: 180_000 }, async () => {
    const before = createHash('sha256')
      .update(await readFile(snapshot))
      .digest('hex');
    const accepted: string[] = [];
    const statements = await escapes;
    const workers = [0, 1, 2].map(async (offset) => {
      for (let i = offset; i < statements.length; i += 3) {
        const sql = statements[i] as string;
        const reason = await reasonOf(run(sql));
        if (reason !== 'sql_refused' && reason !== 'sql_invalid') accepted.push(`${reason}: ${sql}`);
      }
    });
    await Promise.all(workers);
    expect(accepted).toEqual([]);
    expect(statements.length).toBeGreaterThan(200);
    expect(
      createHash('sha256')
        .update(await readFile(snapshot))
        .digest('hex'),
    ).toBe(before);
  });

  it('says what is refused, where, and what may be read', async () => {
    await expect(run('SELECT * FROM secrets')).rejects.toMatchObject({
      kind: 'invalid_argument',
      reason: 'sql_refused',
      where: 'sql, character 15',
      next: 'Read from: spans.',
    });
  });

  it('kills a statement at its deadline', async () => {
    const reason = await reasonOf(
      run(
        'SELECT count(*) FROM spans a, spans b, spans c, spans d WHERE a.duration_ns + b.duration_ns + c.duration_ns > d.duration_ns',
        { timeoutMs: 300 },
      ),
    );
    expect(reason).toBe('sql_too_slow');
  });

  it('stops a statement that eats memory', async () => {
    const sql = `SELECT string_agg(a.attributes || b.attributes || c.attributes, '') FROM spans a, spans b, spans c`;
    expect(['sql_too_large', 'sql_too_slow']).toContain(await reasonOf(run(sql, { timeoutMs: 8_000 })));
  });

  it('refuses text over its size before parsing it', async () => {
    expect(await reasonOf(run(`SELECT ${'1,'.repeat(20_000)}1`))).toBe('sql_refused');
    expect(await reasonOf(run(`SELECT ${'NOT '.repeat(5_000)}true`))).toMatch(/sql_(refused|invalid)/);
  });

  it('dies with the caller', async () => {
    const caller = new AbortController();
    const work = reasonOf(
      run('SELECT count(*) FROM spans a, spans b, spans c', { signal: caller.signal, timeoutMs: 60_000 }),
    );
    caller.abort();
    expect(await work).toBe('cancelled');
  });
});
