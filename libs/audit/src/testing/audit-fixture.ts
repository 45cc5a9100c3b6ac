import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@coral/model';
import { AuditLog } from '../audit-log.js';
import type { AuditEntry, AuditRow } from '../audit-row.js';
import { segmentName } from '../segment-files.js';

export function fixedClock(start = Date.UTC(2026, 0, 1)): Clock & { at: number } {
  const clock = { at: start, now: () => clock.at, monotonic: () => clock.at };
  return clock;
}

/** A fresh directory that goes away at the end of the block. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { path: string; audit: string }> {
  const path = await mkdtemp(join(tmpdir(), 'coral-audit-'));
  return {
    path,
    audit: join(path, 'audit'),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

export function entry(n: number, more: Partial<AuditEntry> = {}): AuditEntry {
  return { kind: 'admin', user_id: 'alex', agent_id: null, payload: { n }, ...more };
}

/** A closed log of rows 0 (genesis) to `last`, in segments of about five rows. */
export async function writeLog(directory: string, last: number): Promise<AuditRow[]> {
  await using log = await AuditLog.open({ directory, clock: fixedClock(), segmentBytes: 1_600 });
  const rows: AuditRow[] = [];
  for (let n = 1; n <= last; n += 1) rows.push(await log.append(entry(n)));
  return rows;
}

/** Rewrites one segment, given and returned as lines without their newlines. */
export async function tamper(directory: string, ordinal: number, change: (lines: string[]) => string[]): Promise<void> {
  const path = join(directory, segmentName(ordinal));
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  await writeFile(
    path,
    change(lines)
      .map((line) => `${line}\n`)
      .join(''),
  );
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
