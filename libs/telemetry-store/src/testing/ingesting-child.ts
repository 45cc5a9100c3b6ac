import { spawnSync } from 'node:child_process';
import { systemClock } from '@coral/model';
import { TelemetryStore } from '../telemetry-store.js';
import { batch, link, serviceWindow, sighting } from './store-fixture.js';

/**
 * Specs only: `node child <directory> <epoch> <batches> [recover]`. Ingests until killed or done, says each seq once the store has
 * acknowledged it, and the reason when it refuses one.
 */
const [, , directory, epoch, batches] = process.argv as [string, string, string, string, string];
const store = await TelemetryStore.open({ directory, clock: systemClock });
process.stdout.write('open\n');
for (let seq = 1; seq <= Number(batches); seq += 1) {
  const now = Date.now();
  const at = now - (now % 10_000);
  const windows = Array.from({ length: 20 }, (_, i) =>
    serviceWindow({ at: at - i * 10_000, route: `/${epoch}/${seq % 50}`, ms: [seq, i + 1] }),
  );
  const parts = {
    windows,
    sightings: [sighting('cart', `1.0.${seq}`, `${epoch}-${seq}`, now, now)],
    links: [link(seq, 1, 'cart', 'billing:8080', now), link(seq, 2, 'billing', '', now)],
  };
  try {
    const { durableSeq } = await store.ingest('agt-a', { ...batch(seq, parts), epoch });
    process.stdout.write(`acknowledged ${durableSeq}\n`);
  } catch (thrown) {
    const reason = thrown instanceof Error && 'reason' in thrown ? String(thrown.reason) : String(thrown);
    process.stdout.write(`refused ${reason}\n`);
    if (process.argv[5] !== 'recover') process.exit(0);
    // There is room again: the agent sends the same batch once more.
    spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited']);
    seq -= 1;
  }
}
await store.close();
process.stdout.write('closed\n');
