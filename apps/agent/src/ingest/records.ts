import type { SpanKindName, StatusName } from './semantics.js';

/** One span as it is stored. Times are microseconds since the Unix epoch; `attributes`, `resource`, `events` are JSON text. */
export interface SpanRecord {
  traceId: string;
  spanId: string;
  /** Empty for a root span. */
  parentSpanId: string;
  service: string;
  version: string;
  instance: string;
  host: string;
  name: string;
  kind: SpanKindName;
  startUs: bigint;
  endUs: bigint;
  durationNs: bigint;
  status: StatusName;
  statusMessage: string;
  failed: boolean;
  route: string;
  /** Set for spans that count as one outgoing call; see `outgoingOf`. */
  peerKind: 'request' | 'database' | 'queue' | null;
  peerAddress: string;
  peerSystem: string;
  peerName: string;
  attributes: string;
  resource: string;
  events: string;
  /** Bucket of the duration in libs/model/histogram; null for 0 ns. */
  bucket: number | null;
}

export interface LogRecord {
  timeUs: bigint;
  service: string;
  severity: string;
  severityNumber: number;
  body: string;
  traceId: string;
  spanId: string;
  attributes: string;
  resource: string;
}

/** One metric of one export with all its data points, as OTLP/JSON. */
export interface MetricRecord {
  /** Newest of its data points. */
  timeUs: bigint;
  service: string;
  name: string;
  type: string;
  unit: string;
  points: number;
  payload: string;
  resource: string;
}

/** What one request held, and what of it cannot be kept. */
export interface Reading {
  spans: SpanRecord[];
  logs: LogRecord[];
  metrics: MetricRecord[];
  /** Items (spans, log records, data points) that were malformed. */
  rejected: number;
  /** Why, for the exporter's log; empty when nothing was rejected. */
  message: string;
  /** Spans that end up to an hour in the future: kept, but somebody's clock is wrong. */
  early: number;
  /** Attributes cut or dropped by the caps. */
  cut: number;
}
