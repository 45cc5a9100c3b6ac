import type { EventRow, MetricRow, NodeRow } from '@coral/tools';
import type { Observations } from '../diagnosis.js';

/** One level per step: p95 in ms, and if wanted requests and errors. The p50 is half the p95. */
export interface Level {
  p95: number;
  requests?: number;
  errors?: number;
}

export const stepMs = 10_000;
export const startMs = Date.UTC(2026, 10, 21, 14, 25, 0);

export function at(step: number, plusMs = 0): string {
  return new Date(startMs + step * stepMs + plusMs).toISOString();
}

/** `count` steps of one level, slightly uneven: a made-up series without any noise would be too easy. */
export function steady(count: number, level: Level): Level[] {
  return Array.from({ length: count }, (_, i) => ({ ...level, p95: level.p95 * (1 + 0.03 * ((i * 7) % 5) - 0.06) }));
}

export function rows(key: Pick<MetricRow, 'service' | 'dependency'>, levels: readonly (Level | null)[]): MetricRow[] {
  return levels.flatMap((level, i) => {
    if (level === null) return [];
    const { p95, requests = 200, errors = 0 } = level;
    return [
      {
        ...key,
        start: at(i),
        requests,
        requests_per_s: requests / (stepMs / 1_000),
        errors,
        error_rate: errors / requests,
        p50_ms: p95 / 2,
        p95_ms: p95,
        p99_ms: p95 * 1.2,
        max_ms: p95 * 1.5,
      },
    ];
  });
}

export function deploy(service: string, when: string, version: string, previous: string): EventRow {
  return {
    at: when,
    type: 'deploy',
    service,
    summary: `${service} ${version} deployed`,
    version,
    previous_version: previous,
  };
}

export interface Sketch {
  steps: number;
  services: Record<string, Level[]>;
  /** `from>to`: levels. A name with `@` is a database, one with `//` an external. */
  calls: Record<string, Level[]>;
  events?: EventRow[];
}

function nodeOf(id: string): NodeRow {
  if (id.includes('@'))
    return { id, kind: 'database', name: id.slice(id.indexOf(':') + 1, id.indexOf('@')), system: 'postgresql' };
  return { id, kind: id.includes('//') ? 'external' : 'service', name: id };
}

export function observe(sketch: Sketch, more: Partial<Observations> = {}): Observations {
  const edges = Object.keys(sketch.calls).map((key) => key.split('>') as [string, string]);
  const ids = new Set([...Object.keys(sketch.services), ...edges.flat()]);
  return {
    now: startMs + sketch.steps * stepMs,
    nodes: [...ids].map(nodeOf),
    edges: edges.map(([from, to]) => ({
      from,
      to,
      requests: 1,
      requests_per_s: 1,
      error_rate: 0,
      p50_ms: null,
      p95_ms: null,
      first_seen: at(0),
      last_seen: at(sketch.steps),
    })),
    health: [],
    serviceSeries: Object.entries(sketch.services).flatMap(([service, levels]) => rows({ service }, levels)),
    dependencySeries: Object.entries(sketch.calls).flatMap(([key, levels]) => {
      const [service, dependency] = key.split('>') as [string, string];
      return rows({ service, dependency }, levels);
    }),
    stepMs,
    events: sketch.events ?? [],
    silentAgents: [],
    ...more,
  };
}
