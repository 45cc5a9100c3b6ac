import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LogBook, scratch } from '../spec-support/fixtures.js';
import { splitBatch } from './batch-size.js';
import { Outbox, type SummaryBatch } from './outbox.js';

const book = new LogBook();
const open = (directory: string, maxBytes = 1_000_000) => Outbox.open({ directory, maxBytes, now: 7, log: book.log });

function batch(route: string, links = 0): SummaryBatch {
  const latency = { zeroCount: 0, sumNs: 1, minNs: 1, maxNs: 1, buckets: [1], counts: [1] };
  const window = {
    startMs: 0,
    lengthMs: 10_000,
    service: 'cart',
    version: '1',
    route,
    requests: 1,
    errors: 0,
    latency,
  };
  const link = { traceId: Buffer.alloc(16), spanId: Buffer.alloc(8), side: 1, service: 'cart', address: '', atMs: 1 };
  return {
    producedAtMs: 1,
    windows: [window],
    edges: [],
    links: Array.from({ length: links }, () => link),
    sightings: [],
  };
}

describe('Outbox', () => {
  it('keeps order, cursor and epoch over a restart', async () => {
    await using home = await scratch();
    const first = open(home.path);
    first.add([batch('/a'), batch('/b')], 20);
    first.add([batch('/c')], 30);
    const { epoch } = first;
    first.close();
    using second = open(home.path);
    expect([second.epoch, second.cursor, second.startedOver]).toEqual([epoch, 30, false]);
    const routes: string[] = [];
    for (let next = second.oldest(); next !== undefined; next = second.oldest()) {
      routes.push(`${next.seq}${next.request.windows[0]?.route}`);
      expect(next.request.epoch).toBe(epoch);
      second.forget(next.seq);
    }
    expect(routes).toEqual(['1/a', '2/b', '3/c']);
    expect([second.bytes, second.length]).toEqual([0, 0]);
    second.add([batch('/d')], 40);
    expect(second.oldest()?.seq).toBe(4);
  });

  it('moves the cursor only together with the batch', async () => {
    await using home = await scratch();
    using outbox = open(home.path);
    outbox.add([batch('/a')], 10);
    const broken = {
      ...batch('/b'),
      windows: [{ ...batch('/b').windows[0], startMs: 'x' }],
    } as unknown as SummaryBatch;
    expect(() => outbox.add([batch('/ok'), broken], 20)).toThrow(/BigInt/);
    expect([outbox.cursor, outbox.length]).toEqual([10, 1]);
  });

  it('drops the oldest over its limit, and counts them', async () => {
    await using home = await scratch();
    using outbox = open(home.path, 1_000);
    for (let i = 0; i < 30; i++) outbox.add([batch(`/${i}`)], i);
    expect(outbox.bytes).toBeLessThanOrEqual(1_000);
    expect(outbox.oldest()?.seq).toBeGreaterThan(10);
    expect(outbox.takeLosses().length).toBeGreaterThan(0);
    expect(outbox.cursor).toBe(29);
  });

  it('is the lock of the directory', async () => {
    await using home = await scratch();
    using outbox = open(home.path);
    expect(outbox.length).toBe(0);
    expect(() => open(home.path)).toThrow(expect.objectContaining({ reason: 'data_dir_in_use' }));
  });

  it('damaged: set aside with a loss, and a new epoch begins', async () => {
    await using home = await scratch();
    const first = open(home.path);
    first.add([batch('/a')], 10);
    const { epoch } = first;
    first.close();
    const path = join(home.path, 'outbox.db');
    const bytes = await readFile(path);
    await writeFile(path, bytes.fill(0x41, 0, 4_096));
    using second = open(home.path);
    expect(second.epoch).not.toBe(epoch);
    expect(second.startedOver).toBe(true);
    expect(second.takeLosses()).toHaveLength(1);
    expect(await readdir(home.path)).toContain('.damaged-7-outbox.db');
  });
});

describe('splitBatch', () => {
  it('makes parts that fit and lose nothing', () => {
    const whole = batch('/a', 1_000);
    const parts = splitBatch(whole, 4_096);
    expect(parts.length).toBeGreaterThan(4);
    expect(parts.flatMap((part) => part.links)).toHaveLength(1_000);
    expect(parts.flatMap((part) => part.windows)).toEqual(whole.windows);
    expect(splitBatch(whole)).toEqual([whole]);
  });
});
