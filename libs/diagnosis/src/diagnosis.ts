import type { EdgeRow, EventRow, MetricRow, NodeRow, ServiceHealth } from '@coral/tools';

/** What the tools said, and nothing else: the diagnosis invents no number and asks no one. */
export interface Observations {
  /** Wall clock of the newest answer, ms. */
  now: number;
  nodes: NodeRow[];
  edges: EdgeRow[];
  health: ServiceHealth[];
  /** Grouped by service and time; step in ms. */
  serviceSeries: MetricRow[];
  /** Grouped by service, dependency and time; same step. */
  dependencySeries: MetricRow[];
  stepMs: number;
  events: EventRow[];
  /** Agents that did not answer, by name. */
  silentAgents: string[];
}

export interface Question {
  text: string;
  /** The service asked about; absent: all of them. */
  service?: string;
  symptom: 'latency' | 'errors' | 'traffic' | 'any';
}

export type CauseKind = 'deploy' | 'restart' | 'database' | 'dependency' | 'traffic' | 'service';

export interface Cause {
  /** Service, or node id for a database, queue or external. */
  service: string;
  kind: CauseKind;
  version?: string;
  previousVersion?: string;
  /** RFC 3339: when the change that explains the symptom began. */
  at: string;
}

/** One fact behind the answer, in words with its numbers, and the tool that gave it. */
export interface Evidence {
  text: string;
  tool: string;
  service?: string;
}

/** CONFIRMED: the change precedes the symptom, lies on its path and explains its size. LIKELY: one of these is weak. */
export type Verdict = 'CONFIRMED' | 'LIKELY' | 'INCONCLUSIVE';

export interface Diagnosis {
  verdict: Verdict;
  /** What is wrong, measured where the question asked; null when nothing is. */
  symptom: {
    service: string;
    metric: 'p95_ms' | 'error_rate' | 'requests_per_s';
    before: number | null;
    after: number;
    since: string;
  } | null;
  /** Null when nothing is wrong, or nothing found explains it. */
  cause: Cause | null;
  /** Best first; the first is `cause`. */
  ranked: { cause: Cause; score: number; why: string }[];
  evidence: Evidence[];
  /** Changes looked at and not blamed, with the reason. */
  ruledOut: { what: string; why: string }[];
  /** What could not be seen. */
  gaps: string[];
  /** The answer in Markdown-free sentences, ready to print. */
  text: string;
}
