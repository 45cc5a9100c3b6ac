/** What the summariser asks of the span files. All of it over spans with `from < seq <= to`. */
import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api';
import type { SpanFile } from '../store/span-files.js';
import { SpanStore } from '../store/span-store.js';

export interface SeqRange {
  from: number;
  to: number;
}

/** Files that may hold rows of a range. */
function filesOf(range: SeqRange, files: readonly SpanFile[]): SpanFile[] {
  return files.filter((file) => file.maxSeq > range.from && file.minSeq <= range.to);
}

async function rows(
  connection: DuckDBConnection,
  files: readonly SpanFile[],
  range: SeqRange,
  columns: string,
  query: (source: string) => string,
): Promise<DuckDBValue[][]> {
  const wanted = filesOf(range, files);
  if (wanted.length === 0) return [];
  const all = SpanStore.source('spans', `seq, ${columns}`, wanted);
  const source = `(SELECT * FROM (${all}) WHERE seq > ${range.from} AND seq <= ${range.to})`;
  return (await connection.runAndReadAll(query(source))).getRows();
}

export async function countSpans(
  connection: DuckDBConnection,
  files: readonly SpanFile[],
  range: SeqRange,
): Promise<number> {
  const found = await rows(connection, files, range, 'kind', (source) => `SELECT count(*) FROM ${source}`);
  return Number(found[0]?.[0] ?? 0);
}

/** Requests in one bucket of one histogram. */
export interface BucketRow {
  startMs: number;
  keys: string[];
  /** null: 0 ns. */
  bucket: number | null;
  requests: number;
  errors: number;
  sumNs: number;
  minNs: number;
  maxNs: number;
}

const measures = 'bucket, count(*), count_if(is_error), sum(duration_ns)::DOUBLE, min(duration_ns), max(duration_ns)';
const measured = 'end_time, bucket, is_error, duration_ns';

/** Spans by the window they end in, by some columns, by bucket. */
export async function bucketRows(
  connection: DuckDBConnection,
  files: readonly SpanFile[],
  range: SeqRange,
  windowMs: number,
  keys: readonly string[],
  where: string,
): Promise<BucketRow[]> {
  const columns = `${keys.join(', ')}, kind, peer_kind AS peer, ${measured}`;
  const start = `epoch_ms(end_time) // ${windowMs} * ${windowMs}`;
  const found = await rows(
    connection,
    files,
    range,
    columns,
    (source) => `SELECT ${start} AS start, ${keys.join(', ')}, ${measures} FROM ${source}
                 WHERE ${where} GROUP BY ALL ORDER BY ALL`,
  );
  return found.map((row) => {
    const [requests, errors, sumNs, minNs, maxNs] = row.slice(-5).map(Number);
    return {
      startMs: Number(row[0]),
      keys: row.slice(1, 1 + keys.length).map((key) => String(key ?? '')),
      bucket: row[1 + keys.length] === null ? null : Number(row[1 + keys.length]),
      requests: requests as number,
      errors: errors as number,
      sumNs: sumNs as number,
      minNs: minNs as number,
      maxNs: maxNs as number,
    };
  });
}

export interface LinkRow {
  traceId: string;
  spanId: string;
  side: 'client' | 'server';
  service: string;
  address: string;
  atMs: number;
}

/**
 * Halves of calls that cross a process border. Traces with the smallest right half of their id come first: ids are random
 * there (W3C Trace Context 2), so every agent that must choose chooses the same traces.
 */
export async function linkRows(
  connection: DuckDBConnection,
  files: readonly SpanFile[],
  range: SeqRange,
  limit: number,
): Promise<LinkRow[]> {
  const found = await rows(
    connection,
    files,
    range,
    'trace_id, span_id, parent_span_id, service, peer_kind, peer_address, kind, end_time',
    (source) => `
      SELECT * FROM (
        SELECT trace_id, span_id, 'client' AS side, service, peer_address, epoch_ms(end_time)
        FROM ${source} WHERE peer_kind IN ('request', 'queue')
        UNION ALL
        SELECT trace_id, parent_span_id, 'server', service, '', epoch_ms(end_time)
        FROM ${source} WHERE kind IN ('SERVER', 'CONSUMER') AND parent_span_id <> ''
      ) ORDER BY right(trace_id, 16), trace_id, side LIMIT ${limit}`,
  );
  return found.map(([traceId, spanId, side, service, address, atMs]) => ({
    traceId: String(traceId),
    spanId: String(spanId),
    side: side === 'client' ? 'client' : 'server',
    service: String(service),
    address: String(address),
    atMs: Number(atMs),
  }));
}

export interface SightingRow {
  service: string;
  version: string;
  instance: string;
  host: string;
  firstMs: number;
  lastMs: number;
}

export async function sightingRows(
  connection: DuckDBConnection,
  files: readonly SpanFile[],
  range: SeqRange,
  limit: number,
): Promise<SightingRow[]> {
  const found = await rows(
    connection,
    files,
    range,
    'service, version, instance, host, end_time',
    (source) => `
      SELECT service, version, instance, host, epoch_ms(min(end_time)) AS first, epoch_ms(max(end_time))
      FROM ${source} GROUP BY ALL ORDER BY first LIMIT ${limit}`,
  );
  return found.map(([service, version, instance, host, firstMs, lastMs]) => ({
    service: String(service),
    version: String(version),
    instance: String(instance),
    host: String(host),
    firstMs: Number(firstMs),
    lastMs: Number(lastMs),
  }));
}
