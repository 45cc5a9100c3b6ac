import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '@coral/model';
import { Database } from './database.js';
import { TelemetryStore } from './telemetry-store.js';
import { batch, serviceWindow, TempDirectory } from './testing/store-fixture.js';

const root = join(import.meta.dirname, '../../..');
const place = new TempDirectory();
let child: string;
let checkpointing: string;

beforeAll(async () => {
  // The engine's binding is native: it is found, not bundled.
  symlinkSync(join(root, 'node_modules'), join(place.path, 'node_modules'));
  child = await bundle('ingesting-child');
  checkpointing = await bundle('checkpointing-child');
});

async function bundle(name: string): Promise<string> {
  const file = join(place.path, `${name}.mjs`);
  const build = await rolldown({
    input: join(import.meta.dirname, `testing/${name}.ts`),
    platform: 'node',
    tsconfig: join(root, 'tsconfig.json'),
    external: (id) => !/^(\.|\/|\0|@coral\/|@oxc-project\/runtime)/.test(id),
  });
  await build.write({ file, format: 'esm' });
  await build.close();
  return file;
}
afterAll(() => place[Symbol.dispose]());

async function* linesOf(running: ChildProcess): AsyncGenerator<string> {
  for await (const line of createInterface({ input: running.stdout! })) yield line;
}

/** Runs a child until it has acknowledged `count` batches, kills it, and returns the last seq it was heard to acknowledge. */
async function killAfter(directory: string, epoch: string, count: number): Promise<number> {
  const running = spawn(process.execPath, [child, directory, epoch, '100000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = 0;
  for await (const line of linesOf(running)) {
    const found = /^acknowledged (\d+)$/.exec(line);
    if (found) last = Number(found[1]);
    if (last >= count) running.kill('SIGKILL');
  }
  return last;
}

async function requestsOf(store: TelemetryStore, epoch: string): Promise<number> {
  const groups = await store.read((view) => view.serviceGroups({ from: 0, to: Date.now() + 86_400_000 }, ['route']));
  return groups
    .filter((group) => group.route?.startsWith(`/${epoch}/`))
    .reduce((sum, group) => sum + group.requests, 0);
}

describe('durability', () => {
  it('has every acknowledged batch, whole and once, after kill -9 in the middle of ingesting', async () => {
    const directory = join(place.path, 'killed');
    const last: number[] = [];
    for (const [i, count] of [3, 17, 40, 8, 25].entries()) last.push(await killAfter(directory, `e${i}`, count));
    await using store = await TelemetryStore.open({ directory, clock: systemClock });
    expect(store.setAside).toEqual([]);
    for (const [i, acknowledged] of last.entries()) {
      const epoch = `e${i}`;
      // 20 windows of 2 requests each; a batch that committed just before the kill may be there unheard.
      const stored = await requestsOf(store, epoch);
      expect(stored % 40).toBe(0);
      expect([acknowledged, acknowledged + 1]).toContain(stored / 40);
      const again = await store.ingest('agt-a', { ...batch(acknowledged), epoch });
      expect(again).toMatchObject({ duplicate: true, durableSeq: stored / 40 });
    }
  });

  it('refuses a batch when the disk is full, and loses nothing that it acknowledged', async () => {
    const directory = join(place.path, 'full');
    mkdirSync(directory);
    // RLIMIT_FSIZE in blocks of 512 bytes or 1 KiB, depending on the shell: a file may not grow beyond it (EFBIG).
    const command = `ulimit -S -f 1200; exec "${process.execPath}" "${child}" "${directory}" e0 100000`;
    const running = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    for await (const line of linesOf(running)) lines.push(line);
    expect(lines.at(-1)).toBe('refused telemetry_unavailable');
    const acknowledged = lines.filter((line) => line.startsWith('acknowledged')).length;
    expect(acknowledged).toBeGreaterThan(0);
    await using store = await TelemetryStore.open({ directory, clock: systemClock });
    expect(store.setAside).toEqual([]);
    expect(await requestsOf(store, 'e0')).toBe(acknowledged * 40);
    expect(await store.ingest('agt-a', { ...batch(acknowledged + 1), epoch: 'e0' })).toMatchObject({
      duplicate: false,
      durableSeq: acknowledged + 1,
    });
  });

  it('goes on by itself when there is room again', async () => {
    const directory = join(place.path, 'recovering');
    const command = `ulimit -S -f 1200; exec "${process.execPath}" "${child}" "${directory}" e0 100000 recover`;
    const running = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    for await (const line of linesOf(running)) {
      lines.push(line);
      const refusedAt = lines.findIndex((one) => one.startsWith('refused'));
      if (refusedAt > 0 && lines.length > refusedAt + 10) running.kill('SIGKILL');
    }
    const acknowledged = Math.max(...lines.map((line) => Number(/^acknowledged (\d+)$/.exec(line)?.[1] ?? 0)));
    await using store = await TelemetryStore.open({ directory, clock: systemClock });
    expect(lines).toContain('refused telemetry_unavailable');
    const stored = (await requestsOf(store, 'e0')) / 40;
    expect([acknowledged, acknowledged + 1]).toContain(stored);
  });

  it('opens its file again when the engine gave up on it', async () => {
    const directory = join(place.path, 'checkpoint');
    const running = spawn(process.execPath, [checkpointing, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    for await (const line of linesOf(running)) lines.push(line);
    expect(lines).toEqual(['first: ok', 'checkpoint: telemetry_unavailable', 'read: ok', 'second: ok']);
    const options = { directory, memoryLimit: '256MB', threads: 1, now: 0 };
    const { database, setAside } = await Database.open(options);
    expect(setAside).toEqual([]);
    expect(
      await database.read((sql) => sql.rows('SELECT name, count(*) AS n FROM store_fact GROUP BY name ORDER BY name')),
    ).toEqual([
      { name: 'first', n: 5_000n },
      { name: 'second', n: 5_000n },
    ]);
    await database.close();
  });

  it('sets a damaged write-ahead log aside, keeps the rest, and lets the outbox go on', async () => {
    const directory = join(place.path, 'damaged-log');
    const seed = await TelemetryStore.open({ directory, clock: systemClock });
    const at = Date.now() - 60_000;
    await seed.ingest('agt-a', {
      ...batch(1, { windows: [serviceWindow({ at: at - (at % 10_000), route: '/e0/seed' })] }),
      epoch: 'e0',
    });
    await seed.close();
    await killAfter(directory, 'e1', 20);
    const log = join(directory, 'telemetry.duckdb.wal');
    const bytes = readFileSync(log);
    bytes[Math.floor(bytes.length / 2)]! ^= 0xff;
    writeFileSync(log, bytes);
    await using store = await TelemetryStore.open({ directory, clock: systemClock });
    expect(store.setAside).toMatchObject([{ file: log, lost: 'wal' }]);
    expect(await requestsOf(store, 'e0')).toBe(1);
    expect(await store.ingest('agt-a', { ...batch(700), epoch: 'e0' })).toMatchObject({ durableSeq: 700 });
    expect(await store.ingest('agt-a', { ...batch(800), epoch: 'e1' })).toMatchObject({ durableSeq: 800 });
  });

  it('is refused to a second process and to a second opening in this one', async () => {
    const directory = join(place.path, 'locked');
    const store = await TelemetryStore.open({ directory, clock: systemClock });
    const second = TelemetryStore.open({ directory, clock: systemClock });
    await expect(second).rejects.toMatchObject({ kind: 'failed_precondition', reason: 'data_directory_in_use' });
    const other = spawn(process.execPath, [child, directory, 'e0', '1'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    other.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const lines = [];
    for await (const line of linesOf(other)) lines.push(line);
    expect(lines).toEqual([]);
    expect(said).toContain('data_directory_in_use');
    expect(said).toContain(`pid ${process.pid}`);
    await store.close();
    await using again = await TelemetryStore.open({ directory, clock: systemClock });
    expect(again.setAside).toEqual([]);
  });
});
