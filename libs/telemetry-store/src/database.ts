import { existsSync, mkdirSync, realpathSync, renameSync, writeFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection, type DuckDBValue, type JS } from '@duckdb/node-api';
import { CoralError } from '@coral/errors';
import { schemaSql } from './schema.js';
import { DataDirectoryInUse, DataDirectoryUnusable, TelemetryUnavailable } from './telemetry-store.errors.js';

export type Row = Record<string, JS>;
export type Params = Record<string, DuckDBValue>;

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

const fileName = 'telemetry.duckdb';
/** Written when a running store meets damage: the next start then sets the file aside without trusting its looks. */
const damageMark = 'telemetry.damaged';

/**
 * DuckDB lets one process open a file twice, and closing the second handle drops the lock of the first (POSIX record
 * locks). So we keep count ourselves, and nothing else in this process may ever open the file.
 */
const openFiles = new Set<string>();

/** One DuckDB file with one writer: writes go one after the other, each reader has a connection and a snapshot of its own. */
export class Database {
  readonly #file: string;
  readonly #directory: string;
  readonly #instance: DuckDBInstance;
  readonly #writer: DuckDBConnection;
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(file: string, directory: string, instance: DuckDBInstance, writer: DuckDBConnection) {
    this.#file = file;
    this.#directory = directory;
    this.#instance = instance;
    this.#writer = writer;
  }

  /**
   * Opens or makes the file. A damaged one is renamed, told in `setAside`, and a new one begins: a colony with an empty
   * memory serves, one in a crash loop does not. Errors: `data_directory_in_use`, `data_directory_unusable`.
   */
  static async open(options: DatabaseOptions): Promise<{ database: Database; setAside: SetAside[] }> {
    let directory: string;
    try {
      mkdirSync(options.directory, { recursive: true, mode: 0o700 });
      directory = realpathSync(options.directory);
    } catch (thrown) {
      throw new DataDirectoryUnusable(options.directory, 'it cannot be made', thrown);
    }
    const file = join(directory, fileName);
    if (openFiles.has(file)) throw new DataDirectoryInUse(directory);
    openFiles.add(file);
    try {
      const setAside: SetAside[] = [];
      const opened = await openOrSetAside(file, options, setAside);
      return { database: new Database(file, directory, ...opened), setAside };
    } catch (thrown) {
      openFiles.delete(file);
      throw thrown;
    }
  }

  /** Runs `work` alone, inside one transaction. It is on disk when this returns, or nothing of it is. */
  async write<T>(work: (sql: WriteSession) => Promise<T>): Promise<T> {
    const turn = this.#queue.then(() => this.#transact(work));
    this.#queue = turn.catch(() => undefined);
    return await turn;
  }

  async #transact<T>(work: (sql: WriteSession) => Promise<T>): Promise<T> {
    if (this.#closed) throw new TelemetryUnavailable('it is closed', undefined);
    try {
      await this.#writer.run('BEGIN');
      const result = await work(new WriteSession(this.#writer));
      await this.#writer.run('COMMIT');
      return result;
    } catch (thrown) {
      // After a failed COMMIT there is no transaction left to roll back; the first error is the one that matters.
      await this.#writer.run('ROLLBACK').catch(() => undefined);
      throw this.#refused(thrown);
    }
  }

  /** Runs statements on a connection of their own, beside the writes; `always` runs after them, whatever happened. */
  async apart(statements: readonly string[], always: readonly string[]): Promise<void> {
    if (this.#closed) throw new TelemetryUnavailable('it is closed', undefined);
    const connection = await this.#instance.connect();
    try {
      for (const statement of statements) await connection.run(statement);
    } catch (thrown) {
      throw this.#refused(thrown);
    } finally {
      for (const statement of always) await connection.run(statement).catch(() => undefined);
      connection.closeSync();
    }
  }

  /** All that `work` reads is one moment of the store, whatever is written meanwhile. Aborting interrupts the engine. */
  async read<T>(work: (sql: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#closed) throw new TelemetryUnavailable('it is closed', undefined);
    const connection = await this.#instance.connect();
    const interrupt = (): void => connection.interrupt();
    signal?.addEventListener('abort', interrupt, { once: true });
    try {
      await connection.run('BEGIN TRANSACTION READ ONLY');
      return await work(new Session(connection));
    } catch (thrown) {
      signal?.throwIfAborted();
      throw this.#refused(thrown);
    } finally {
      signal?.removeEventListener('abort', interrupt);
      connection.closeSync();
    }
  }

  /** Waits for the running write, folds the log into the file and lets go of it. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#queue;
    this.#closed = true;
    try {
      await this.#writer.run('CHECKPOINT').catch(() => undefined); // readers may still be in; the log stays, and is safe
      this.#writer.closeSync();
      this.#instance.closeSync();
    } finally {
      openFiles.delete(this.#file);
    }
  }

  #refused(thrown: unknown): unknown {
    if (thrown instanceof CoralError || !(thrown instanceof Error)) return thrown;
    if (isDamage(thrown.message)) {
      writeFileSync(join(this.#directory, damageMark), `${thrown.message}\n`);
      return new TelemetryUnavailable('its file is damaged; the next start sets it aside', thrown);
    }
    if (/No space left|IO Error|invalidated|Out of Memory/i.test(thrown.message)) {
      const why = /No space left/i.test(thrown.message) ? 'the disk is full' : 'the storage engine refused';
      return new TelemetryUnavailable(why, thrown);
    }
    return thrown;
  }
}

export class Session {
  protected readonly connection: DuckDBConnection;

  constructor(connection: DuckDBConnection) {
    this.connection = connection;
  }

  async rows(sql: string, params: Params = {}): Promise<Row[]> {
    return await (await this.connection.run(sql, params)).getRowObjectsJS();
  }

  async row(sql: string, params: Params = {}): Promise<Row | undefined> {
    return (await this.rows(sql, params))[0];
  }
}

export class WriteSession extends Session {
  async run(sql: string, params: Params = {}): Promise<void> {
    await this.connection.run(sql, params);
  }

  async append<T>(table: string, values: Iterable<T>, one: (appender: Appender, value: T) => void): Promise<void> {
    const appender = await this.connection.createAppender(table);
    try {
      for (const value of values) {
        one(appender, value);
        appender.endRow();
      }
      appender.flushSync();
    } finally {
      appender.closeSync();
    }
  }
}

export type Appender = Awaited<ReturnType<DuckDBConnection['createAppender']>>;

async function openOrSetAside(
  file: string,
  options: DatabaseOptions,
  setAside: SetAside[],
): Promise<[DuckDBInstance, DuckDBConnection]> {
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

async function openChecked(file: string, options: DatabaseOptions): Promise<[DuckDBInstance, DuckDBConnection]> {
  const instance = await DuckDBInstance.create(file, {
    memory_limit: options.memoryLimit,
    threads: String(options.threads),
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  try {
    const connection = await instance.connect();
    for (const statement of schemaSql) await connection.run(statement);
    return [instance, connection];
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

function isDamage(message: string): boolean {
  return /corrupt database file|checksum.*does not match|not a valid DuckDB database/i.test(message);
}
