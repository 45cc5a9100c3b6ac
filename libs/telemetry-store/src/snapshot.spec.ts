import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { describe, expect, it } from 'vitest';
import { TelemetryStore } from './telemetry-store.js';
import { batch, edgeWindow, HandClock, openStore, serviceWindow, TempDirectory } from './testing/store-fixture.js';

const noon = Date.parse('2026-05-04T12:00:00Z');

async function rowsIn(file: string, sql: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(file, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  const rows = await (await connection.run(sql)).getRowsJson();
  connection.closeSync();
  instance.closeSync();
  return rows;
}

describe('snapshot', () => {
  it('holds the published tables and nothing else', async () => {
    await using opened = await openStore(new HandClock(noon));
    const parts = {
      windows: [serviceWindow({ at: noon - 10_000 })],
      edges: [edgeWindow({ at: noon - 10_000, kind: 2 })],
    };
    await opened.store.ingest('agt-a', batch(1, parts));
    using snapshot = await opened.store.snapshot();
    const tables = await rowsIn(snapshot.file, 'SELECT table_name FROM duckdb_tables() ORDER BY ALL');
    expect(tables.flat()).toEqual([...snapshot.views].toSorted());
    expect(await rowsIn(snapshot.file, 'SELECT dependency FROM edges')).toEqual([['postgresql:orders@billing:8080']]);
  });

  it('is made once for all who ask within two seconds, and anew after that', async () => {
    const clock = new HandClock(noon);
    await using opened = await openStore(clock);
    const taken = await Promise.all([1, 2, 3].map(() => opened.store.snapshot()));
    expect(new Set(taken.map((one) => one.file)).size).toBe(1);
    clock.advance(2_000);
    using same = await opened.store.snapshot();
    expect(same.file).toBe(taken[0]?.file);
    clock.advance(1);
    await opened.store.ingest('agt-a', batch(1, { windows: [serviceWindow({ at: noon - 10_000 })] }));
    using next = await opened.store.snapshot();
    expect(next.file).not.toBe(same.file);
    expect(await rowsIn(next.file, 'SELECT count(*) FROM service_windows')).toEqual([['1']]);
    for (const one of taken) one[Symbol.dispose]();
    expect(existsSync(same.file)).toBe(true);
    same[Symbol.dispose]();
    expect(existsSync(same.file)).toBe(false);
    expect(existsSync(next.file)).toBe(true);
  });

  it('looks back no further than its horizon', async () => {
    await using opened = await openStore(new HandClock(noon), { sqlHorizonMs: 60_000 });
    const windows = [serviceWindow({ at: noon - 120_000 }), serviceWindow({ at: noon - 30_000 })];
    await opened.store.ingest('agt-a', batch(1, { windows }));
    using snapshot = await opened.store.snapshot();
    expect(await rowsIn(snapshot.file, 'SELECT count(*) FROM service_windows')).toEqual([['1']]);
    expect(snapshot.from).toBe(noon - 60_000);
  });

  it('leaves no files behind', async () => {
    using place = new TempDirectory();
    const clock = new HandClock(noon);
    const store = await TelemetryStore.open({ directory: place.path, clock });
    const snapshot = await store.snapshot();
    snapshot[Symbol.dispose]();
    await store.close();
    const left = join(place.path, 'snapshots');
    expect(readdirSync(left)).toEqual([]);
    writeFileSync(join(left, '7.duckdb'), 'of a process that was killed');
    await using again = await TelemetryStore.open({ directory: place.path, clock });
    expect(again.setAside).toEqual([]);
    expect(readdirSync(left)).toEqual([]);
  });
});
