import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { quantile } from './statistics.js';

/** About what one row of the audit is long, bytes. */
const rowBytes = 900;

/** p95 of appending a row to a file in `folder` and waiting until it is on the disk, ms: what the disk takes of a call. */
export async function fsyncP95(folder: string, times: number): Promise<number> {
  const own = await mkdtemp(join(folder, 'fsync-'));
  const row = Buffer.alloc(rowBytes, 'x');
  const file = await open(join(own, 'rows'), 'w');
  const took: number[] = [];
  try {
    for (let i = 0; i < times; i++) {
      const started = performance.now();
      await file.write(row, 0, rowBytes, i * rowBytes);
      await file.datasync();
      took.push(performance.now() - started);
    }
  } finally {
    await file.close();
    await rm(own, { recursive: true });
  }
  return quantile(took, 0.95);
}
