import type { DuckDBConnection } from '@duckdb/node-api';
import type { SpanRecord } from '../ingest/records.js';
import type { SpanFile } from './span-files.js';

/** Ids per look-up; keeps the statement below 200 KB. */
const idsPerQuery = 2_000;

/** Keys (`trace_id` + `span_id`) of those spans that a file holds already. Ids are hexadecimal by the time they come here. */
export async function storedAmong(
  connection: DuckDBConnection,
  file: SpanFile,
  spans: readonly SpanRecord[],
): Promise<Set<string>> {
  const stored = new Set<string>();
  for (let from = 0; from < spans.length; from += idsPerQuery) {
    const part = spans.slice(from, from + idsPerQuery);
    const ids = part.map((span) => `('${span.traceId}', '${span.spanId}')`).join(', ');
    const found = await connection.runAndReadAll(
      `SELECT s.trace_id || s.span_id FROM ${file.catalog}.spans s
       JOIN (VALUES ${ids}) AS asked (trace_id, span_id) ON s.trace_id = asked.trace_id AND s.span_id = asked.span_id`,
    );
    for (const [key] of found.getRows()) stored.add(String(key));
  }
  return stored;
}
