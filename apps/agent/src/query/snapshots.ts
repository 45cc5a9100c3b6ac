import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import type { Clock } from '@coral/model';
import type { SpanFile } from '../store/span-files.js';
import { SpanStore } from '../store/span-store.js';
import { published, tableNames } from '../store/span-tables.js';
import { snapshotFailed } from './query.errors.js';

/** How old a snapshot may be and still answer. */
export const snapshotMaxAgeMs = 1_000;

export interface Snapshot {
  path: string;
  /** Everything committed before is inside, ms since the epoch. */
  asOfMs: number;
  /** End of the oldest span inside; 0 when there is none. */
  oldestMs: number;
}

interface Kept extends Snapshot {
  users: number;
  replaced: boolean;
}

/**
 * Copies of the hot window in files of their own: what the SQL of strangers may read holds the published columns and
 * nothing else. A copy serves everybody for a second and is deleted when nobody reads it any more.
 */
export class Snapshots {
  readonly #directory: string;
  readonly #store: SpanStore;
  readonly #hotWindowMs: number;
  readonly #clock: Clock;
  #making: Promise<Kept> | undefined;
  #made = 0;

  private constructor(directory: string, store: SpanStore, hotWindowMs: number, clock: Clock) {
    this.#directory = directory;
    this.#store = store;
    this.#hotWindowMs = hotWindowMs;
    this.#clock = clock;
  }

  /** `data_dir/query`; what an earlier life left there is deleted. */
  static async open(dataDir: string, store: SpanStore, hotWindowMs: number, clock: Clock): Promise<Snapshots> {
    const directory = join(dataDir, 'query');
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { mode: 0o700 });
    return new Snapshots(directory, store, hotWindowMs, clock);
  }

  /** Runs `work` on a snapshot that stays until it ends. */
  async use<T>(work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
    const kept = await this.#fresh();
    try {
      return await work(kept);
    } finally {
      kept.users--;
      if (kept.replaced) await this.#deleteUnused(kept);
    }
  }

  async #fresh(): Promise<Kept> {
    const current = this.#making;
    if (current !== undefined) {
      const kept = await current.catch(() => undefined);
      if (kept !== undefined && this.#clock.now() - kept.asOfMs <= snapshotMaxAgeMs && !kept.replaced) {
        kept.users++;
        return kept;
      }
      // Whoever comes first replaces it; the others find its promise here.
      if (this.#making !== current) return this.#fresh();
      this.#making = this.#make();
      if (kept !== undefined) {
        kept.replaced = true;
        await this.#deleteUnused(kept);
      }
    } else this.#making = this.#make();
    // It was made with its maker as its first user.
    return this.#making;
  }

  async #deleteUnused(kept: Kept): Promise<void> {
    if (kept.users > 0) return;
    await rm(kept.path, { force: true });
  }

  async #make(): Promise<Kept> {
    const number = ++this.#made;
    const path = join(this.#directory, `snapshot-${number}.duckdb`);
    const asOfMs = this.#clock.now();
    try {
      const oldestMs = await this.#store.read((connection, files) =>
        this.#copy(connection, files, path, `snapshot_${number}`, asOfMs - this.#hotWindowMs),
      );
      return { path, asOfMs, oldestMs, users: 1, replaced: false };
    } catch (thrown) {
      await rm(path, { force: true });
      await rm(`${path}.wal`, { force: true });
      throw snapshotFailed(thrown);
    }
  }

  async #copy(
    connection: DuckDBConnection,
    files: readonly SpanFile[],
    path: string,
    catalog: string,
    sinceMs: number,
  ): Promise<number> {
    const hot = files.filter((file) => this.#store.isHot(file));
    await connection.run(`ATTACH '${path.replaceAll("'", "''")}' AS ${catalog}`);
    try {
      for (const table of tableNames) {
        // Without a hot file there is still a table, with the right columns and no rows.
        const from = hot.length > 0 ? hot : files.slice(-1);
        const source = SpanStore.source(table, published[table].join(', '), from);
        await connection.run(
          `CREATE TABLE ${catalog}.${table} AS SELECT * FROM (${source}) WHERE received_at >= epoch_ms(${sinceMs}::BIGINT)`,
        );
      }
      const found = await connection.runAndReadAll(`SELECT epoch_ms(min(end_time)) FROM ${catalog}.spans`);
      return Number(found.getRows()[0]?.[0] ?? 0);
    } finally {
      await connection.run(`DETACH ${catalog}`);
    }
  }
}
