import { randomUUID } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CoralError } from '@coral/errors';
import { colonyV1 } from '@coral/rpc';
import { dataDirUnusable } from '../agent.errors.js';
import { describeError, type AgentLog } from '../log.js';
import type { DataLoss } from '../store/span-database.js';
import { dataDirInUse } from '../store/store.errors.js';

export type SummaryBatch = Omit<colonyV1.PushSummaryRequest, 'epoch' | 'seq'>;

export interface OutboxOptions {
  /** The agent's data_dir; the file is `outbox.db` there. It is also the lock of the whole directory. */
  directory: string;
  /** Over it the oldest batches are dropped. */
  maxBytes: number;
  now: number;
  log: AgentLog;
}

interface Row {
  seq: number;
  payload: Uint8Array;
}

/**
 * Summaries on their way to the colony, and the cursor up to which spans are summarised. Both change in one transaction,
 * so every span is in exactly one batch however the process ends. SQLite with synchronous=FULL: committed is durable.
 */
export class Outbox implements Disposable {
  readonly #db: DatabaseSync;
  readonly #maxBytes: number;
  readonly #log: AgentLog;
  #bytes = 0;
  #losses: DataLoss[] = [];
  /** True when there was no sound outbox: what is in the span files may have been counted already. */
  readonly startedOver: boolean;

  private constructor(db: DatabaseSync, options: OutboxOptions, startedOver: boolean) {
    this.#db = db;
    this.#maxBytes = options.maxBytes;
    this.#log = options.log;
    this.startedOver = startedOver;
    this.#bytes = Number(this.#row('SELECT coalesce(sum(length(payload)), 0) AS n FROM batches')['n']);
  }

  /** Throws `data_dir_in_use` when another process holds it; a damaged file is set aside and begun anew. */
  static open(options: OutboxOptions): Outbox {
    const path = join(options.directory, 'outbox.db');
    const isNew = !existsSync(path);
    try {
      return new Outbox(openDatabase(path, options.directory), options, isNew);
    } catch (thrown) {
      if (thrown instanceof CoralError) throw thrown;
      if (!isDamaged(thrown)) throw dataDirUnusable(options.directory, thrown);
      const name = `.damaged-${options.now}-outbox.db`;
      renameSync(path, join(options.directory, name));
      for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
      options.log.error('data_loss: the damaged outbox was set aside', { file: name, ...describeError(thrown) });
      const outbox = new Outbox(openDatabase(path, options.directory), options, true);
      outbox.#losses.push({ what: 'unsent summaries', file: name });
      return outbox;
    }
  }

  /** Names this life of the outbox towards the colony. */
  get epoch(): string {
    return String(this.#row('SELECT epoch FROM state')['epoch']);
  }

  /** Spans up to this seq are summarised. */
  get cursor(): number {
    return Number(this.#row('SELECT cursor FROM state')['cursor']);
  }

  get bytes(): number {
    return this.#bytes;
  }

  get length(): number {
    return Number(this.#row('SELECT count(*) AS n FROM batches')['n']);
  }

  takeLosses(): DataLoss[] {
    return this.#losses.splice(0);
  }

  /** Moves the cursor without a batch; only for an outbox that started over. */
  skipTo(cursor: number): void {
    this.#db.prepare('UPDATE state SET cursor = ?').run(cursor);
  }

  /** Adds batches and moves the cursor, durably and together. */
  add(batches: readonly SummaryBatch[], cursor: number): void {
    const { epoch, next } = this.#row('SELECT epoch, next_seq AS next FROM state');
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const insert = this.#db.prepare('INSERT INTO batches (seq, payload) VALUES (?, ?)');
      let added = 0;
      batches.forEach((batch, i) => {
        const seq = Number(next) + i;
        const payload = colonyV1.PushSummaryRequest.encode({ epoch: String(epoch), seq, ...batch }).finish();
        insert.run(seq, payload);
        added += payload.length;
      });
      const dropped = this.#dropOldest(this.#bytes + added - this.#maxBytes);
      this.#db.prepare('UPDATE state SET cursor = ?, next_seq = ?').run(cursor, Number(next) + batches.length);
      this.#db.exec('COMMIT');
      this.#bytes += added - dropped.bytes;
      if (dropped.batches > 0) {
        this.#losses.push({ what: `${dropped.batches} unsent summaries over limits.max_outbox`, file: 'outbox.db' });
        this.#log.error('data_loss: the outbox is full, its oldest summaries were dropped', { ...dropped });
      }
    } catch (thrown) {
      this.#db.exec('ROLLBACK');
      throw thrown;
    }
  }

  /** The oldest batch that the colony has not confirmed. */
  oldest(): { seq: number; request: colonyV1.PushSummaryRequest } | undefined {
    const row = this.#db.prepare('SELECT seq, payload FROM batches ORDER BY seq LIMIT 1').get() as Row | undefined;
    if (row === undefined) return undefined;
    return { seq: row.seq, request: colonyV1.PushSummaryRequest.decode(row.payload) };
  }

  /** The colony holds everything up to `seq`. */
  forget(seq: number): void {
    this.#db.prepare('DELETE FROM batches WHERE seq <= ?').run(seq);
    this.#bytes = Number(this.#row('SELECT coalesce(sum(length(payload)), 0) AS n FROM batches')['n']);
  }

  /** Gives up one batch that the colony will never take. */
  drop(seq: number, why: string): void {
    this.#db.prepare('DELETE FROM batches WHERE seq = ?').run(seq);
    this.#bytes = Number(this.#row('SELECT coalesce(sum(length(payload)), 0) AS n FROM batches')['n']);
    this.#losses.push({ what: `summary ${seq} refused by the colony: ${why}`, file: 'outbox.db' });
    this.#log.error('data_loss: the colony refuses a summary', { seq, why });
  }

  close(): void {
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #dropOldest(excess: number): { batches: number; bytes: number } {
    const dropped = { batches: 0, bytes: 0 };
    while (dropped.bytes < excess) {
      const row = this.#db
        .prepare('DELETE FROM batches WHERE seq = (SELECT min(seq) FROM batches) RETURNING length(payload) AS bytes')
        .get();
      if (row === undefined) break;
      dropped.batches++;
      dropped.bytes += Number(row['bytes']);
    }
    return dropped;
  }

  #row(sql: string): Record<string, unknown> {
    return this.#db.prepare(sql).get() ?? {};
  }
}

function openDatabase(path: string, directory: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    // EXCLUSIVE is kept until the process ends, whichever way it ends; it is taken by the first write.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    db.exec(`CREATE TABLE IF NOT EXISTS state (epoch TEXT NOT NULL, cursor INTEGER NOT NULL, next_seq INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS batches (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL)`);
    if (db.prepare('SELECT count(*) AS n FROM state').get()?.['n'] === 0) {
      db.prepare('INSERT INTO state VALUES (?, 0, 1)').run(randomUUID());
    }
    const check = db.prepare('PRAGMA quick_check(1)').get();
    if (check?.['quick_check'] !== 'ok') throw new DamagedOutbox(String(check?.['quick_check']));
    return db;
  } catch (thrown) {
    db.close();
    throw isLocked(thrown) ? dataDirInUse(directory, thrown) : thrown;
  }
}

class DamagedOutbox extends Error {}

/** SQLite's primary result codes (sqlite.org/rescode.html). */
const sqlite = { busy: 5, locked: 6, corrupt: 11, notADatabase: 26 } as const;

function codeOf(thrown: unknown): number {
  return thrown instanceof Error && 'errcode' in thrown ? Number(thrown.errcode) & 0xff : 0;
}

function isLocked(thrown: unknown): boolean {
  return codeOf(thrown) === sqlite.busy || codeOf(thrown) === sqlite.locked;
}

function isDamaged(thrown: unknown): boolean {
  return thrown instanceof DamagedOutbox || codeOf(thrown) === sqlite.corrupt || codeOf(thrown) === sqlite.notADatabase;
}
