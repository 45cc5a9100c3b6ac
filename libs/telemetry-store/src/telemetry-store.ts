import type { Clock } from '@coral/model';
import type { colonyV1 } from '@coral/rpc';
import { Database } from './database.js';
import type { SetAside } from './open-database.js';
import { checkBatch, type RefusalReason } from './ingest/check-batch.js';
import { ingestBatch } from './ingest/ingest-batch.js';
import { TelemetryView } from './read/telemetry-view.js';
import { Snapshots, type Snapshot } from './snapshot.js';
import { BadBatch } from './telemetry-store.errors.js';

export const storeDefaults = {
  retentionMs: 30 * 86_400_000,
  /** How often a batch that comes in also deletes what is too old. */
  pruneEveryMs: 3_600_000,
  /** An agent may be away for long; forgetting where its outbox stands would make it wait for batches long gone. */
  outboxRetentionMs: 400 * 86_400_000,
  memoryLimit: '512MB',
  threads: 2,
  snapshotMaxAgeMs: 2_000,
  /** How far back SQL over the published views can look. */
  sqlHorizonMs: 86_400_000,
  maxEpochLength: 64,
} as const;

export interface TelemetryStoreOptions {
  /** Of this store alone; made when missing. */
  directory: string;
  clock: Clock;
  retentionMs?: number;
  memoryLimit?: string;
  threads?: number;
  snapshotMaxAgeMs?: number;
  sqlHorizonMs?: number;
}

export interface IngestResult {
  /** Highest seq of the epoch up to which every batch is on disk. */
  durableSeq: number;
  /** The batch was in already; nothing was added. */
  duplicate: boolean;
  refused: Partial<Record<RefusalReason, number>>;
  clamped: number;
  trimmed: number;
  /** Services of the rows that were kept. */
  services: string[];
}

/** Counts since this process opened the store. */
export interface StoreTotals {
  batches: number;
  duplicates: number;
  /** Rows kept, all tables together. */
  rows: number;
  refused: number;
  clamped: number;
  trimmed: number;
}

/** The colony's memory: what agents summarised, in one DuckDB file with one writer. */
export class TelemetryStore implements AsyncDisposable {
  /** Damaged files that were renamed when this store opened; whoever opened it must say so loudly. */
  readonly setAside: readonly SetAside[];
  readonly #database: Database;
  readonly #snapshots: Snapshots;
  readonly #clock: Clock;
  readonly #retentionMs: number;
  #prunedAt = -Infinity;
  readonly #totals: StoreTotals = { batches: 0, duplicates: 0, rows: 0, refused: 0, clamped: 0, trimmed: 0 };

  private constructor(database: Database, setAside: SetAside[], options: TelemetryStoreOptions) {
    this.#database = database;
    this.setAside = setAside;
    this.#clock = options.clock;
    this.#retentionMs = options.retentionMs ?? storeDefaults.retentionMs;
    this.#snapshots = new Snapshots({
      database,
      directory: options.directory,
      clock: options.clock,
      maxAgeMs: options.snapshotMaxAgeMs ?? storeDefaults.snapshotMaxAgeMs,
      horizonMs: options.sqlHorizonMs ?? storeDefaults.sqlHorizonMs,
    });
  }

  /** Errors: `data_directory_in_use`, `data_directory_unusable` (both failed_precondition). */
  static async open(options: TelemetryStoreOptions): Promise<TelemetryStore> {
    const { database, setAside } = await Database.open({
      directory: options.directory,
      memoryLimit: options.memoryLimit ?? storeDefaults.memoryLimit,
      threads: options.threads ?? storeDefaults.threads,
      now: options.clock.now(),
    });
    try {
      if (setAside.length > 0) {
        // Agents have forgotten what the lost rows held: no outbox may wait for batches that nobody has any more.
        await database.write(async (sql) => {
          await sql.run('UPDATE outbox SET resync = true');
          await sql.run(`INSERT INTO store_fact VALUES ('rows_lost', $now)`, { now: String(options.clock.now()) });
        });
      }
      return new TelemetryStore(database, setAside, options);
    } catch (thrown) {
      await database.close();
      throw thrown;
    }
  }

  /**
   * Adds one batch, all or nothing, and returns when it is on disk. The same (agent, epoch, seq) again changes nothing.
   * Rows that cannot be true are left out and counted. Errors: `bad_batch`, `telemetry_unavailable`.
   */
  async ingest(agentId: string, batch: colonyV1.PushSummaryRequest): Promise<IngestResult> {
    const { epoch, seq } = batch;
    if (epoch === '' || epoch.length > storeDefaults.maxEpochLength)
      throw new BadBatch('its epoch has a bad length', 'epoch');
    if (!Number.isSafeInteger(seq) || seq < 1) throw new BadBatch(`its seq is ${seq}`, 'seq');
    const arrivalMs = this.#clock.now();
    const checked = checkBatch(batch, arrivalMs);
    const identity = {
      agentId,
      epoch,
      seq,
      oldestSeq: batch.oldestSeq,
      producedAtMs: batch.producedAtMs,
      arrivalMs,
    };
    const { durableSeq, duplicate } = await this.#database.write((sql) => ingestBatch(sql, identity, checked));
    const { refused, clamped, trimmed } = checked;
    this.#count(duplicate, checked);
    await this.#pruneIfDue(arrivalMs);
    const services = [
      ...new Set([...checked.windows, ...checked.edges, ...checked.sightings].map((row) => row.service)),
    ];
    return { durableSeq, duplicate, refused, clamped, trimmed, services };
  }

  #count(duplicate: boolean, checked: ReturnType<typeof checkBatch>): void {
    this.#totals.batches += 1;
    if (duplicate) {
      this.#totals.duplicates += 1;
      return;
    }
    const { windows, edges, links, sightings } = checked;
    this.#totals.rows += windows.length + edges.length + links.length + sightings.length;
    this.#totals.refused += Object.values(checked.refused).reduce((sum, n) => sum + n, 0);
    this.#totals.clamped += checked.clamped;
    this.#totals.trimmed += checked.trimmed;
  }

  totals(): StoreTotals {
    return { ...this.#totals };
  }

  /** What the agent's clock showed when it announced itself, against ours. Positive: it runs ahead. */
  async recordSkew(agentId: string, skewMs: number): Promise<void> {
    const now = this.#clock.now();
    await this.#database.write(async (sql) => {
      const agent = { agent: agentId, skew: skewMs };
      const known = await sql.row('SELECT 1 AS yes FROM agent_report WHERE agent_id = $agent', { agent: agentId });
      if (known) await sql.run('UPDATE agent_report SET skew_ms = $skew::BIGINT WHERE agent_id = $agent', agent);
      else {
        await sql.run(`INSERT INTO agent_report VALUES ($agent, $now::BIGINT, 0, $skew::BIGINT, 0, 0, 0, 0, '')`, {
          ...agent,
          now,
        });
      }
    });
  }

  /** Runs `work` on one moment of the store. Aborting interrupts it. */
  async read<T>(work: (view: TelemetryView) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return await this.#database.read((sql) => work(new TelemetryView(sql)), signal);
  }

  /** A copy of the published tables for foreign SQL, at most `snapshotMaxAgeMs` old. Dispose it after use. */
  async snapshot(): Promise<Snapshot> {
    return await this.#snapshots.take();
  }

  async #pruneIfDue(now: number): Promise<void> {
    if (now - this.#prunedAt < storeDefaults.pruneEveryMs && now >= this.#prunedAt) return;
    this.#prunedAt = now;
    await this.prune();
  }

  /** Deletes what is older than the retention. Runs by itself with the batches; here for operators and tests. */
  async prune(): Promise<void> {
    const old = { old: this.#clock.now() - this.#retentionMs };
    const silent = { old: this.#clock.now() - storeDefaults.outboxRetentionMs };
    await this.#database.write(async (sql) => {
      await sql.run('DELETE FROM service_window WHERE start_ms < $old::BIGINT', old);
      await sql.run('DELETE FROM edge_window WHERE start_ms < $old::BIGINT', old);
      await sql.run('DELETE FROM event WHERE at_ms < $old::BIGINT', old);
      await sql.run('DELETE FROM peer WHERE last_seen_ms < $old::BIGINT', old);
      await sql.run('DELETE FROM service_seen WHERE last_seen_ms < $old::BIGINT', old);
      await sql.run('DELETE FROM outbox WHERE last_received_ms < $old::BIGINT', silent);
      await sql.run('DELETE FROM batch_ahead WHERE (agent_id, epoch) NOT IN (SELECT (agent_id, epoch) FROM outbox)');
      // The newest instance of a service stays: without it, the next version would look like the first one.
      await sql.run(
        `DELETE FROM instance WHERE last_seen_ms < $old::BIGINT AND (service, first_seen_ms) NOT IN
           (SELECT (service, max(first_seen_ms)) FROM instance GROUP BY service)`,
        old,
      );
    });
  }

  async close(): Promise<void> {
    await this.#snapshots.close();
    await this.#database.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
