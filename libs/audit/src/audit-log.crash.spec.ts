import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { rolldown } from 'rolldown';
import { expect, it } from 'vitest';
import { readAudit } from './read.js';
import { AuditLog } from './audit-log.js';
import { collect, fixedClock, temporaryDirectory } from './testing/audit-fixture.js';
import { verifyAudit } from './verify.js';

async function buildChild(directory: string): Promise<string> {
  const file = join(directory, 'child.mjs');
  const build = await rolldown({
    input: join(import.meta.dirname, 'testing/appending-child.ts'),
    platform: 'node',
    tsconfig: join(import.meta.dirname, '../../../tsconfig.json'),
  });
  await build.write({ file, format: 'esm' });
  await build.close();
  return file;
}

/** Runs the child until it has acknowledged so many rows, kills it, and returns everything that it ever said. */
async function killAfter(child: string, directory: string, rows: number): Promise<string[]> {
  const running = spawn(process.execPath, [child, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(running, 'exit');
  const acknowledged: string[] = [];
  for await (const line of createInterface({ input: running.stdout })) {
    // The kill may cut the last line; only a whole one was said.
    if (/^\d+ [0-9a-f]{64}$/.test(line)) acknowledged.push(line);
    if (acknowledged.length === rows) running.kill('SIGKILL');
  }
  const [, signal] = (await exited) as [number | null, string | null];
  expect(signal).toBe('SIGKILL');
  return acknowledged;
}

it('keeps every acknowledged row through 20 kill -9, and the chain holds', async () => {
  await using place = await temporaryDirectory();
  const child = await buildChild(place.path);
  const said: string[] = [];
  for (let round = 0; round < 20; round += 1) {
    said.push(...(await killAfter(child, place.audit, 1 + ((round * 37) % 150))));
  }
  await using log = await AuditLog.open({ directory: place.audit, clock: fixedClock() });
  const rows = await collect(readAudit(place.audit));
  const kept = new Set(rows.map((row) => `${row.seq} ${row.hash}`));
  expect(said.length).toBeGreaterThan(20);
  expect(said.filter((row) => !kept.has(row))).toEqual([]);
  expect(await verifyAudit(place.audit)).toMatchObject({ ok: true, rows: rows.length, head: log.head().hash });
}, 120_000);
