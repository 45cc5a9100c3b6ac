/** The tables of one span file, and how records become their columns. */
import {
  BIGINT,
  BOOLEAN,
  DuckDBDataChunk,
  DuckDBTimestampValue,
  INTEGER,
  TIMESTAMP,
  VARCHAR,
  type DuckDBAppender,
  type DuckDBType,
  type DuckDBValue,
} from '@duckdb/node-api';
import type { LogRecord, MetricRecord, SpanRecord } from '../ingest/records.js';

type ColumnOf<R> = readonly [name: string, type: DuckDBType, value: (record: R) => DuckDBValue];

const text = <R>(name: string, value: (record: R) => string | null): ColumnOf<R> => [name, VARCHAR, value];
const time = <R>(name: string, value: (record: R) => bigint): ColumnOf<R> => [
  name,
  TIMESTAMP,
  (record) => new DuckDBTimestampValue(value(record)),
];

const spanColumns: ColumnOf<SpanRecord>[] = [
  text('trace_id', (span) => span.traceId),
  text('span_id', (span) => span.spanId),
  text('parent_span_id', (span) => span.parentSpanId),
  text('service', (span) => span.service),
  text('version', (span) => span.version),
  text('instance', (span) => span.instance),
  text('host', (span) => span.host),
  text('name', (span) => span.name),
  text('kind', (span) => span.kind),
  time('start_time', (span) => span.startUs),
  time('end_time', (span) => span.endUs),
  ['duration_ns', BIGINT, (span) => span.durationNs],
  text('status', (span) => span.status),
  text('status_message', (span) => span.statusMessage),
  ['is_error', BOOLEAN, (span) => span.failed],
  text('route', (span) => span.route),
  text('peer_kind', (span) => span.peerKind),
  text('peer_address', (span) => span.peerAddress),
  text('peer_system', (span) => span.peerSystem),
  text('peer_name', (span) => span.peerName),
  text('attributes', (span) => span.attributes),
  text('resource', (span) => span.resource),
  text('events', (span) => span.events),
  ['bucket', INTEGER, (span) => span.bucket],
];

const logColumns: ColumnOf<LogRecord>[] = [
  time('time', (log) => log.timeUs),
  text('service', (log) => log.service),
  text('severity', (log) => log.severity),
  ['severity_number', INTEGER, (log) => log.severityNumber],
  text('body', (log) => log.body),
  text('trace_id', (log) => log.traceId),
  text('span_id', (log) => log.spanId),
  text('attributes', (log) => log.attributes),
  text('resource', (log) => log.resource),
];

const metricColumns: ColumnOf<MetricRecord>[] = [
  time('time', (metric) => metric.timeUs),
  text('service', (metric) => metric.service),
  text('name', (metric) => metric.name),
  text('type', (metric) => metric.type),
  text('unit', (metric) => metric.unit),
  ['points', INTEGER, (metric) => metric.points],
  text('payload', (metric) => metric.payload),
  text('resource', (metric) => metric.resource),
];

/** Every table also says in which order (`seq`, over all files and lives of the agent) and when a row was committed. */
const commitColumns = [
  ['seq', BIGINT],
  ['received_at', TIMESTAMP],
] as const;

/** Tables of a file, which are the published views too; columns that only the agent itself needs are hidden. */
export const published = {
  spans: publicNames(spanColumns, ['bucket']),
  logs: publicNames(logColumns, []),
  metrics: publicNames(metricColumns, []),
} as const;
export type TableName = keyof typeof published;
export const tableNames = Object.keys(published) as TableName[];

function publicNames(columns: readonly (readonly [string, ...unknown[]])[], hidden: readonly string[]): string[] {
  return [...columns.map(([name]) => name).filter((name) => !hidden.includes(name)), 'received_at', 'seq'];
}

/** Statements that make the tables in a freshly attached file. */
export function createTables(catalog: string): string[] {
  const definition = (columns: readonly (readonly [string, DuckDBType, ...unknown[]])[]) =>
    [...columns, ...commitColumns].map(([name, type]) => `${name} ${type.toString()}`).join(', ');
  return [
    `CREATE TABLE ${catalog}.spans (${definition(spanColumns)})`,
    `CREATE TABLE ${catalog}.logs (${definition(logColumns)})`,
    `CREATE TABLE ${catalog}.metrics (${definition(metricColumns)})`,
  ];
}

/** Most rows a chunk holds; DuckDB's vector size. */
const chunkRows = 2_048;

/** Appends records in chunks; the caller flushes and commits. `firstSeq` numbers the first, the others follow. */
function append<R>(
  appender: DuckDBAppender,
  columns: readonly ColumnOf<R>[],
  records: readonly R[],
  firstSeq: number,
  receivedAt: number,
): void {
  const types = [...columns.map(([, type]) => type), ...commitColumns.map(([, type]) => type)];
  const received = new DuckDBTimestampValue(BigInt(receivedAt) * 1_000n);
  for (let from = 0; from < records.length; from += chunkRows) {
    const part = records.slice(from, from + chunkRows);
    const chunk = DuckDBDataChunk.create(types, part.length);
    chunk.setColumns([
      ...columns.map(([, , value]) => part.map(value)),
      part.map((_, i) => BigInt(firstSeq + from + i)),
      part.map(() => received),
    ]);
    appender.appendDataChunk(chunk);
  }
}

export type AppendRows = (appender: DuckDBAppender, firstSeq: number, receivedAt: number) => void;

export const appendSpans =
  (spans: readonly SpanRecord[]): AppendRows =>
  (appender, firstSeq, receivedAt) =>
    append(appender, spanColumns, spans, firstSeq, receivedAt);
export const appendLogs =
  (logs: readonly LogRecord[]): AppendRows =>
  (appender, firstSeq, receivedAt) =>
    append(appender, logColumns, logs, firstSeq, receivedAt);
export const appendMetrics =
  (metrics: readonly MetricRecord[]): AppendRows =>
  (appender, firstSeq, receivedAt) =>
    append(appender, metricColumns, metrics, firstSeq, receivedAt);
