import type { Limits } from '../agent.config.js';
import type { CapCounter } from './attributes.js';
import { malformedBody } from './ingest.errors.js';
import { readLogs } from './log-reader.js';
import { readMetrics } from './metric-reader.js';
import { exportLogsRequest, exportMetricsRequest, exportTraceRequest, type MessageTable } from './otlp-tables.js';
import { asFields, type Fields } from './otlp-values.js';
import { readMessage } from './protobuf-reader.js';
import type { Reading } from './records.js';
import { Rejections } from './rejections.js';
import { readSpans } from './span-reader.js';

export type Signal = 'traces' | 'metrics' | 'logs';
export type Encoding = 'protobuf' | 'json';

const signals: Record<Signal, { table: MessageTable; list: string; items: string }> = {
  traces: { table: exportTraceRequest, list: 'resourceSpans', items: 'spans' },
  metrics: { table: exportMetricsRequest, list: 'resourceMetrics', items: 'data points' },
  logs: { table: exportLogsRequest, list: 'resourceLogs', items: 'log records' },
};

/** Reads the body of one export. Throws CoralError `malformed_body` when it is no OTLP request at all. */
export function readRequest(signal: Signal, encoding: Encoding, body: Buffer, now: number, limits: Limits): Reading {
  const request = encoding === 'protobuf' ? readMessage(body, signals[signal].table) : readJson(signal, body);
  const caps = {
    maxCount: limits.max_attributes,
    maxValueBytes: limits.max_attribute_value,
    maxEvents: limits.max_events,
  };
  const rejections = new Rejections();
  const counter: CapCounter = { cut: 0 };
  const reading: Reading = { spans: [], logs: [], metrics: [], rejected: 0, message: '', early: 0, cut: 0 };
  try {
    if (signal === 'traces') Object.assign(reading, readSpans(request, now, caps, rejections, counter));
    else if (signal === 'logs') reading.logs = readLogs(request, now, caps, rejections, counter);
    else reading.metrics = readMetrics(request, now, caps, rejections, counter);
  } catch (cause) {
    // Only JSON text nested thousands deep overflows the stack; protobuf has its own limit.
    if (cause instanceof RangeError) throw malformedBody('values are nested too deeply');
    throw cause;
  }
  return {
    ...reading,
    rejected: rejections.count,
    message: rejections.describe(signals[signal].items),
    cut: counter.cut,
  };
}

function readJson(signal: Signal, body: Buffer): Fields {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch (cause) {
    throw malformedBody(cause instanceof Error ? cause.message.slice(0, 200) : 'broken JSON');
  }
  const request = asFields(parsed);
  if (request === undefined) throw malformedBody('the JSON text is not an object');
  const { list } = signals[signal];
  if (request[list] !== undefined && !Array.isArray(request[list])) throw malformedBody(`${list} is not a list`);
  return request;
}
