import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { schemaSql } from './schema.js';
import { DataDirectoryInUse, DataDirectoryUnusable } from './telemetry-store.errors.js';

/** Something whose loss an operator must hear of: a damaged file was renamed and an emptier one took its place. */
export interface SetAside {
  file: string;
  movedTo: string;
  /** `wal`: the newest rows are lost, the rest is there. `database`: everything is. */
  lost: 'wal' | 'database';
  cause: string;
}

export interface DatabaseOptions {
  /** Holds `telemetry.duckdb`; made when missing. */
  directory: string;
  memoryLimit: string;
  threads: number;
  /** Wall clock ms, for the names of files set aside. */
  now: number;
}

export const fileName = 'telemetry.duckdb';
/** Written when a running store meets damage: the next start then sets the file aside without trusting its looks. */
export const damageMark = 'telemetry.damaged';

export interface OpenDatabase {
  instance: DuckDBInstance;
  writer: DuckDBConnection;
}

/** Opens the file as it is, else without its write-ahead log, else anew; what was in the way is renamed and told. */
export async function openOrSetAside(
  file: string,
  options: DatabaseOptions,
  setAside: SetAside[],
): Promise<OpenDatabase> {
  const mark = join(options.directory, damageMark);
  const stamp = new Date(options.now).toISOString().replaceAll(/[:.]/g, '-');
  const moveAway = (path: string, lost: SetAside['lost'], cause: string): void => {
    let movedTo = `${path}.damaged-${stamp}`;
    for (let i = 2; existsSync(movedTo); i += 1) movedTo = `${path}.damaged-${stamp}-${i}`;
    renameSync(path, movedTo);
    setAside.push({ file: path, movedTo, lost, cause });
  };
  if (existsSync(mark)) {
    if (existsSync(file)) moveAway(file, 'database', 'damage was met while it was in use');
    if (existsSync(`${file}.wal`)) moveAway(`${file}.wal`, 'wal', 'it belonged to the damaged file');
    rmSync(mark);
  }
  // At most three ways: as it is, without its write-ahead log, anew.
  for (;;) {
    try {
      return await openChecked(file, options);
    } catch (thrown) {
      const message = thrown instanceof Error ? thrown.message : String(thrown);
      refuseIfSound(message, options.directory, thrown);
      if (existsSync(`${file}.wal`)) moveAway(`${file}.wal`, 'wal', message);
      else if (existsSync(file) && setAside.at(-1)?.lost !== 'database') moveAway(file, 'database', message);
      else throw new DataDirectoryUnusable(options.directory, 'a new database cannot be made there', thrown);
    }
  }
}

/** Opens the file and makes sure that all tables are there. */
export async function openChecked(file: string, options: DatabaseOptions): Promise<OpenDatabase> {
  const instance = await DuckDBInstance.create(file, {
    memory_limit: options.memoryLimit,
    threads: String(options.threads),
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  try {
    const writer = await instance.connect();
    for (const statement of schemaSql) await writer.run(statement);
    return { instance, writer };
  } catch (thrown) {
    instance.closeSync();
    throw thrown;
  }
}

/** Refusals that say nothing about the file's health. Setting it aside for one of these would throw good data away. */
function refuseIfSound(message: string, directory: string, cause: unknown): void {
  if (/Could not set lock/i.test(message)) throw new DataDirectoryInUse(directory, cause);
  if (/Permission denied/i.test(message)) throw new DataDirectoryUnusable(directory, 'permission denied', cause);
  if (/Read-only file system/i.test(message)) throw new DataDirectoryUnusable(directory, 'it is read-only', cause);
  if (/No space left/i.test(message)) throw new DataDirectoryUnusable(directory, 'the disk is full', cause);
  if (/Too many open files|Out of Memory/i.test(message)) {
    throw new DataDirectoryUnusable(directory, 'this process has too little memory or too few file handles', cause);
  }
  if (/version number \d+, but we can only read/i.test(message)) {
    throw new DataDirectoryUnusable(directory, 'a newer version wrote it', cause);
  }
}
