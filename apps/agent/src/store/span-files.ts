import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SeenSpans } from './seen-spans.js';

/** One time-rotated database file, attached under `catalog`. */
export interface SpanFile {
  path: string;
  catalog: string;
  /** When it was begun, wall clock ms; its name. */
  startMs: number;
  /** Smallest and largest seq inside; 0 when empty. */
  minSeq: number;
  maxSeq: number;
  /** When its newest row was committed, ms; `startMs` when empty. */
  newestMs: number;
  /** Which spans are inside, while the file is hot; a cold one gives the memory back. */
  seen: SeenSpans | undefined;
}

/** The number after v changes with the columns; files of other versions are left alone. */
const namePattern = /^spans-v1-(\d{1,15})\.duckdb$/;
const damagedPrefix = '.damaged-';
/** How long a set-aside file waits for somebody to look at it. */
const damagedMaxAgeMs = 7 * 86_400_000;

export function newSpanFile(directory: string, startMs: number): SpanFile {
  return {
    path: join(directory, `spans-v1-${startMs}.duckdb`),
    catalog: `spans_${startMs}`,
    startMs,
    minSeq: 0,
    maxSeq: 0,
    newestMs: startMs,
    seen: new SeenSpans(),
  };
}

/** Files of a directory, oldest first. */
export async function listSpanFiles(directory: string): Promise<SpanFile[]> {
  const names = await readdir(directory);
  return names
    .map((name) => namePattern.exec(name)?.[1])
    .filter((start) => start !== undefined)
    .map((start) => newSpanFile(directory, Number(start)))
    .sort((a, b) => a.startMs - b.startMs);
}

export const walOf = (path: string): string => `${path}.wal`;

export async function sizeOf(path: string): Promise<number> {
  const sizes = await Promise.all(
    [path, walOf(path)].map((one) => stat(one).then((found) => found.size, ifMissing(0))),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, ifMissing(false));
}

function ifMissing<T>(value: T): (thrown: unknown) => T {
  return (thrown) => {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return value;
    throw thrown;
  };
}

/** Moves a damaged file (database or write-ahead log) out of the way; returns its new name. */
export async function setAside(directory: string, path: string, now: number): Promise<string> {
  const name = `${damagedPrefix}${now}-${path.slice(directory.length + 1)}`;
  await rename(path, join(directory, name));
  return name;
}

export async function deleteSpanFile(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(walOf(path), { force: true });
}

export async function deleteOldDamaged(directory: string, now: number): Promise<void> {
  for (const name of await readdir(directory)) {
    const at = new RegExp(`^\\${damagedPrefix}(\\d+)-`).exec(name)?.[1];
    if (at !== undefined && now - Number(at) > damagedMaxAgeMs) await rm(join(directory, name), { force: true });
  }
}
