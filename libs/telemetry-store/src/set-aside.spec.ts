import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TelemetryStore } from './telemetry-store.js';
import { batch, HandClock, serviceWindow, TempDirectory } from './testing/store-fixture.js';

const noon = Date.parse('2026-05-04T12:00:00Z');
const file = 'telemetry.duckdb';
const one = (seq: number) => batch(seq, { windows: [serviceWindow({ at: noon - 10_000 })] });
const requests = async (store: TelemetryStore): Promise<number> =>
  (await store.read((view) => view.serviceGroups({ from: 0, to: noon * 2 }, [])))[0]?.requests ?? 0;

async function filled(directory: string): Promise<void> {
  await using store = await TelemetryStore.open({ directory, clock: new HandClock(noon) });
  for (let seq = 1; seq <= 5; seq += 1) await store.ingest('agt-a', one(seq));
}

describe('a damaged file', () => {
  it.each<[string, (path: string) => void]>([
    ['is not a database at all', (path) => writeFileSync(path, 'no database, '.repeat(5_000))],
    ['has zeroes in its header', (path) => writeFileSync(path, Buffer.alloc(12_288))],
    ['was cut short', (path) => truncateSync(path, 6_000)],
    [
      'has other bytes in its middle',
      (path) => {
        const bytes = readFileSync(path);
        bytes.fill(0xa5, 12_288);
        writeFileSync(path, bytes);
      },
    ],
  ])('that %s is set aside, told, and a new one serves', async (_name, damage) => {
    using place = new TempDirectory();
    await filled(place.path);
    damage(join(place.path, file));
    const clock = new HandClock(noon + 60_000);
    await using store = await TelemetryStore.open({ directory: place.path, clock });
    expect(store.setAside).toMatchObject([{ lost: 'database', file: join(place.path, file) }]);
    expect(existsSync(store.setAside[0]!.movedTo)).toBe(true);
    expect(await requests(store)).toBe(0);
    expect(await store.read((view) => view.rowsLostMs())).toBe(noon + 60_000);
    // The agent has long forgotten batches 1 to 5: its outbox must go on from where it is.
    expect(await store.ingest('agt-a', one(6))).toMatchObject({ durableSeq: 6, duplicate: false });
    expect(await store.ingest('agt-a', one(8))).toMatchObject({ durableSeq: 6, duplicate: false });
    expect(await store.ingest('agt-a', one(6))).toMatchObject({ duplicate: true });
    expect(await requests(store)).toBe(2);
  });

  it('is never touched again once it is set aside', async () => {
    using place = new TempDirectory();
    for (let round = 0; round < 3; round += 1) {
      writeFileSync(join(place.path, file), `no database ${round}`.repeat(1_000));
      await using store = await TelemetryStore.open({ directory: place.path, clock: new HandClock(noon) });
      expect(store.setAside).toHaveLength(1);
    }
    const kept = readdirSync(place.path).filter((name) => name.includes('.damaged-'));
    expect(kept).toHaveLength(3);
    expect(kept.every((name) => statSync(join(place.path, name)).size > 10_000)).toBe(true);
  });
});

describe('a sound file that cannot be used', () => {
  it('is refused and left alone when its directory is a file', async () => {
    using place = new TempDirectory();
    const directory = join(place.path, 'occupied');
    writeFileSync(directory, 'something else');
    await expect(TelemetryStore.open({ directory, clock: new HandClock(noon) })).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'data_directory_unusable',
    });
    expect(readFileSync(directory, 'utf8')).toBe('something else');
  });
});
