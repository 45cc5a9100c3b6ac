/**
 * OTLP 1.9 as tables (proto/opentelemetry holds the same as .proto; a spec compares the two). They drive one reader that
 * turns protobuf into the shape of OTLP/JSON, so both encodings share everything that follows.
 */
export type ScalarType =
  | 'string'
  | 'bool'
  | 'int32'
  | 'uint32'
  | 'sint32'
  | 'enum'
  | 'fixed32'
  | 'int64'
  | 'uint64'
  | 'fixed64'
  | 'sfixed64'
  | 'double'
  /** bytes, shown as lower-case hexadecimal (trace and span ids) */
  | 'id'
  /** bytes, shown as base64 */
  | 'bytes';

export interface Field {
  name: string;
  type: ScalarType | MessageTable;
  repeated: boolean;
}

/** Fields by number. */
export type MessageTable = Map<number, Field>;

type FieldNotes = readonly [number: number, name: string, type: ScalarType | MessageTable, repeated?: 'repeated'];

function message(...fields: FieldNotes[]): MessageTable {
  return new Map(
    fields.map(([number, name, type, repeated]) => [number, { name, type, repeated: repeated !== undefined }]),
  );
}

const anyValue: MessageTable = new Map();
const keyValue = message([1, 'key', 'string'], [2, 'value', anyValue]);
const arrayValue = message([1, 'values', anyValue, 'repeated']);
const keyValueList = message([1, 'values', keyValue, 'repeated']);
for (const [number, field] of message(
  [1, 'stringValue', 'string'],
  [2, 'boolValue', 'bool'],
  [3, 'intValue', 'int64'],
  [4, 'doubleValue', 'double'],
  [5, 'arrayValue', arrayValue],
  [6, 'kvlistValue', keyValueList],
  [7, 'bytesValue', 'bytes'],
)) {
  anyValue.set(number, field);
}

const scope = message(
  [1, 'name', 'string'],
  [2, 'version', 'string'],
  [3, 'attributes', keyValue, 'repeated'],
  [4, 'droppedAttributesCount', 'uint32'],
);
const resource = message([1, 'attributes', keyValue, 'repeated'], [2, 'droppedAttributesCount', 'uint32']);

const spanEvent = message(
  [1, 'timeUnixNano', 'fixed64'],
  [2, 'name', 'string'],
  [3, 'attributes', keyValue, 'repeated'],
  [4, 'droppedAttributesCount', 'uint32'],
);
const spanLink = message(
  [1, 'traceId', 'id'],
  [2, 'spanId', 'id'],
  [3, 'traceState', 'string'],
  [4, 'attributes', keyValue, 'repeated'],
  [5, 'droppedAttributesCount', 'uint32'],
  [6, 'flags', 'fixed32'],
);
const span = message(
  [1, 'traceId', 'id'],
  [2, 'spanId', 'id'],
  [3, 'traceState', 'string'],
  [4, 'parentSpanId', 'id'],
  [5, 'name', 'string'],
  [6, 'kind', 'enum'],
  [7, 'startTimeUnixNano', 'fixed64'],
  [8, 'endTimeUnixNano', 'fixed64'],
  [9, 'attributes', keyValue, 'repeated'],
  [10, 'droppedAttributesCount', 'uint32'],
  [11, 'events', spanEvent, 'repeated'],
  [12, 'droppedEventsCount', 'uint32'],
  [13, 'links', spanLink, 'repeated'],
  [14, 'droppedLinksCount', 'uint32'],
  [15, 'status', message([2, 'message', 'string'], [3, 'code', 'enum'])],
  [16, 'flags', 'fixed32'],
);

const exemplar = message(
  [2, 'timeUnixNano', 'fixed64'],
  [3, 'asDouble', 'double'],
  [4, 'spanId', 'id'],
  [5, 'traceId', 'id'],
  [6, 'asInt', 'sfixed64'],
  [7, 'filteredAttributes', keyValue, 'repeated'],
);
const numberPoint = message(
  [2, 'startTimeUnixNano', 'fixed64'],
  [3, 'timeUnixNano', 'fixed64'],
  [4, 'asDouble', 'double'],
  [5, 'exemplars', exemplar, 'repeated'],
  [6, 'asInt', 'sfixed64'],
  [7, 'attributes', keyValue, 'repeated'],
  [8, 'flags', 'uint32'],
);
const histogramPoint = message(
  [2, 'startTimeUnixNano', 'fixed64'],
  [3, 'timeUnixNano', 'fixed64'],
  [4, 'count', 'fixed64'],
  [5, 'sum', 'double'],
  [6, 'bucketCounts', 'fixed64', 'repeated'],
  [7, 'explicitBounds', 'double', 'repeated'],
  [8, 'exemplars', exemplar, 'repeated'],
  [9, 'attributes', keyValue, 'repeated'],
  [10, 'flags', 'uint32'],
  [11, 'min', 'double'],
  [12, 'max', 'double'],
);
const buckets = message([1, 'offset', 'sint32'], [2, 'bucketCounts', 'uint64', 'repeated']);
const exponentialPoint = message(
  [1, 'attributes', keyValue, 'repeated'],
  [2, 'startTimeUnixNano', 'fixed64'],
  [3, 'timeUnixNano', 'fixed64'],
  [4, 'count', 'fixed64'],
  [5, 'sum', 'double'],
  [6, 'scale', 'sint32'],
  [7, 'zeroCount', 'fixed64'],
  [8, 'positive', buckets],
  [9, 'negative', buckets],
  [10, 'flags', 'uint32'],
  [11, 'exemplars', exemplar, 'repeated'],
  [12, 'min', 'double'],
  [13, 'max', 'double'],
  [14, 'zeroThreshold', 'double'],
);
const summaryPoint = message(
  [2, 'startTimeUnixNano', 'fixed64'],
  [3, 'timeUnixNano', 'fixed64'],
  [4, 'count', 'fixed64'],
  [5, 'sum', 'double'],
  [6, 'quantileValues', message([1, 'quantile', 'double'], [2, 'value', 'double']), 'repeated'],
  [7, 'attributes', keyValue, 'repeated'],
  [8, 'flags', 'uint32'],
);
const metric = message(
  [1, 'name', 'string'],
  [2, 'description', 'string'],
  [3, 'unit', 'string'],
  [5, 'gauge', message([1, 'dataPoints', numberPoint, 'repeated'])],
  [
    7,
    'sum',
    message(
      [1, 'dataPoints', numberPoint, 'repeated'],
      [2, 'aggregationTemporality', 'enum'],
      [3, 'isMonotonic', 'bool'],
    ),
  ],
  [9, 'histogram', message([1, 'dataPoints', histogramPoint, 'repeated'], [2, 'aggregationTemporality', 'enum'])],
  [
    10,
    'exponentialHistogram',
    message([1, 'dataPoints', exponentialPoint, 'repeated'], [2, 'aggregationTemporality', 'enum']),
  ],
  [11, 'summary', message([1, 'dataPoints', summaryPoint, 'repeated'])],
  [12, 'metadata', keyValue, 'repeated'],
);

const logRecord = message(
  [1, 'timeUnixNano', 'fixed64'],
  [2, 'severityNumber', 'enum'],
  [3, 'severityText', 'string'],
  [5, 'body', anyValue],
  [6, 'attributes', keyValue, 'repeated'],
  [7, 'droppedAttributesCount', 'uint32'],
  [8, 'flags', 'fixed32'],
  [9, 'traceId', 'id'],
  [10, 'spanId', 'id'],
  [11, 'observedTimeUnixNano', 'fixed64'],
  [12, 'eventName', 'string'],
);

/** A request of any signal: resource → scope → items, under the signal's own names. */
function request(resourceName: string, scopeName: string, itemsName: string, item: MessageTable): MessageTable {
  const scopes = message([1, 'scope', scope], [2, itemsName, item, 'repeated'], [3, 'schemaUrl', 'string']);
  const resources = message([1, 'resource', resource], [2, scopeName, scopes, 'repeated'], [3, 'schemaUrl', 'string']);
  return message([1, resourceName, resources, 'repeated']);
}

export const exportTraceRequest = request('resourceSpans', 'scopeSpans', 'spans', span);
export const exportMetricsRequest = request('resourceMetrics', 'scopeMetrics', 'metrics', metric);
export const exportLogsRequest = request('resourceLogs', 'scopeLogs', 'logRecords', logRecord);
