import { rm } from 'node:fs/promises';
import { DuckDBInstance, type DuckDBConnection, type DuckDBValue } from '@duckdb/node-api';
import { CoralError } from '@coral/errors';
import { startOfChain, type ChainPosition, type GoodRow } from './chain.js';
import { appendRows } from './audit-index-append.js';
import { indexRowsOf } from './audit-index-rows.js';
import { applyLateEnds, createTables, schemaVersion } from './audit-index.sql.js';
import type { JsonValue } from './canonical-json.js';
import { readFrom } from './read.js';

/** Rows taken into the index in one transaction: it is filled on the loop that answers calls, so not too many at once. */
const batchRows = 2_000;

export interface AuditIndexOptions {
  /** DuckDB file; made when missing, made anew when it does not fit the segments. */
  file: string;
  /** Directory of the segments. */
  directory: string;
}

/**
 * RFD 028's three tables in DuckDB, for questions. Not a record: it is derived from the segments, may be deleted at any
 * time and is rebuilt from them.
 */
export class AuditIndex implements AsyncDisposable {
  readonly #options: AuditIndexOptions;
  #instance: DuckDBInstance;
  #connection: DuckDBConnection;
  #position: ChainPosition = startOfChain;
  #work: Promise<unknown> = Promise.resolve();

  private constructor(options: AuditIndexOptions, instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#options = options;
    this.#instance = instance;
    this.#connection = connection;
  }

  /** Opens the index and catches up. Throws `audit_index_in_use` when another process has the file open. */
  static async open(options: AuditIndexOptions): Promise<AuditIndex> {
    const { instance, connection } = await openFile(options.file);
    const index = new AuditIndex(options, instance, connection);
    try {
      index.#position = (await readPosition(connection)) ?? (await index.#startAnew());
      await index.catchUp();
    } catch (thrown) {
      await index.close();
      throw thrown;
    }
    return index;
  }

  /**
   * Takes in the rows written since the last time; doing it twice changes nothing. When the segments are not the ones the
   * index was made from, it is rebuilt; when they are broken, `audit_chain_broken`.
   */
  catchUp(): Promise<void> {
    return this.#inTurn(async () => {
      try {
        await this.#takeIn();
      } catch (thrown) {
        const mayBeOurs = thrown instanceof CoralError && thrown.reason === 'audit_chain_broken';
        if (!mayBeOurs || this.#position === startOfChain) throw thrown;
        this.#position = await this.#startAnew();
        await this.#takeIn();
      }
    });
  }

  /** Runs our own SQL, never a stranger's. Rows as plain JSON values: times are texts, big numbers too. */
  sql(query: string, params: Record<string, DuckDBValue> | DuckDBValue[] = []): Promise<Record<string, JsonValue>[]> {
    return this.#inTurn(async () => {
      const reader = await this.#connection.runAndReadAll(query, params);
      return reader.getRowObjectsJson() as Record<string, JsonValue>[];
    });
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      this.#connection.closeSync();
      this.#instance.closeSync();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One connection, so one thing at a time: a question never sees half a batch. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#work.then(work);
    this.#work = turn.catch(() => undefined); // the caller has the rejection; the next in line must not
    return turn;
  }

  async #startAnew(): Promise<ChainPosition> {
    this.#connection.closeSync();
    this.#instance.closeSync();
    await removeFile(this.#options.file);
    const { instance, connection } = await openFile(this.#options.file);
    this.#instance = instance;
    this.#connection = connection;
    await connection.run(createTables);
    return startOfChain;
  }

  async #takeIn(): Promise<void> {
    let batch: GoodRow[] = [];
    for await (const good of readFrom(this.#options.directory, this.#position, 'hashed')) {
      batch.push(good);
      if (batch.length >= batchRows) {
        await this.#merge(batch);
        batch = [];
      }
    }
    await this.#merge(batch);
  }

  async #merge(batch: readonly GoodRow[]): Promise<void> {
    const last = batch.at(-1);
    if (last === undefined) return;
    const connection = this.#connection;
    const rows = indexRowsOf(batch.map(({ row }) => row));
    await connection.run('BEGIN');
    try {
      await appendRows(connection, rows);
      if (rows.late.length > 0) await connection.run(applyLateEnds);
      const { ordinal, offset, line, head } = last.after;
      await connection.run(
        'UPDATE audit_index_position SET ordinal = $1, "offset" = $2, line = $3, seq = $4, hash = $5',
        [ordinal, offset, line, head.seq, head.hash],
      );
      await connection.run('COMMIT');
    } catch (thrown) {
      await connection.run('ROLLBACK');
      throw thrown;
    }
    this.#position = last.after;
  }
}

async function openFile(file: string): Promise<{ instance: DuckDBInstance; connection: DuckDBConnection }> {
  const settings = {
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    enable_external_access: 'false',
    memory_limit: '256MB',
    threads: '1',
  };
  let instance: DuckDBInstance;
  try {
    instance = await DuckDBInstance.create(file, settings);
  } catch (thrown) {
    if (String(thrown).includes('Could not set lock')) throw new AuditIndexInUse(file, thrown);
    await removeFile(file); // not readable as DuckDB, and nothing that the segments do not hold
    instance = await DuckDBInstance.create(file, settings);
  }
  return { instance, connection: await instance.connect() };
}

async function removeFile(file: string): Promise<void> {
  await rm(file, { force: true });
  await rm(`${file}.wal`, { force: true });
}

/** Undefined when the file is new or of another version of this code. */
async function readPosition(connection: DuckDBConnection): Promise<ChainPosition | undefined> {
  const known = await connection.runAndReadAll(
    "SELECT count(*)::INTEGER AS n FROM information_schema.tables WHERE table_name = 'audit_index_position'",
  );
  if (known.getRowObjectsJson()[0]?.['n'] !== 1) return undefined;
  const found = await connection.runAndReadAll(
    'SELECT ordinal, "offset", line, seq, hash FROM audit_index_position WHERE version = $1',
    [schemaVersion],
  );
  const row = found.getRowObjectsJson()[0];
  if (row === undefined) return undefined;
  const [ordinal, offset, line, seq] = ['ordinal', 'offset', 'line', 'seq'].map((name) => Number(row[name]));
  if (!ordinal || offset === undefined || !line || seq === undefined) return undefined;
  return seq < 0 ? startOfChain : { ordinal, offset, line, head: { seq, hash: String(row['hash']) } };
}

class AuditIndexInUse extends CoralError {
  constructor(file: string, cause: unknown) {
    super({
      kind: 'failed_precondition',
      reason: 'audit_index_in_use',
      where: file,
      message: `Another process has the audit index ${file} open.`,
      next: 'Stop that process, or ask the running colony instead.',
      cause,
    });
  }
}
