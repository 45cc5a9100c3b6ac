import type { EventType } from '@coral/tools';

/** In the order in which canonical questions name them; the first one sorts the answer. */
export const metrics = ['latency', 'p50', 'p95', 'p99', 'errors', 'error rate', 'throughput'] as const;
export type Metric = (typeof metrics)[number];

export const dimensions = ['service', 'route', 'version', 'dependency', 'time'] as const;
export type Dimension = (typeof dimensions)[number];

export const eventWords = {
  deploy: 'deployments',
  restart: 'restarts',
  crash: 'crashes',
  error_spike: 'error spikes',
  alert: 'alerts',
} as const satisfies Record<EventType, string>;

/** Steps that time can be cut into: windows are 10 s long, and coarser steps are sums of them. */
export const stepChoices = [10_000, 60_000, 600_000, 3_600_000] as const;

export interface MetricsQuestion {
  kind: 'metrics';
  service?: string;
  agentId?: string;
  metrics: Metric[];
  by: Dimension[];
  /** Length of the window that ends now, ms; a multiple of 10 s. */
  rangeMs: number;
  /** Present exactly when grouped by time. */
  stepMs?: number;
  top?: number;
}

export interface EventsQuestion {
  kind: 'events';
  service?: string;
  agentId?: string;
  /** Empty: all types. */
  types: EventType[];
  rangeMs: number;
}

export type Question = MetricsQuestion | EventsQuestion;

/** 10 s up to half an hour, then 1 m to 6 hours, 10 m to 3 days, 1 h beyond: 72 to 720 steps. */
export function stepFor(rangeMs: number): number {
  if (rangeMs <= 30 * 60_000) return 10_000;
  if (rangeMs <= 6 * 3_600_000) return 60_000;
  return rangeMs <= 3 * 86_400_000 ? 600_000 : 3_600_000;
}
