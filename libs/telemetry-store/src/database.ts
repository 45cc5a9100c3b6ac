import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DuckDBConnection, DuckDBValue, JS } from '@duckdb/node-api';
import { CoralError } from '@coral/errors';
import {
  damageMark,
  fileName,
  openChecked,
  openOrSetAside,
  type DatabaseOptions,
  type OpenDatabase,
  type SetAside,
} from './open-database.js';
import { DataDirectoryInUse, DataDirectoryUnusable, TelemetryUnavailable } from './telemetry-store.errors.js';

export type Row = Record<string, JS>;
export type Params = Record<string, DuckDBValue>;

/**
 * DuckDB lets one process open a file twice, and closing the second handle drops the lock of the first (POSIX record
 * locks). So we keep count ourselves, and nothing else in this process may ever open the file.
 */
const openFiles = new Set<string>();

/** One DuckDB file with one writer: writes go one after the other, each reader has a connection and a snapshot of its own. */
export class Database {
  readonly #file: string;
  readonly #options: DatabaseOptions;
  #open: OpenDatabase | undefined;
  /** The engine refuses everything after a failed checkpoint, until the file is opened again. */
  #invalid = false;
  #reopening: Promise<OpenDatabase> | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  readonly #readers = new Set<Promise<unknown>>();
  #closed = false;

  private constructor(file: string, options: DatabaseOptions, open: OpenDatabase) {
    this.#file = file;
    this.#options = options;
    this.#open = open;
  }

  /**
   * Opens or makes the file. A damaged one is renamed, told in `setAside`, and a new one begins: a colony with an empty
   * memory serves, one in a crash loop does not. Errors: `data_directory_in_use`, `data_directory_unusable`.
   */
  static async open(given: DatabaseOptions): Promise<{ database: Database; setAside: SetAside[] }> {
    let directory: string;
    try {
      mkdirSync(given.directory, { recursive: true, mode: 0o700 });
      directory = realpathSync(given.directory);
    } catch (thrown) {
      throw new DataDirectoryUnusable(given.directory, 'it cannot be made', thrown);
    }
    const options = { ...given, directory };
    const file = join(directory, fileName);
    if (openFiles.has(file)) throw new DataDirectoryInUse(directory);
    openFiles.add(file);
    try {
      const setAside: SetAside[] = [];
      const open = await openOrSetAside(file, options, setAside);
      return { database: new Database(file, options, open), setAside };
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
    const { writer } = await this.#usable();
    try {
      await writer.run('BEGIN');
      const result = await work(new WriteSession(writer));
      await writer.run('COMMIT');
      return result;
    } catch (thrown) {
      // After a failed COMMIT there is no transaction left to roll back; the first error is the one that matters.
      await writer.run('ROLLBACK').catch(() => undefined);
      throw this.#refused(thrown);
    }
  }

  /**
   * All that `work` reads is one moment of the store, whatever is written meanwhile; it must not call the database again.
   * Aborting interrupts the engine.
   */
  async read<T>(work: (sql: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    return await this.#beside(async (connection) => {
      const interrupt = (): void => connection.interrupt();
      signal?.addEventListener('abort', interrupt, { once: true });
      try {
        await connection.run('BEGIN TRANSACTION READ ONLY');
        return await work(new Session(connection));
      } catch (thrown) {
        signal?.throwIfAborted();
        throw thrown;
      } finally {
        signal?.removeEventListener('abort', interrupt);
      }
    });
  }

  /** Runs statements on a connection of their own, beside the writes; `always` runs after them, whatever happened. */
  async apart(statements: readonly string[], always: readonly string[]): Promise<void> {
    await this.#beside(async (connection) => {
      try {
        for (const statement of statements) await connection.run(statement);
      } finally {
        for (const statement of always) await connection.run(statement).catch(() => undefined);
      }
    });
  }

  async #beside<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const { instance } = await this.#usable();
    const connection = await instance.connect();
    const running = work(connection)
      .catch((thrown: unknown) => {
        throw this.#refused(thrown);
      })
      .finally(() => connection.closeSync());
    const settled = running.then(
      () => undefined,
      () => undefined,
    );
    this.#readers.add(settled);
    try {
      return await running;
    } finally {
      this.#readers.delete(settled);
    }
  }

  /** Waits for the running write, folds the log into the file and lets go of it. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#queue;
    this.#closed = true;
    await Promise.all(this.#readers);
    try {
      await this.#reopening?.catch(() => undefined);
      // A checkpoint that fails leaves the log as it is: the next start reads it.
      await this.#open?.writer.run('CHECKPOINT').catch(() => undefined);
      this.#letGo();
    } finally {
      openFiles.delete(this.#file);
    }
  }

  #letGo(): void {
    this.#open?.writer.closeSync();
    this.#open?.instance.closeSync();
    this.#open = undefined;
  }

  async #usable(): Promise<OpenDatabase> {
    if (this.#closed) throw new TelemetryUnavailable('it is closed', undefined);
    if (this.#open !== undefined && !this.#invalid) return this.#open;
    this.#reopening ??= this.#reopen().finally(() => (this.#reopening = undefined));
    return await this.#reopening;
  }

  /** The old instance must be gone first: its readers hold it, and they fail at once. Errors: `telemetry_unavailable`. */
  async #reopen(): Promise<OpenDatabase> {
    await Promise.all(this.#readers);
    this.#letGo();
    try {
      this.#open = await openChecked(this.#file, this.#options);
      this.#invalid = false;
      return this.#open;
    } catch (thrown) {
      throw this.#refused(thrown);
    }
  }

  /** Engine errors are about disk and memory, and said so; anything else is a bug of ours and stays what it is. */
  #refused(thrown: unknown): unknown {
    if (thrown instanceof CoralError || !(thrown instanceof Error) || !isEngineTrouble(thrown.message)) return thrown;
    const { message } = thrown;
    if (/FATAL Error|invalidated/.test(message)) this.#invalid = true;
    if (isDamage(message)) {
      writeFileSync(join(this.#options.directory, damageMark), `${message}\n`);
      return new TelemetryUnavailable('its file is damaged; the next start sets it aside', thrown);
    }
    const full = /No space left|File too large|Disk quota/i.test(message);
    return new TelemetryUnavailable(full ? 'the disk is full' : 'the storage engine refused', thrown);
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

/** Engine errors read `IO Error: …`. Those named here are mistakes in our own SQL. */
function isEngineTrouble(message: string): boolean {
  return /^(?!Binder|Parser|Catalog|Conversion|Invalid Input)[A-Z][\w ]* Error: /.test(message);
}

function isDamage(message: string): boolean {
  return /corrupt database file|checksum.*does not match|not a valid DuckDB database/i.test(message);
}
