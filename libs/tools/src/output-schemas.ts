import type { ToolName } from './tool-definitions.js';
import type {
  EdgeRow,
  EventRow,
  FetchLiveData,
  GetHealthData,
  GetTopologyData,
  NodeRow,
  QueryData,
  QueryEventsData,
  ServiceHealth,
  TableData,
  ToolEnvelope,
  ToolErrorBody,
} from './tool-results.js';

/**
 * JSON Schemas of `structuredContent`, by hand and small: every client pays for them in each conversation. They promise what
 * never changes and leave values untyped that a redaction rule may replace. Read as 2020-12 or as draft-07 they mean the same.
 */
type Schema = Record<string, unknown>;

/** Properties that each `T` has: of a union, those of all its members. */
type Always<T> = { [K in keyof T]-?: object extends Pick<T, K> ? never : K }[keyof T] & string;

const list = { type: 'array' };

function rowsOf<T>(...always: Always<T>[]): Schema {
  return { ...list, items: { required: always } };
}

function dataOf<T>(properties: Schema, ...always: Always<T>[]): Schema {
  return { properties, required: always };
}

const statuses: ToolEnvelope['status'][] = ['ok', 'no_data', 'nothing_visible'];
const inEnvelope: Always<ToolEnvelope>[] = [
  'data',
  'status',
  'window',
  'freshness',
  'coverage',
  'sampling',
  'truncation',
  'notes',
];
const inError: Always<ToolErrorBody>[] = ['error'];

function envelopeOf(data: Schema): Schema {
  return {
    type: 'object',
    properties: { data, status: { enum: statuses } },
    // The specification exempts errors; the 2025 client of its own SDK (1.32) holds them against the schema all the same.
    anyOf: [{ required: inEnvelope }, { required: inError }],
  };
}

const queryKinds: QueryData['kind'][] = ['metrics', 'events', 'table'];

export const outputSchemas: Record<ToolName, Schema> = {
  coral_query: envelopeOf(dataOf<QueryData>({ kind: { enum: queryKinds }, rows: list, events: list }, 'kind')),
  coral_fetch_live: envelopeOf(
    dataOf<FetchLiveData>(
      { columns: rowsOf<TableData['columns'][number]>('name'), rows: list },
      'columns',
      'rows',
      'as_of',
    ),
  ),
  coral_get_topology: envelopeOf(
    dataOf<GetTopologyData>(
      { nodes: rowsOf<NodeRow>('id', 'kind'), edges: rowsOf<EdgeRow>('from', 'to'), text: { type: 'string' } },
      'format',
    ),
  ),
  coral_query_events: envelopeOf(
    dataOf<QueryEventsData>({ events: rowsOf<EventRow>('at', 'type', 'service', 'summary') }, 'events'),
  ),
  coral_get_health: envelopeOf(
    dataOf<GetHealthData>({ services: rowsOf<ServiceHealth>('service', 'status', 'reason') }, 'services'),
  ),
};
