import { bucketOf } from '@coral/model';
import { readAttributes, type AttributeCaps, type CapCounter } from './attributes.js';
import { asEnum, asFields, asId, asInteger, asList, asText, type Fields } from './otlp-values.js';
import type { SpanRecord } from './records.js';
import type { Rejections } from './rejections.js';
import {
  identityOf,
  isFailed,
  maxNameLength,
  outgoingOf,
  routeOf,
  spanKinds,
  statusCodes,
  type Identity,
} from './semantics.js';

/** A span may end this far ahead of our clock: clocks differ. Beyond, it would be in no window anybody asks for. */
export const maxAheadMs = 3_600_000;
/** Spans that ended longer ago than this are rejected. */
export const maxBehindMs = 86_400_000;
/** A clock that steps back inside a span: up to here the span counts as 0 ns long, beyond it is rejected. */
export const maxBackwardsMs = 1_000;
/** Ahead of our clock by more than this is worth a note. */
export const notableAheadMs = 30_000;

export interface SpanCaps extends AttributeCaps {
  maxEvents: number;
}

export interface SpanReading {
  spans: SpanRecord[];
  early: number;
}

/** Reads an ExportTraceServiceRequest. Malformed spans go to `rejections`; the rest is kept. */
export function readSpans(
  request: Fields,
  now: number,
  caps: SpanCaps,
  rejections: Rejections,
  counter: CapCounter,
): SpanReading {
  const reading: SpanReading = { spans: [], early: 0 };
  for (const one of asList(request['resourceSpans'])) {
    const group = asFields(one) ?? {};
    const resource = readAttributes(asFields(group['resource'])?.['attributes'], caps, counter);
    const identity = identityOf(resource);
    const resourceText = JSON.stringify(resource);
    for (const scope of asList(group['scopeSpans'])) {
      for (const item of asList(asFields(scope)?.['spans'])) {
        const span = readSpan(asFields(item), identity, resourceText, now, caps, counter);
        if (typeof span === 'string') rejections.add(span, asText(asFields(item)?.['name'], 80) ?? '');
        else {
          reading.spans.push(span);
          if (span.endUs > BigInt(now + notableAheadMs) * 1_000n) reading.early++;
        }
      }
    }
  }
  return reading;
}

/** The record, or what is wrong with the span. */
function readSpan(
  span: Fields | undefined,
  identity: Identity,
  resource: string,
  now: number,
  caps: SpanCaps,
  counter: CapCounter,
): SpanRecord | string {
  if (span === undefined) return 'not a span';
  const traceId = asId(span['traceId'], 16);
  if (traceId === undefined) return 'trace_id must be 16 bytes, not all zero';
  const spanId = asId(span['spanId'], 8);
  if (spanId === undefined) return 'span_id must be 8 bytes, not all zero';
  const parentSpanId = readParent(span['parentSpanId']);
  if (parentSpanId === undefined) return 'parent_span_id must be 8 bytes or empty';
  const name = asText(span['name'] ?? '', maxNameLength);
  if (name === undefined) return 'name must be text';
  const times = readTimes(span, now);
  if (typeof times === 'string') return times;

  const attributes = readAttributes(span['attributes'], caps, counter);
  const kind = spanKinds[asEnum(span['kind'], spanKinds, 'SPAN_KIND_')] ?? 'UNSPECIFIED';
  const statusFields = asFields(span['status']);
  const status = statusCodes[asEnum(statusFields?.['code'], statusCodes, 'STATUS_CODE_')] ?? 'UNSET';
  const peer = outgoingOf(kind, attributes);
  return {
    traceId,
    spanId,
    parentSpanId,
    ...identity,
    name,
    kind,
    ...times,
    status,
    statusMessage: asText(statusFields?.['message'], caps.maxValueBytes) ?? '',
    failed: isFailed(status, attributes),
    route: routeOf(kind, name, attributes),
    peerKind: peer?.kind ?? null,
    peerAddress: peer?.address ?? '',
    peerSystem: peer?.system ?? '',
    peerName: peer?.name ?? '',
    attributes: JSON.stringify(attributes),
    resource,
    events: readEvents(span['events'], caps, counter),
    bucket: times.durationNs === 0n ? null : bucketOf(Number(times.durationNs)),
  };
}

/** Some exporters write eight zero bytes for "no parent". */
function readParent(value: unknown): string | undefined {
  if (value === undefined || value === null || value === '' || value === '0000000000000000') return '';
  return asId(value, 8);
}

function readTimes(span: Fields, now: number): Pick<SpanRecord, 'startUs' | 'endUs' | 'durationNs'> | string {
  const start = asInteger(span['startTimeUnixNano']);
  const end = asInteger(span['endTimeUnixNano']);
  if (start === undefined || end === undefined || start <= 0n || end <= 0n) {
    return 'start_time_unix_nano and end_time_unix_nano must be set';
  }
  if (end > msToNs(now + maxAheadMs)) return `end_time_unix_nano is more than ${maxAheadMs / 60_000} min in the future`;
  if (end < msToNs(now - maxBehindMs))
    return `end_time_unix_nano is more than ${maxBehindMs / 3_600_000} h in the past`;
  if (start > end + msToNs(maxBackwardsMs)) return 'end_time_unix_nano is before start_time_unix_nano';
  const durationNs = end > start ? end - start : 0n;
  return { startUs: (end - durationNs) / 1_000n, endUs: end / 1_000n, durationNs };
}

function msToNs(ms: number): bigint {
  return BigInt(ms) * 1_000_000n;
}

function readEvents(value: unknown, caps: SpanCaps, counter: CapCounter): string {
  const all = asList(value);
  if (all.length === 0) return '[]';
  counter.cut += Math.max(0, all.length - caps.maxEvents);
  const events = all.slice(0, caps.maxEvents).map((one) => {
    const event = asFields(one) ?? {};
    return {
      name: asText(event['name'], maxNameLength) ?? '',
      time_unix_nano: (asInteger(event['timeUnixNano']) ?? 0n).toString(),
      attributes: readAttributes(event['attributes'], caps, counter),
    };
  });
  return JSON.stringify(events);
}
