import type { MetricRow } from '@coral/tools';
import type { Observations } from './diagnosis.js';

/** One step, or a few steps pooled because each alone held too few requests. Times in ms since the Unix epoch. */
export interface Point {
  start: number;
  /** Exclusive. */
  end: number;
  requests: number;
  errors: number;
  p50: number | null;
  p95: number | null;
}

/** Steps with requests only, ascending. */
export type Series = readonly Point[];

export interface SeriesSet {
  stepMs: number;
  /** Start of the oldest and end of the newest step in any series; both 0 when there is none. */
  from: number;
  to: number;
  services: ReadonlyMap<string, Series>;
  /** By calling service, then by the id of the node it calls. */
  edges: ReadonlyMap<string, ReadonlyMap<string, Series>>;
}

/** Rows of one step add up; the slower percentile stands for both, so that the order of rows cannot matter. */
function addRow(steps: Map<number, Point>, row: MetricRow, start: number, stepMs: number): void {
  const held = steps.get(start);
  const larger = (a: number | null, b: number | null): number | null => (a === null || (b !== null && b > a) ? b : a);
  steps.set(start, {
    start,
    end: start + stepMs,
    requests: (held?.requests ?? 0) + row.requests,
    errors: (held?.errors ?? 0) + row.errors,
    p50: larger(held?.p50 ?? null, row.p50_ms),
    p95: larger(held?.p95 ?? null, row.p95_ms),
  });
}

function inOrder(steps: Map<number, Point>): Series {
  return [...steps.values()].filter((p) => p.requests > 0).sort((a, b) => a.start - b.start);
}

/** Reads the rows of both queries; rows without a service or a readable start are skipped. */
export function readSeries(o: Observations): SeriesSet {
  const services = new Map<string, Map<number, Point>>();
  const edges = new Map<string, Map<string, Map<number, Point>>>();
  for (const row of o.serviceSeries) {
    const start = Date.parse(row.start ?? '');
    if (row.service === undefined || Number.isNaN(start)) continue;
    const steps = services.get(row.service) ?? new Map<number, Point>();
    services.set(row.service, steps);
    addRow(steps, row, start, o.stepMs);
  }
  for (const row of o.dependencySeries) {
    const start = Date.parse(row.start ?? '');
    if (row.service === undefined || row.dependency === undefined || Number.isNaN(start)) continue;
    const out = edges.get(row.service) ?? new Map<string, Map<number, Point>>();
    edges.set(row.service, out);
    const steps = out.get(row.dependency) ?? new Map<number, Point>();
    out.set(row.dependency, steps);
    addRow(steps, row, start, o.stepMs);
  }
  const readServices = new Map([...services].map(([name, steps]) => [name, inOrder(steps)] as const));
  const readEdges = new Map(
    [...edges].map(([name, out]) => [name, new Map([...out].map(([to, steps]) => [to, inOrder(steps)] as const))]),
  );
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  for (const series of [...readServices.values(), ...[...readEdges.values()].flatMap((out) => [...out.values()])]) {
    const first = series[0];
    const last = series.at(-1);
    if (first === undefined || last === undefined) continue;
    from = Math.min(from, first.start);
    to = Math.max(to, last.end);
  }
  return { stepMs: o.stepMs, from: to === 0 ? 0 : from, to, services: readServices, edges: readEdges };
}

/**
 * Steps with fewer than `least` requests are pooled with their followers until there are enough. Below 20 requests the
 * nearest-rank p95 is the slowest request, so the pool's p95 is exactly the largest of its steps.
 */
export function pooled(series: Series, least: number): Point[] {
  const points: Point[] = [];
  let open: Point | undefined;
  for (const step of series) {
    if (open === undefined) open = step;
    else if (step.requests >= least) {
      // Too few requests before a busy step: they prove nothing alone, and must not speak in its name.
      open = step;
    } else {
      open = {
        start: open.start,
        end: step.end,
        requests: open.requests + step.requests,
        errors: open.errors + step.errors,
        p50: Math.max(open.p50 ?? 0, step.p50 ?? 0),
        p95: Math.max(open.p95 ?? 0, step.p95 ?? 0),
      };
    }
    if (open.requests >= least) {
      points.push(open);
      open = undefined;
    }
  }
  return points;
}

/**
 * One point per whole step from the first request seen on, steps without requests as zeros. The step that contains `now`
 * is left out (it is not over), and so are missing steps at the end: an agent's last summary may still be on its way.
 */
export function trafficPoints(series: Series, stepMs: number, now: number): Point[] {
  const points: Point[] = [];
  for (const step of series) {
    if (step.end > now) break;
    let next = points.at(-1)?.end ?? step.start;
    for (; next < step.start; next += stepMs) {
      points.push({ start: next, end: next + stepMs, requests: 0, errors: 0, p50: null, p95: null });
    }
    points.push(step);
  }
  return points;
}
