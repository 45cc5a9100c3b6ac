import { runCaged } from '@coral/sql-gate';
import { agentV1, durationFromProto } from '@coral/rpc';
import { tableNames } from '../store/span-tables.js';
import { tooManyQueries } from './query.errors.js';
import type { Snapshots } from './snapshots.js';

/** Questions at once; each is a process. */
export const maxQueriesAtOnce = 4;
export const queryLimits = {
  rows: { usual: 1_000, most: 10_000 },
  /** gRPC carries 4 MiB; this leaves room for the columns. */
  bytes: { usual: 1_000_000, most: 3_500_000 },
  timeoutMs: { usual: 10_000, most: 60_000 },
} as const;

/** Answers gated SQL over the hot window. */
export class QueryDesk {
  readonly #snapshots: Snapshots;
  #running = 0;

  constructor(snapshots: Snapshots) {
    this.#snapshots = snapshots;
  }

  async answer(request: agentV1.RunQueryRequest, signal: AbortSignal): Promise<agentV1.RunQueryResponse> {
    const timeoutMs = request.timeout === undefined ? 0 : durationFromProto(request.timeout, 'timeout');
    if (this.#running >= maxQueriesAtOnce) throw tooManyQueries(maxQueriesAtOnce);
    this.#running++;
    try {
      return await this.#snapshots.use(async (snapshot) => {
        const found = await runCaged({
          snapshot: snapshot.path,
          views: tableNames,
          sql: request.sql,
          maxRows: within(request.maxRows, queryLimits.rows),
          maxBytes: within(request.maxBytes, queryLimits.bytes),
          timeoutMs: within(timeoutMs, queryLimits.timeoutMs),
          signal,
        });
        return {
          columns: found.columns,
          rowsJson: Buffer.from(JSON.stringify(found.rows)),
          rowCount: found.rows.length,
          truncated: found.truncated,
          asOfMs: snapshot.asOfMs,
          oldestMs: snapshot.oldestMs,
        };
      });
    } finally {
      this.#running--;
    }
  }
}

/** Absent (0) is the usual, more than the most is the most. */
function within(asked: number, { usual, most }: { usual: number; most: number }): number {
  return asked <= 0 ? usual : Math.min(asked, most);
}
