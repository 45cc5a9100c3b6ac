import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { describe, expect, it } from 'vitest';
import { readRequest } from '../ingest/request-reader.js';
import { exportJson, FakeClock, LogBook, scratch, testConfig } from '../spec-support/fixtures.js';
import { SpanStore } from '../store/span-store.js';
import { Snapshots, type Snapshot } from './snapshots.js';

async function setUp(path: string) {
  const config = testConfig(path, { limits: { min_free_disk: '0B' } });
  const clock = new FakeClock();
  const { log } = new LogBook();
  const store = await SpanStore.open({ ...config, directory: join(path, 'spans'), clock, log });
  const snapshots = await Snapshots.open(path, store, config.retention.hot_window, clock);
  const commit = async (many: number) => {
    const body = exportJson(
      { 'service.name': 'cart' },
      Array.from({ length: many }, () => ({ endMs: clock.now() })),
    );
    const reading = readRequest('traces', 'json', Buffer.from(JSON.stringify(body)), clock.now(), config.limits);
    await store.commit({ spans: reading.spans, logs: [], metrics: [] });
  };
  return { clock, store, snapshots, commit, files: () => readdir(join(path, 'query')) };
}

/** As the cage does: another engine, read-only. */
async function count({ path }: Snapshot): Promise<number> {
  const instance = await DuckDBInstance.create(path, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  const found = await connection.runAndReadAll('SELECT count(*) FROM spans');
  connection.closeSync();
  instance.closeSync();
  return Number(found.getRows()[0]?.[0]);
}

describe('Snapshots', () => {
  it('hold everything committed in the hot window and nothing older', async () => {
    await using home = await scratch();
    const { clock, store, snapshots, commit } = await setUp(home.path);
    const begun = clock.now();
    await commit(3);
    clock.advance(6 * 60_000);
    await commit(2);
    expect(await snapshots.use(async (snapshot) => [await count(snapshot), snapshot.oldestMs])).toEqual([5, begun]);
    clock.advance(5 * 60_000);
    expect(await snapshots.use(count)).toBe(2);
    clock.advance(60 * 60_000);
    expect(await snapshots.use(async (snapshot) => [await count(snapshot), snapshot.oldestMs])).toEqual([0, 0]);
    await store.close();
  });

  it('serve everybody for a second, and stay while somebody reads them', async () => {
    await using home = await scratch();
    const { clock, store, snapshots, commit, files } = await setUp(home.path);
    await commit(1);
    const leave = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<Snapshot>();
    const reading = snapshots.use(async (snapshot) => {
      entered.resolve(snapshot);
      await leave.promise;
      return count(snapshot);
    });
    const first = await entered.promise;
    await commit(1);
    clock.advance(900);
    expect(await Promise.all([snapshots.use(async (one) => one.path), snapshots.use(async (one) => one.path)])).toEqual(
      [first.path, first.path],
    );
    clock.advance(200);
    expect(await Promise.all([snapshots.use(count), snapshots.use(count), snapshots.use(count)])).toEqual([2, 2, 2]);
    expect(await files()).toHaveLength(2);
    leave.resolve();
    expect(await reading).toBe(1);
    expect(await files()).toEqual(['snapshot-2.duckdb']);
    await store.close();
  });

  it('that cannot be made are unavailable, and the next one is tried', async () => {
    await using home = await scratch();
    const { store, snapshots, commit } = await setUp(home.path);
    await commit(1);
    await store.close();
    await expect(snapshots.use(count)).rejects.toMatchObject({ kind: 'unavailable', reason: 'snapshot_failed' });
    await expect(snapshots.use(count)).rejects.toMatchObject({ kind: 'unavailable', reason: 'snapshot_failed' });
  });
});
