import { appendFile, mkdir, open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SpanRecord } from '../ingest/records.js';
import { readRequest } from '../ingest/request-reader.js';
import { exportJson, FakeClock, LogBook, scratch, testConfig } from '../spec-support/fixtures.js';
import { SpanStore } from './span-store.js';

const minute = 60_000;

async function setUp(path: string, clock = new FakeClock(), retention: Record<string, unknown> = {}) {
  const config = testConfig(path, { retention, limits: { min_free_disk: '0B' } });
  const book = new LogBook();
  const directory = join(path, 'spans');
  const start = () => SpanStore.open({ ...config, directory, clock, log: book.log });
  const make = (many: number, name = 'work'): SpanRecord[] => {
    const spans = Array.from({ length: many }, () => ({ endMs: clock.now(), name }));
    return readRequest(
      'traces',
      'json',
      Buffer.from(JSON.stringify(exportJson({ 'service.name': 'cart' }, spans))),
      clock.now(),
      config.limits,
    ).spans;
  };
  return { directory, clock, book, start, make };
}

const batchOf = (spans: SpanRecord[]) => ({ spans, logs: [], metrics: [] });

async function count(store: SpanStore, where = 'true'): Promise<number> {
  return store.read(async (connection, files) => {
    const found = await connection.runAndReadAll(
      `SELECT count(*) FROM (${SpanStore.source('spans', '*', files)}) WHERE ${where}`,
    );
    return Number(found.getRows()[0]?.[0]);
  });
}

const named = async (directory: string, pattern: RegExp) =>
  (await readdir(directory)).filter((name) => pattern.test(name));

describe('SpanStore', () => {
  it('keeps what it committed, and numbers on where it stopped', async () => {
    await using home = await scratch();
    const { start, make } = await setUp(home.path);
    {
      await using store = await start();
      expect(await store.commit(batchOf(make(5_000)))).toEqual({ spans: 5_000, duplicates: 0 });
    }
    await using store = await start();
    expect(store.lastSeq).toBe(5_000);
    await store.commit(batchOf(make(1)));
    expect(await count(store, 'seq = 5001')).toBe(1);
    expect(await count(store)).toBe(5_001);
  });

  it('stores a span once: within a request, across restarts, and when the file has changed meanwhile', async () => {
    await using home = await scratch();
    const { start, make, clock } = await setUp(home.path);
    const spans = make(3_000);
    {
      await using store = await start();
      expect(await store.commit(batchOf([...spans, ...spans]))).toEqual({ spans: 3_000, duplicates: 3_000 });
    }
    await using store = await start();
    clock.advance(9 * minute + 59_000);
    expect(await store.commit(batchOf([...spans, ...make(1)]))).toEqual({ spans: 1, duplicates: 3_000 });
    clock.advance(minute);
    expect(await store.commit(batchOf(spans))).toEqual({ spans: 0, duplicates: 3_000 });
    expect(await count(store)).toBe(3_001);
  });

  it('begins a file every ten minutes, keeps the hot window, deletes whole files by age', async () => {
    await using home = await scratch();
    const { start, make, clock, directory } = await setUp(home.path, new FakeClock(), { max_age: '30m' });
    await using store = await start();
    for (let i = 0; i < 6; i++) {
      await store.commit(batchOf(make(10)));
      clock.advance(10 * minute);
      await store.enforceRetention(store.lastSeq);
    }
    // 60 minutes have passed; files of the last 30 are left, each with its ten spans.
    expect(await named(directory, /\.duckdb$/)).toHaveLength(3);
    expect(await count(store)).toBe(30);
  });

  it('keeps a file whose spans are not summarised yet', async () => {
    await using home = await scratch();
    const { start, make, clock } = await setUp(home.path, new FakeClock(), { max_age: '10m' });
    await using store = await start();
    await store.commit(batchOf(make(10)));
    clock.advance(60 * minute);
    await store.commit(batchOf(make(1)));
    await store.enforceRetention(9);
    expect(await count(store)).toBe(11);
    await store.enforceRetention(10);
    expect(await count(store)).toBe(1);
  });

  it('deletes the oldest files over the byte limit, never the hot window: then it refuses', async () => {
    await using home = await scratch();
    const { start, make, clock } = await setUp(home.path, new FakeClock(), { max_bytes: '1MiB' });
    await using store = await start();
    await store.commit(batchOf(make(6_000)));
    clock.advance(11 * minute);
    await store.commit(batchOf(make(20_000)));
    await store.enforceRetention(store.lastSeq);
    expect(await count(store)).toBe(20_000);
    await expect(store.commit(batchOf(make(1)))).rejects.toMatchObject({
      kind: 'resource_exhausted',
      reason: 'store_full',
    });
    clock.advance(11 * minute);
    // Nothing is hot any more, so there is room again.
    await store.enforceRetention(store.lastSeq);
    expect(await count(store)).toBe(0);
    expect(await store.commit(batchOf(make(1)))).toEqual({ spans: 1, duplicates: 0 });
  });

  it('loses nothing when the process stops between commit and anything else: the log alone is enough', async () => {
    await using home = await scratch();
    const { start, make, directory } = await setUp(home.path);
    const store = await start();
    await store.commit(batchOf(make(100)));
    // What the disk holds at this moment, as after kill -9.
    const files = await readdir(directory);
    const copy = join(home.path, 'copy', 'spans');
    await mkdir(copy, { recursive: true });
    for (const name of files) await writeFile(join(copy, name), await readFile(join(directory, name)));
    await store.close();
    const again = await setUp(join(home.path, 'copy'));
    await using restored = await again.start();
    expect(await count(restored)).toBe(100);
  });
});

describe('a damaged file', () => {
  async function leaveUnclean(path: string, spans: number) {
    const { start, make, directory, clock, book } = await setUp(path);
    const store = await start();
    await store.commit(batchOf(make(spans)));
    const wal = (await named(directory, /\.wal$/))[0] as string;
    const [log, file] = [
      await readFile(join(directory, wal)),
      await readFile(join(directory, wal.replace('.wal', ''))),
    ];
    await store.close();
    await writeFile(join(directory, wal), log);
    await writeFile(join(directory, wal.replace('.wal', '')), file);
    return {
      start,
      make,
      directory,
      clock,
      book,
      wal: join(directory, wal),
      file: join(directory, wal.replace('.wal', '')),
    };
  }

  it('whose log is broken in the middle: the log is set aside, loudly, and the agent goes on', async () => {
    await using home = await scratch();
    const { start, make, directory, book, wal } = await leaveUnclean(home.path, 500);
    const { size } = await stat(wal);
    await using handle = await open(wal, 'r+');
    await handle.write(Buffer.alloc(64, 0xee), 0, 64, Math.floor(size / 2));
    await handle.close();
    await using store = await start();
    expect(await named(directory, /^\.damaged-.*\.wal$/)).toHaveLength(1);
    expect(book.of('data_loss')).toHaveLength(1);
    expect(store.takeLosses()).toEqual([
      { what: 'damaged write-ahead log', file: expect.stringContaining('.damaged-') },
    ]);
    expect(await store.commit(batchOf(make(3)))).toEqual({ spans: 3, duplicates: 0 });
    expect(await count(store)).toBe(3);
  });

  it('whose log lacks its last bytes opens with what was whole', async () => {
    await using home = await scratch();
    const { start, wal, book } = await leaveUnclean(home.path, 500);
    await truncate(wal, (await stat(wal)).size - 37);
    await using store = await start();
    expect(await count(store)).toBeLessThanOrEqual(500);
    expect(store.ready).toBe(true);
    expect(book.of('cannot be opened')).toEqual([]);
  });

  it('that is no database: set aside, never deleted, and a new one is begun', async () => {
    await using home = await scratch();
    const { start, make, directory, file, book } = await leaveUnclean(home.path, 10);
    await writeFile(file, 'this is not a database');
    await using store = await start();
    const aside = await named(directory, /^\.damaged-.*\.duckdb$/);
    expect(aside).toHaveLength(1);
    expect(await readFile(join(directory, aside[0] as string), 'utf8')).toBe('this is not a database');
    expect(book.of('data_loss').length).toBeGreaterThan(0);
    expect(await store.commit(batchOf(make(1)))).toEqual({ spans: 1, duplicates: 0 });
  });

  it('found while reading is set aside by a check of all files', async () => {
    await using home = await scratch();
    const { start, make, clock, directory } = await setUp(home.path);
    {
      await using store = await start();
      await store.commit(batchOf(make(20_000, 'x'.repeat(200))));
      clock.advance(11 * minute);
      await store.commit(batchOf(make(5)));
    }
    const [oldest] = (await named(directory, /^spans.*\.duckdb$/)).sort();
    const path = join(directory, oldest as string);
    const bytes = await readFile(path);
    bytes.fill(0x5a, 12_288 + 300_000, 12_288 + 400_000);
    await writeFile(path, bytes);
    await using store = await start();
    await store.checkFiles();
    expect(await named(directory, /^\.damaged-/)).toHaveLength(1);
    expect(store.takeLosses()).toHaveLength(1);
    expect(await count(store)).toBe(5);
  });

  it('of an unknown kind beside the others is left alone', async () => {
    await using home = await scratch();
    const { start, directory } = await setUp(home.path);
    await (await start()).close();
    await appendFile(join(directory, 'notes.txt'), 'mine');
    await using store = await start();
    expect(store.ready).toBe(true);
    expect(await readFile(join(directory, 'notes.txt'), 'utf8')).toBe('mine');
  });
});
