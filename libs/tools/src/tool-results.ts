/**
 * What the tools answer: one envelope, so that nobody can read a number without the window it covers, how fresh it is,
 * who was asked and who did not answer. Wire names: snake_case; times are RFC 3339 UTC with milliseconds; units are in
 * the name (`_ms`, `_per_s`, `_bytes`).
 */
export interface ToolEnvelope<D = ToolData> {
  data: D;
  /** `no_data`: nothing exists yet for what was asked; `nothing_visible`: it exists, but not for you. Never both as empty data. */
  status: 'ok' | 'no_data' | 'nothing_visible';
  /** The window really covered, which may be shorter than the one asked for. */
  window: { from: string; to: string };
  /** Newest datum in the answer and its age when answered; null when there is none. */
  freshness: { newest: string | null; age_ms: number | null };
  coverage: Coverage;
  /** 1: every request was counted. */
  sampling: { factor: number };
  truncation: { truncated: boolean; cursor?: string; note?: string };
  /** Facts that a reader must not miss: a silent agent, a skewed clock, a clipped window. */
  notes: string[];
}

/** Agents by id with name, each in exactly one list. `silent` ones did not answer or sent nothing for the window. */
export interface Coverage {
  asked: number;
  answered: string[];
  late: string[];
  silent: string[];
  denied: string[];
}

/** The same numbers at another time. `previous_window`: the same length just before; `day_before`: the same window a day earlier. */
export interface Baseline {
  kind: 'previous_window' | 'day_before';
  requests: number;
  requests_per_s: number;
  error_rate: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

/** One group of requests. The keys that were not grouped by are absent. */
export interface MetricRow {
  service?: string;
  route?: string;
  version?: string;
  /** Set when the question is about what `service` calls: the id of the other node. */
  dependency?: string;
  /** Start of the step when grouped by time; steps without requests are absent. */
  start?: string;
  requests: number;
  requests_per_s: number;
  errors: number;
  /** 0..1 */
  error_rate: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  max_ms: number | null;
  /** Empty when grouped by time. Otherwise what there is to compare with, or the words `no baseline`. */
  baseline?: Baseline[] | 'no baseline';
}

export interface TableData {
  kind: 'table';
  columns: { name: string; type: string }[];
  rows: unknown[][];
}

export type QueryData =
  | {
      kind: 'metrics';
      /** The question as it was understood. */ canonical: string;
      /** Length of one step when grouped by time. */ step_ms?: number;
      rows: MetricRow[];
    }
  | { kind: 'events'; canonical: string; events: EventRow[] }
  | TableData;

export type FetchLiveData = TableData & { agent_id: string; as_of: string };

export interface NodeRow {
  /** Unique: the name for a service, `system:name@address` for the rest. */
  id: string;
  kind: 'service' | 'database' | 'queue' | 'external';
  name: string;
  system?: string;
}

export interface EdgeRow {
  from: string;
  to: string;
  requests: number;
  requests_per_s: number;
  error_rate: number;
  p50_ms: number | null;
  p95_ms: number | null;
  first_seen: string;
  last_seen: string;
}

export type GetTopologyData =
  | { format: 'json'; nodes: NodeRow[]; edges: EdgeRow[] }
  | { format: 'graphviz'; text: string };

export type EventType = 'deploy' | 'restart' | 'crash' | 'error_spike' | 'alert';

export interface EventRow {
  at: string;
  type: EventType;
  service: string;
  /** One sentence. */
  summary: string;
  version?: string;
  previous_version?: string;
  instance?: string;
  agent_id?: string;
  reason?: string;
}

export interface QueryEventsData {
  events: EventRow[];
}

export type HealthStatus = 'healthy' | 'degraded' | 'down' | 'unknown';

export interface ServiceHealth {
  service: string;
  status: HealthStatus;
  /** The rule that decided, with the numbers it saw. */
  reason: string;
  /** When the service last answered a request. */
  last_seen: string | null;
  requests_per_s: number;
  error_rate: number;
  p95_ms: number | null;
  /** What these were compared with; null when there was nothing to compare with. */
  reference: { from: string; to: string; error_rate: number; p95_ms: number | null; requests_per_s: number } | null;
}

export interface GetHealthData {
  services: ServiceHealth[];
}

export type ToolData = QueryData | FetchLiveData | GetTopologyData | QueryEventsData | GetHealthData;

/** `structuredContent` of a tool result with `isError`. */
export interface ToolErrorBody {
  error: { kind: string; reason: string; message: string; next?: string; where?: string };
}
