import { mkdir, statfs } from 'node:fs/promises';
import type { DuckDBConnection } from '@duckdb/node-api';
import { CoralError } from '@coral/errors';
import type { Clock } from '@coral/model';
import type { Limits, Retention } from '../agent.config.js';
import { agentStopping, diskLow, notDurable, storeFull } from '../ingest/ingest.errors.js';
import type { LogRecord, MetricRecord, SpanRecord } from '../ingest/records.js';
import { describeError, type AgentLog } from '../log.js';
import { storedAmong } from './duplicates.js';
import { SpanDatabase, type DataLoss } from './span-database.js';
import { deleteOldDamaged, deleteSpanFile, newSpanFile, sizeOf, type SpanFile } from './span-files.js';
import { appendLogs, appendMetrics, appendSpans, type AppendRows, type TableName } from './span-tables.js';
import { storeNotReady } from './store.errors.js';
import { Turnstile } from './turnstile.js';

export interface SpanStoreOptions {
  directory: string;
  retention: Retention;
  limits: Pick<Limits, 'min_free_disk' | 'database_memory'>;
  clock: Clock;
  log: AgentLog;
  /** Bytes free where `directory` is; replaced in specs. */
  freeBytes?: (directory: string) => Promise<number>;
}

export interface Batch {
  spans: readonly SpanRecord[];
  logs: readonly LogRecord[];
  metrics: readonly MetricRecord[];
}

export interface Committed {
  /** Spans that were not stored before. */
  spans: number;
  duplicates: number;
}

/** How often a broken store tries to open its files again. */
const reopenEveryMs = 1_000;

/**
 * The agent's telemetry in time-rotated files. `commit` is durable when it resolves; a span is stored once however often
 * it is sent within the hot window; whole files leave when they are too old or too many bytes.
 */
export class SpanStore implements AsyncDisposable {
  readonly #options: SpanStoreOptions;
  readonly #turnstile = new Turnstile();
  #writing: Promise<unknown> = Promise.resolve();
  #database: SpanDatabase | undefined;
  #lastSeq = 0;
  #triedAt = Number.NEGATIVE_INFINITY;
  #problem: unknown;
  #closed = false;
  #losses: DataLoss[] = [];
  /** True while the files of the hot window alone are larger than they may be. */
  #full = false;

  private constructor(options: SpanStoreOptions) {
    this.#options = options;
  }

  /**
   * Opens what is there. Damaged files are set aside, a full disk is waited for; only a directory that another process
   * uses is an error. `seqFloor`: no row gets a smaller or equal seq.
   */
  static async open(options: SpanStoreOptions, seqFloor = 0): Promise<SpanStore> {
    const store = new SpanStore(options);
    store.#lastSeq = seqFloor;
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    await store.#reopen().catch((thrown: unknown) => {
      if (thrown instanceof CoralError && thrown.reason === 'data_dir_in_use') throw thrown;
      options.log.error('the span files cannot be opened yet', describeError(thrown));
    });
    return store;
  }

  /** Largest seq that is committed. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  get ready(): boolean {
    return this.#database !== undefined && !this.#closed;
  }

  /** Losses found since the last call. */
  takeLosses(): DataLoss[] {
    return this.#losses.splice(0);
  }

  /** Stores everything or nothing. Rejects with `unavailable` or `resource_exhausted`; then nothing was acknowledged. */
  commit(batch: Batch): Promise<Committed> {
    return this.#exclusively(() => this.#commit(batch));
  }

  /** Runs queries on a connection of their own; files stay attached until they end. Order: oldest file first. */
  read<T>(work: (connection: DuckDBConnection, files: readonly SpanFile[]) => Promise<T>): Promise<T> {
    return this.#turnstile.shared(async () => {
      if (this.#database === undefined) throw storeNotReady(this.#problem);
      const connection = await this.#database.connect();
      try {
        return await work(connection, [...this.#database.files]);
      } finally {
        connection.closeSync();
      }
    });
  }

  /** A FROM clause over one table of the given files. */
  static source(table: TableName, columns: string, files: readonly SpanFile[]): string {
    return files.map((file) => `SELECT ${columns} FROM ${file.catalog}.${table}`).join(' UNION ALL ');
  }

  /** Deletes what retention says. Files with rows after `summarizedSeq` stay as long as bytes allow. */
  enforceRetention(summarizedSeq: number): Promise<void> {
    return this.#exclusively(() => this.#turnstile.alone(() => this.#enforceRetention(summarizedSeq)));
  }

  /** Files that may hold rows of the hot window. */
  isHot(file: SpanFile): boolean {
    return file.newestMs >= this.#options.clock.now() - this.#options.retention.hot_window;
  }

  /** Opens every file anew and reads all of it, after a read failed in a way that looks like damage. */
  async checkFiles(): Promise<void> {
    await this.#exclusively(() => this.#reopen('deep'));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#exclusively(() =>
      this.#turnstile.alone(async () => {
        this.#database?.close();
        this.#database = undefined;
      }),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#writing.then(work);
    this.#writing = run.then(
      () => undefined,
      () => undefined,
    );
    return run;
  }

  async #commit(batch: Batch): Promise<Committed> {
    if (this.#closed) throw agentStopping();
    await this.#checkRoom();
    const database = await this.#opened();
    const now = this.#options.clock.now();
    try {
      const file = await this.#current(database, now);
      const spans = await this.#withoutStored(database, batch.spans);
      const rows = await this.#write(database.writer, file, { ...batch, spans }, now);
      if (rows > 0) {
        file.minSeq ||= this.#lastSeq + 1;
        this.#lastSeq += rows;
        file.maxSeq = this.#lastSeq;
        file.newestMs = Math.max(file.newestMs, now);
      }
      for (const span of spans) file.seen?.add(span.traceId, span.spanId);
      return { spans: spans.length, duplicates: batch.spans.length - spans.length };
    } catch (thrown) {
      // After a failed write the engine may refuse everything; only opening anew is sure to be sound.
      await this.#abandon(thrown);
      throw notDurable(thrown);
    }
  }

  async #write(writer: DuckDBConnection, file: SpanFile, batch: Batch, now: number): Promise<number> {
    let seq = this.#lastSeq + 1;
    const parts: [TableName, number, AppendRows][] = [
      ['spans', batch.spans.length, appendSpans(batch.spans)],
      ['logs', batch.logs.length, appendLogs(batch.logs)],
      ['metrics', batch.metrics.length, appendMetrics(batch.metrics)],
    ];
    const filled = parts.filter(([, rows]) => rows > 0);
    if (filled.length === 0) return 0;
    await writer.run('BEGIN');
    for (const [table, rows, append] of filled) {
      const appender = await writer.createAppender(table, 'main', file.catalog);
      append(appender, seq, now);
      appender.closeSync();
      seq += rows;
    }
    await writer.run('COMMIT');
    return seq - this.#lastSeq - 1;
  }

  async #withoutStored(database: SpanDatabase, spans: readonly SpanRecord[]): Promise<SpanRecord[]> {
    const unique = new Map(spans.map((span) => [span.traceId + span.spanId, span]));
    const hot = database.files.filter((file) => this.isHot(file));
    for (const file of hot) {
      const maybe = [...unique.values()].filter((span) => file.seen?.mayHave(span.traceId, span.spanId) ?? true);
      for (const key of await storedAmong(database.writer, file, maybe)) unique.delete(key);
    }
    return [...unique.values()];
  }

  async #current(database: SpanDatabase, now: number): Promise<SpanFile> {
    const newest = database.files.at(-1);
    const { file_length } = this.#options.retention;
    if (newest !== undefined && now < newest.startMs + file_length) return newest;
    const file = newSpanFile(this.#options.directory, Math.max(now, (newest?.startMs ?? 0) + 1));
    await database.create(file);
    // The old file takes its log in; nothing is written to it any more.
    if (newest !== undefined) await database.writer.run(`CHECKPOINT ${newest.catalog}`);
    return file;
  }

  async #checkRoom(): Promise<void> {
    const { limits, retention, directory } = this.#options;
    const free = await (this.#options.freeBytes ?? freeBytesOf)(directory);
    if (free < limits.min_free_disk) throw diskLow(free, limits.min_free_disk);
    if (this.#full) throw storeFull(retention.max_bytes);
  }

  async #opened(): Promise<SpanDatabase> {
    if (this.#database !== undefined) return this.#database;
    if (this.#options.clock.monotonic() - this.#triedAt < reopenEveryMs) throw storeNotReady(this.#problem);
    return this.#reopen();
  }

  async #abandon(thrown: unknown): Promise<void> {
    this.#problem = thrown;
    this.#options.log.error('a commit failed; nothing of it was acknowledged', describeError(thrown));
    await this.#turnstile.alone(async () => {
      this.#database?.close();
      this.#database = undefined;
    });
  }

  async #reopen(check: 'survey' | 'deep' = 'survey'): Promise<SpanDatabase> {
    const { directory, limits, clock, log } = this.#options;
    this.#triedAt = clock.monotonic();
    return this.#turnstile.alone(async () => {
      this.#database?.close();
      this.#database = undefined;
      try {
        const database = await SpanDatabase.open({
          directory,
          memoryBytes: limits.database_memory,
          clock,
          log,
          check,
          onLoss: (loss) => this.#losses.push(loss),
        });
        for (const file of database.files) {
          this.#lastSeq = Math.max(this.#lastSeq, file.maxSeq);
          if (this.isHot(file)) await remember(database.writer, file);
        }
        if (database.files.length === 0) await database.create(newSpanFile(directory, clock.now()));
        this.#database = database;
        this.#problem = undefined;
        return database;
      } catch (thrown) {
        this.#problem = thrown;
        throw thrown;
      }
    });
  }

  async #enforceRetention(summarizedSeq: number): Promise<void> {
    const database = this.#database;
    if (database === undefined) return;
    const { retention, directory, clock, log } = this.#options;
    const now = clock.now();
    const sizes = new Map<SpanFile, number>();
    for (const file of database.files) {
      sizes.set(file, await sizeOf(file.path));
      if (!this.isHot(file)) file.seen = undefined;
    }
    let total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    for (const [file, size] of sizes) {
      if (this.isHot(file)) break;
      const tooMuch = total > retention.max_bytes;
      const waiting = file.maxSeq > summarizedSeq;
      if (!tooMuch && (waiting || file.newestMs >= now - retention.max_age)) break;
      if (waiting) {
        this.#losses.push({ what: 'spans deleted before they were summarised', file: file.path });
        log.error('data_loss: spans were deleted before they were summarised', { file: file.path });
      }
      await database.detach(file);
      await deleteSpanFile(file.path);
      total -= size;
    }
    if (database.files.length === 0) await database.create(newSpanFile(directory, now));
    this.#full = total > retention.max_bytes;
    await deleteOldDamaged(directory, now);
  }
}

async function freeBytesOf(directory: string): Promise<number> {
  const found = await statfs(directory);
  return found.bavail * found.bsize;
}

async function remember(connection: DuckDBConnection, file: SpanFile): Promise<void> {
  const result = await connection.stream(`SELECT trace_id, span_id FROM ${file.catalog}.spans`);
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
    const [traceIds, spanIds] = chunk.getColumns();
    traceIds?.forEach((traceId, i) => file.seen?.add(String(traceId), String(spanIds?.[i])));
  }
}
