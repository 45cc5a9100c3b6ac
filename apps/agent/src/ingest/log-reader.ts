import { capText, readAnyValue, readAttributes, type AttributeCaps, type CapCounter } from './attributes.js';
import { asEnum, asFields, asId, asInteger, asList, asText, type Fields } from './otlp-values.js';
import type { LogRecord } from './records.js';
import type { Rejections } from './rejections.js';
import { identityOf } from './semantics.js';

const levels = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
/** Index is OTLP's SeverityNumber: UNSPECIFIED, TRACE, TRACE2, … FATAL4. */
const severities = ['UNSPECIFIED', ...levels.flatMap((level) => [level, `${level}2`, `${level}3`, `${level}4`])];

/** Reads an ExportLogsServiceRequest. */
export function readLogs(
  request: Fields,
  now: number,
  caps: AttributeCaps,
  rejections: Rejections,
  counter: CapCounter,
): LogRecord[] {
  const logs: LogRecord[] = [];
  for (const one of asList(request['resourceLogs'])) {
    const group = asFields(one) ?? {};
    const resource = readAttributes(asFields(group['resource'])?.['attributes'], caps, counter);
    const { service } = identityOf(resource);
    const resourceText = JSON.stringify(resource);
    for (const scope of asList(group['scopeLogs'])) {
      for (const item of asList(asFields(scope)?.['logRecords'])) {
        const record = asFields(item);
        if (record === undefined) rejections.add('not a log record', String(item));
        else logs.push({ ...readRecord(record, now, caps, counter), service, resource: resourceText });
      }
    }
  }
  return logs;
}

function readRecord(
  record: Fields,
  now: number,
  caps: AttributeCaps,
  counter: CapCounter,
): Omit<LogRecord, 'service' | 'resource'> {
  const severityNumber = asEnum(record['severityNumber'], severities, 'SEVERITY_NUMBER_');
  const body = readAnyValue(record['body'], 0);
  const bodyText = typeof body === 'string' ? body : JSON.stringify(body);
  return {
    timeUs: timeOf(record, now),
    severity: asText(record['severityText'], 32) || (severities[severityNumber] ?? ''),
    severityNumber,
    body: capText(body === null ? '' : bodyText, caps.maxValueBytes, counter),
    traceId: asId(record['traceId'], 16) ?? '',
    spanId: asId(record['spanId'], 8) ?? '',
    attributes: JSON.stringify(readAttributes(record['attributes'], caps, counter)),
  };
}

/** The record's own time, else when it was observed, else now; a time that no TIMESTAMP can hold is now too. */
function timeOf(record: Fields, now: number): bigint {
  const own = asInteger(record['timeUnixNano']) ?? 0n;
  const time = own > 0n ? own : (asInteger(record['observedTimeUnixNano']) ?? 0n);
  return time > 0n && time < 2n ** 63n ? time / 1_000n : BigInt(now) * 1_000n;
}
