import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@coral/model';
import type { Database } from './database.js';
import { NodeResolver, readPeers } from './read/nodes.js';
import { textOf } from './rows.js';

/** The tables a stranger's SQL may read. Adding one publishes it. */
export const publishedViews = ['service_windows', 'edges', 'events'] as const;

export interface Snapshot extends Disposable {
  /** DuckDB file with the published tables and nothing else. Valid until disposed. */
  readonly file: string;
  readonly views: readonly string[];
  /** The snapshot holds windows that start in [from, asOf], ms. */
  readonly from: number;
  readonly asOf: number;
}

interface Held {
  file: string;
  from: number;
  asOf: number;
  madeAt: number;
  users: number;
  outdated: boolean;
}

/** Makes read-only copies for foreign SQL, at most one every `maxAgeMs`, and deletes each when its last user is gone. */
export class Snapshots {
  readonly #database: Database;
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #horizonMs: number;
  #current: Promise<Held> | undefined;
  #count = 0;

  constructor(options: { database: Database; directory: string; clock: Clock; maxAgeMs: number; horizonMs: number }) {
    this.#database = options.database;
    this.#directory = join(options.directory, 'snapshots');
    this.#clock = options.clock;
    this.#maxAgeMs = options.maxAgeMs;
    this.#horizonMs = options.horizonMs;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    // Left over from a process that was killed.
    for (const name of readdirSync(this.#directory)) rmSync(join(this.#directory, name), { force: true });
  }

  async take(): Promise<Snapshot> {
    const held = await this.#fresh();
    held.users += 1;
    let disposed = false;
    return {
      file: held.file,
      views: publishedViews,
      from: held.from,
      asOf: held.asOf,
      [Symbol.dispose]: () => {
        if (disposed) return;
        disposed = true;
        held.users -= 1;
        dropIfUnused(held);
      },
    };
  }

  /** Deletes what nobody reads any more. */
  async close(): Promise<void> {
    const last = await this.#current?.catch(() => undefined);
    if (last) retire(last);
    this.#current = undefined;
  }

  async #fresh(): Promise<Held> {
    const current = await this.#current?.catch(() => undefined);
    if (current && this.#clock.monotonic() - current.madeAt <= this.#maxAgeMs) return current;
    // Another caller may have begun a new one while we waited; then its result serves us too.
    this.#next ??= this.#make().finally(() => (this.#next = undefined));
    const next = this.#next;
    this.#current = next;
    const made = await next;
    if (current && current !== made) retire(current);
    return made;
  }
  #next: Promise<Held> | undefined;

  async #make(): Promise<Held> {
    this.#count += 1;
    const file = join(this.#directory, `${this.#count}.duckdb`);
    const madeAt = this.#clock.monotonic();
    const asOf = this.#clock.now();
    const from = asOf - this.#horizonMs;
    const peers = await this.#database.read(async (sql) => {
      const resolver = new NodeResolver(await readPeers(sql), from);
      const rows = await sql.rows('SELECT DISTINCT service, kind, address, system, name FROM edge_window');
      return rows.map((row) => {
        const edge = {
          service: textOf(row, 'service'),
          kind: textOf(row, 'kind') as 'request' | 'database' | 'queue',
          address: textOf(row, 'address'),
          system: textOf(row, 'system'),
          name: textOf(row, 'name'),
        };
        return [edge.service, edge.kind, edge.address, edge.system, edge.name, resolver.nodeOf(edge).id];
      });
    });
    const inHorizon = `start_ms >= ${from}`;
    const numbers = `epoch_ms(start_ms) AS window_start, length_ms AS window_ms, requests, errors,
      CASE WHEN requests > 0 THEN errors / requests END AS error_rate, p50_ms, p95_ms, p99_ms, max_ns / 1e6 AS max_ms`;
    const nodes =
      peers.length === 0
        ? "SELECT '' AS service, '' AS kind, '' AS address, '' AS system, '' AS name, '' AS dependency WHERE false"
        : `SELECT * FROM (VALUES ${peers.map((row) => `(${row.map(quoted).join(', ')})`).join(', ')})
           AS node(service, kind, address, system, name, dependency)`;
    const copying = [
      `ATTACH ${quoted(file)} AS published`,
      'BEGIN',
      `CREATE TABLE published.service_windows AS SELECT agent_id, service, version, route, ${numbers}
         FROM service_window WHERE ${inHorizon} ORDER BY start_ms`,
      `CREATE TABLE published.edges AS SELECT agent_id, service, dependency, kind, system, name, address, ${numbers}
         FROM edge_window JOIN (${nodes}) USING (service, kind, address, system, name) WHERE ${inHorizon} ORDER BY start_ms`,
      `CREATE TABLE published.events AS SELECT epoch_ms(at_ms) AS "at", type, service, summary, version,
         previous_version, instance, host, agent_id, reason FROM event WHERE at_ms >= ${from} ORDER BY at_ms`,
      'COMMIT',
    ];
    // A ROLLBACK with nothing open fails and is ignored; after a failure it lets DETACH through.
    await this.#database.apart(copying, ['ROLLBACK', 'DETACH DATABASE IF EXISTS published']);
    return { file, from, asOf, madeAt, users: 0, outdated: false };
  }
}

function retire(held: Held): void {
  held.outdated = true;
  dropIfUnused(held);
}

function dropIfUnused(held: Held): void {
  if (held.outdated && held.users === 0) rmSync(held.file, { force: true });
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
