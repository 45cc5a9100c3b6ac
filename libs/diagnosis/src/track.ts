import { changeRules, type Metric } from './change-rules.js';
import { pooled, trafficPoints, type Point, type Series } from './series.js';
import { median, noiseOf } from './statistics.js';

/** Points with what a comparison needs: a level per point on a scale where noise is even, and its noise. */
export interface Track {
  metric: Metric;
  points: readonly Point[];
  /** Logarithms for latency and traffic, plain rates for errors. */
  levels: number[];
  noise: number;
}

/** Sampling noise of a percentile of n log-normal requests is √(p(1-p)/n) / φ(Φ⁻¹(p)) · σ: these are the first factors. */
const samplingFactor = { p50: 1.2533, p95: 2.11 } as const;

/** Seen by the p95, or by the median, which is steadier and finds what befell most requests when there are few. */
function latencyTrack(series: Series, by: 'p50' | 'p95'): Track {
  const usable = (p: Point): boolean => (p.p95 ?? 0) > 0 && (p.p50 ?? 0) > 0;
  const points = pooled(series, changeRules.minRequests).filter(usable);
  const levels = points.map((p) => Math.log(p[by] as number));
  const sampling = points.map((p) => {
    const spread = Math.log((p.p95 as number) / (p.p50 as number)) / 1.645;
    return (samplingFactor[by] * Math.min(Math.max(spread, 0.1), 1)) / Math.sqrt(p.requests);
  });
  const noise = Math.max(noiseOf(levels), sampling.length === 0 ? 0 : median(sampling), changeRules.latency.leastNoise);
  return { metric: 'p95_ms', points, levels, noise };
}

function trafficTrack(series: Series, stepMs: number, now: number): Track {
  const points = trafficPoints(series, stepMs, now);
  // Anscombe-like: a zero step stays finite and small counts keep their noise.
  const levels = points.map((p) => Math.log(p.requests + 0.5));
  const typical = points.length === 0 ? 1 : median(points.map((p) => p.requests)) + 0.5;
  const noise = Math.max(noiseOf(levels), 1 / Math.sqrt(typical), changeRules.traffic.leastNoise);
  return { metric: 'requests_per_s', points, levels, noise };
}

function errorTrack(series: Series): Track {
  const points = pooled(series, changeRules.minRequests);
  return { metric: 'error_rate', points, levels: points.map((p) => p.errors / p.requests), noise: 0 };
}

/** Steps of a long series, a whole number at a time: counts add up, the median stands for the percentiles. */
function coarsened(series: Series): { series: Series; factor: number } {
  const factor = Math.ceil(series.length / changeRules.maxPoints);
  if (factor === 1) return { series, factor };
  const coarse: Point[] = [];
  for (let i = 0; i < series.length; i += factor) {
    const part = series.slice(i, i + factor);
    const known = (pick: (p: Point) => number | null): number | null => {
      const values = part.map(pick).filter((v) => v !== null);
      return values.length === 0 ? null : median(values);
    };
    coarse.push({
      start: (part[0] as Point).start,
      end: (part.at(-1) as Point).end,
      requests: part.reduce((sum, p) => sum + p.requests, 0),
      errors: part.reduce((sum, p) => sum + p.errors, 0),
      p50: known((p) => p.p50),
      p95: known((p) => p.p95),
    });
  }
  return { series: coarse, factor };
}

export interface Prepared {
  tracks: Track[];
  stepMs: number;
}

/** Requests in a step that is not over from which it may speak for itself. */
const fewInOpenStep = 20;

/** Without the step that is not over when it holds few requests, and not half of what a step holds. */
function settled(series: Series, now: number): Series {
  const last = series.at(-1);
  if (last === undefined || last.end <= now || last.requests >= fewInOpenStep) return series;
  return last.requests < median(series.map((p) => p.requests)) / 2 ? series.slice(0, -1) : series;
}

/** The tracks in which a metric is searched, the first first. */
export function prepare(metric: Metric, series: Series, stepMs: number, now: number): Prepared {
  if (metric === 'requests_per_s') return { tracks: [trafficTrack(series, stepMs, now)], stepMs };
  const { series: coarse, factor } = coarsened(settled(series, now));
  const tracks =
    metric === 'p95_ms' ? [latencyTrack(coarse, 'p95'), latencyTrack(coarse, 'p50')] : [errorTrack(coarse)];
  return { tracks, stepMs: stepMs * factor };
}

/** The level of the points `[from, to)` in the metric's own unit: a median, or a pooled rate. */
export function levelOf(track: Track, from: number, to: number, stepMs: number): number {
  const part = track.points.slice(from, to);
  if (track.metric === 'p95_ms') return median(part.map((p) => p.p95 as number));
  if (track.metric === 'requests_per_s') return median(part.map((p) => p.requests)) / (stepMs / 1_000);
  const requests = part.reduce((sum, p) => sum + p.requests, 0);
  return part.reduce((sum, p) => sum + p.errors, 0) / Math.max(1, requests);
}

/** Points that a search for a change can use; fewer than five can prove nothing. */
export function usablePoints(series: Series): number {
  return pooled(series, changeRules.minRequests).length;
}
