import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import type { Clock } from '@coral/model';
import type { AgentLog } from '../log.js';
import { describeError } from '../log.js';
import { exists, listSpanFiles, setAside, walOf, type SpanFile } from './span-files.js';
import { createTables, tableNames } from './span-tables.js';
import { classifyOpenFailure, dataDirInUse, storeNotReady } from './store.errors.js';

/** Telemetry that was acknowledged and is gone: part of a damaged file, or an unsent summary. */
export interface DataLoss {
  what: string;
  file: string;
}

export interface SpanDatabaseOptions {
  directory: string;
  memoryBytes: number;
  clock: Clock;
  log: AgentLog;
  /** `deep` reads every column of every row, so that damage anywhere shows. */
  check: 'survey' | 'deep';
  onLoss(loss: DataLoss): void;
}

/** One engine with every span file attached. Never attach a file twice in a process: the engine would not notice. */
export class SpanDatabase {
  readonly files: SpanFile[] = [];
  readonly writer: DuckDBConnection;
  readonly #instance: DuckDBInstance;
  readonly #options: SpanDatabaseOptions;

  private constructor(instance: DuckDBInstance, writer: DuckDBConnection, options: SpanDatabaseOptions) {
    this.#instance = instance;
    this.writer = writer;
    this.#options = options;
  }

  static async open(options: SpanDatabaseOptions): Promise<SpanDatabase> {
    const instance = await DuckDBInstance.create(':memory:', {
      threads: '2',
      memory_limit: `${Math.floor(options.memoryBytes / 1_048_576)}MiB`,
      temp_directory: '',
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    });
    const database = new SpanDatabase(instance, await instance.connect(), options);
    try {
      for (const file of await listSpanFiles(options.directory)) {
        if (await database.#openFile(file)) database.files.push(file);
      }
    } catch (thrown) {
      database.close();
      throw thrown;
    }
    return database;
  }

  connect(): Promise<DuckDBConnection> {
    return this.#instance.connect();
  }

  async create(file: SpanFile): Promise<void> {
    await this.#attach(file);
    this.files.push(file);
  }

  async detach(file: SpanFile): Promise<void> {
    await this.writer.run(`DETACH ${file.catalog}`);
    this.files.splice(this.files.indexOf(file), 1);
  }

  close(): void {
    this.writer.closeSync();
    this.#instance.closeSync();
  }

  /** Attaches and checks one file. A damaged log is set aside first, since the rest is often sound; then the file itself. */
  async #openFile(file: SpanFile): Promise<boolean> {
    const { directory, clock } = this.#options;
    for (const part of ['write-ahead log', 'file'] as const) {
      try {
        await this.#attach(file);
        await this.#survey(file);
        return true;
      } catch (thrown) {
        const why = classifyOpenFailure(thrown);
        if (why === 'in_use') throw dataDirInUse(directory, thrown);
        if (why === 'no_room') throw storeNotReady(thrown);
        await this.writer.run(`DETACH DATABASE IF EXISTS ${file.catalog}`);
        const path = part === 'file' ? file.path : walOf(file.path);
        if (!(await exists(path))) continue;
        const name = await setAside(directory, path, clock.now());
        this.#options.log.error('data_loss: a damaged span file was set aside', {
          part,
          file: name,
          ...describeError(thrown),
        });
        this.#options.onLoss({ what: `damaged ${part}`, file: name });
      }
    }
    return false;
  }

  async #attach(file: SpanFile): Promise<void> {
    await this.writer.run(`ATTACH '${file.path.replaceAll("'", "''")}' AS ${file.catalog}`);
    const found = await this.writer.runAndReadAll(
      `SELECT count(*) FROM duckdb_tables() WHERE database_name = '${file.catalog}'`,
    );
    // A file begun just before a crash may be empty.
    if (Number(found.getRows()[0]?.[0]) === tableNames.length) return;
    await this.writer.run('BEGIN');
    for (const statement of createTables(file.catalog)) await this.writer.run(statement);
    await this.writer.run('COMMIT');
  }

  async #survey(file: SpanFile): Promise<void> {
    const parts = tableNames.map((table) => `SELECT seq, received_at FROM ${file.catalog}.${table}`);
    const found = await this.writer.runAndReadAll(
      `SELECT min(seq), max(seq), epoch_ms(max(received_at)) FROM (${parts.join(' UNION ALL ')})`,
    );
    const [min, max, newest] = found.getRows()[0] ?? [];
    file.minSeq = Number(min ?? 0);
    file.maxSeq = Number(max ?? 0);
    file.newestMs = Number(newest ?? file.startMs);
    if (this.#options.check === 'survey') return;
    for (const table of tableNames) {
      await this.writer.run(`SELECT bit_xor(hash(t)) FROM ${file.catalog}.${table} t`);
    }
  }
}
