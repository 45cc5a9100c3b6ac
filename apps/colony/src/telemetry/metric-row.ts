import { percentile } from '@coral/model';
import type { Group } from '@coral/telemetry-store';
import type { Baseline, MetricRow } from '@coral/tools';
import type { BaselineWindow } from './window.js';
import { secondsOf } from './window.js';

export type RowNumbers = Omit<MetricRow, 'service' | 'route' | 'version' | 'dependency' | 'start' | 'baseline'>;

const nothing: Pick<Group, 'requests' | 'errors' | 'latency'> = {
  requests: 0,
  errors: 0,
  latency: { zeroCount: 0, sum: 0, min: 0, max: 0, buckets: [], counts: [] },
};

/** The numbers of one group over `seconds`. Percentiles come from its merged histogram and from nothing else. */
export function numbersOf(
  group: Pick<Group, 'requests' | 'errors' | 'latency'> | undefined,
  seconds: number,
): RowNumbers {
  const { requests, errors, latency } = group ?? nothing;
  return {
    requests,
    requests_per_s: significant(requests / seconds),
    errors,
    error_rate: requests === 0 ? 0 : significant(errors / requests),
    p50_ms: percentileMs(latency, 0.5),
    p95_ms: percentileMs(latency, 0.95),
    p99_ms: percentileMs(latency, 0.99),
    max_ms: percentile(latency, 1) === null ? null : significant(latency.max / 1e6),
  };
}

export function baselineOf(group: Group, window: BaselineWindow): Baseline {
  const { errors: _errors, max_ms: _max, ...numbers } = numbersOf(group, secondsOf(window.from, window.to));
  return { kind: window.kind, ...numbers };
}

export function percentileMs(latency: Group['latency'], p: number): number | null {
  const ns = percentile(latency, p);
  return ns === null ? null : significant(ns / 1e6);
}

/** Six digits: far finer than the histogram's 1.1 %, and short to read. */
export function significant(value: number): number {
  return Number(value.toPrecision(6));
}
