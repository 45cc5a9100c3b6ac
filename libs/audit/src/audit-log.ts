import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path';
import { setImmediate as endOfTurn } from 'node:timers/promises';
import { CoralError } from '@coral/errors';
import type { Clock } from '@coral/model';
import { AuditUnavailable } from './audit.errors.js';
import { sealRow, type AuditEntry, type AuditRow, type ChainHead } from './audit-row.js';
import { lockDirectory } from './directory-lock.js';
import { capPayload, capString } from './payload.js';
import { nodeSegmentFiles, type SegmentFiles } from './segment-files.js';
import { SegmentWriter, type Tail } from './segment-writer.js';
import { openTail, unrecordedPieces } from './tail.js';

/** A segment that has reached this size is followed by the next one. Bytes. */
export const defaultSegmentBytes = 8 * 1024 * 1024;
/** Rows waiting for the disk; more are refused as `audit_unavailable`, so that a stuck disk cannot fill the memory. */
export const maxQueuedRows = 10_000;
/** One write to the disk takes rows until it has this many bytes. */
export const maxBatchBytes = 4 * 1024 * 1024;
/** Rows that come one turn of the event loop after the other share a write; after this many turns it begins. */
export const maxGatheredTurns = 8;
/** After a write of so many rows, the next one waits this long for half as many. Calls one after the other never wait. */
export const crowdRows = 4;
export const crowdWaitMs = 1;
/** After a failure the log tries again on its own this often, so that a colony taken out of traffic recovers. */
export const retryMs = 1_000;

export interface AuditLogOptions {
  directory: string;
  clock: Clock;
  files?: SegmentFiles;
  segmentBytes?: number;
}

/** An entry as it will be written: capped, and its payload printed. */
interface Fitted {
  entry: AuditEntry;
  payloadText: string;
}

interface Waiting extends Fitted {
  resolve(row: AuditRow): void;
  reject(error: CoralError): void;
}

interface Failure {
  at: string;
  refused: number;
  why: string;
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') return thrown.code;
  return thrown instanceof Error ? thrown.message : 'unknown';
}

/**
 * The primary record: rows chained by hash in append-only segments. Rows that arrive while a write is in flight share the
 * next write and its fsync.
 */
export class AuditLog implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #lock: Disposable;
  readonly #writer: SegmentWriter;
  #head: ChainHead;
  #queue: Waiting[] = [];
  #draining: Promise<void> | undefined;
  /** Of the last write. */
  #lastRows = 0;
  /** Set while a write waits for more rows. */
  #crowd: { rows: number; come(): void } | undefined;
  #failure: Failure | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(clock: Clock, lock: Disposable, writer: SegmentWriter, head: ChainHead) {
    this.#clock = clock;
    this.#lock = lock;
    this.#writer = writer;
    this.#head = head;
  }

  /**
   * Takes the directory for itself and checks the end of the chain. Throws `audit_in_use`, `audit_chain_broken` or
   * `audit_unavailable`. A last line cut short by a crash is moved to a side file, which a row records.
   */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const { directory, clock, files = nodeSegmentFiles, segmentBytes = defaultSegmentBytes } = options;
    let lock: Disposable | undefined;
    try {
      await files.makeDirectory(directory);
      await files.syncDirectory(dirname(directory));
      lock = lockDirectory(directory);
      const tail: Tail = await openTail(directory, files);
      const log = new AuditLog(clock, lock, new SegmentWriter(directory, files, tail, segmentBytes), tail.head);
      try {
        await log.#begin(directory, files);
      } catch (thrown) {
        await log.#writer.close();
        throw thrown;
      }
      return log;
    } catch (thrown) {
      lock?.[Symbol.dispose]();
      if (thrown instanceof CoralError) throw thrown;
      throw new AuditUnavailable(reasonOf(thrown), thrown);
    }
  }

  async #begin(directory: string, files: SegmentFiles): Promise<void> {
    const own = { user_id: null, agent_id: null };
    if (this.#head.seq < 0) {
      const payload = { format: 'coral-audit/1', hash: 'sha256' };
      await this.#write([fit({ ...own, kind: 'audit.genesis', payload })]);
    }
    const pieces = await unrecordedPieces(directory, files, this.#head);
    if (pieces.length > 0) await this.#write([fit({ ...own, kind: 'audit.torn', payload: { pieces } })]);
  }

  /**
   * Resolves with the row once it is durable; rejects with `audit_unavailable` when it is not, and then it never was there.
   * The payload is made to fit first (see payload.ts).
   */
  append(entry: AuditEntry): Promise<AuditRow> {
    if (this.#closed) return Promise.reject(new AuditUnavailable('the log is closed'));
    if (this.#queue.length >= maxQueuedRows) {
      if (this.#failure) this.#failure.refused += 1;
      return Promise.reject(new AuditUnavailable(`${maxQueuedRows} rows are waiting for the disk`));
    }
    const fitted = fit(entry);
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...fitted, resolve, reject });
      if (this.#crowd !== undefined && this.#queue.length >= this.#crowd.rows) this.#crowd.come();
      this.#drain();
    });
  }

  /** False from a failed write until one succeeds again. */
  writable(): boolean {
    return !this.#closed && this.#failure === undefined;
  }

  /** The last durable row. Held elsewhere, it proves later that nothing was cut off. */
  head(): ChainHead {
    return { ...this.#head };
  }

  #drain(): void {
    this.#draining ??= this.#drainQueue().finally(() => {
      this.#draining = undefined;
      // A row may have come in between the last look at the queue and now.
      if (this.#queue.length > 0) this.#drain();
    });
  }

  async #drainQueue(): Promise<void> {
    do {
      await this.#gather();
      const batch = this.#takeBatch();
      this.#lastRows = batch.length;
      try {
        const rows = await this.#write(batch);
        for (const [i, row] of rows.entries()) batch[i]?.resolve(row);
      } catch (thrown) {
        this.#fail(thrown, batch);
      }
    } while (this.#queue.length > 0);
  }

  /**
   * What else this turn of the event loop brings shares the write: without it the first row would have a disk to itself, and
   * the rows that follow upon a write would miss the next one. As long as each further turn brings more (then the loop is
   * busy with their calls, and nobody waits for nothing) so does that. Calls that were answered together come back together:
   * after a write of many rows the first ones of the next are not written alone, where they would hold up the others.
   */
  async #gather(): Promise<void> {
    await this.#gatherTurns();
    const expected = Math.ceil(this.#lastRows / 2);
    if (this.#lastRows < crowdRows || this.#queue.length >= expected || this.#closed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timeout = setTimeout(resolve, crowdWaitMs);
    this.#crowd = { rows: expected, come: resolve };
    await promise;
    this.#crowd = undefined;
    clearTimeout(timeout);
    await this.#gatherTurns();
  }

  async #gatherTurns(): Promise<void> {
    for (let turn = 0; turn < maxGatheredTurns; turn += 1) {
      const seen = this.#queue.length;
      await endOfTurn();
      if (this.#queue.length === seen) return;
    }
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { payloadText } of this.#queue) {
      if (bytes >= maxBatchBytes) break;
      bytes += payloadText.length;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /** One write, one fsync. The head moves only when both are done. After a failure, the first row tells of it. */
  async #write(entries: readonly Fitted[]): Promise<AuditRow[]> {
    const own = this.#failure ? [fit(recovered(this.#failure))] : [];
    const at = new Date(this.#clock.now()).toISOString();
    let head = this.#head;
    const sealed = [...own, ...entries].map(({ entry, payloadText }) => {
      const next = sealRow(entry, head, randomUUID(), at, payloadText);
      head = { seq: next.row.seq, hash: next.row.hash };
      return next;
    });
    if (sealed.length === 0) return [];
    await this.#writer.append(Buffer.from(sealed.map(({ line }) => line).join(''), 'utf8'));
    this.#head = head;
    this.#failure = undefined;
    return sealed.slice(own.length).map(({ row }) => row);
  }

  #fail(thrown: unknown, batch: readonly Waiting[]): void {
    const why = reasonOf(thrown);
    this.#failure ??= { at: new Date(this.#clock.now()).toISOString(), refused: 0, why };
    this.#failure.refused += batch.length;
    for (const waiting of batch) waiting.reject(new AuditUnavailable(why, thrown));
    clearTimeout(this.#retry);
    if (this.#closed) return;
    this.#retry = setTimeout(() => this.#drain(), retryMs);
    this.#retry.unref();
  }

  /** Waits for the rows under way, then lets the directory go. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#crowd?.come();
    clearTimeout(this.#retry);
    while (this.#draining) await this.#draining;
    await this.#writer.close();
    this.#lock[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function fit({ kind, user_id, agent_id, payload: given }: AuditEntry): Fitted {
  const { payload, text } = capPayload(given);
  const cap = (name: string | null): string | null => (name === null ? null : capString(name));
  return { entry: { kind, user_id: cap(user_id), agent_id: cap(agent_id), payload }, payloadText: text };
}

function recovered(failure: Failure): AuditEntry {
  const payload = { failed_at: failure.at, refused_rows: failure.refused, error: capString(failure.why) };
  return { kind: 'audit.recovered', user_id: null, agent_id: null, payload };
}
