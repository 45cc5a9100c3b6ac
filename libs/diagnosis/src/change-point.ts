import { changeRules, type Metric } from './change-rules.js';
import type { Point, Series } from './series.js';
import { openQuest, refinedOnset, strongest, type Split } from './split.js';
import { median } from './statistics.js';
import { levelOf, prepare, type Track } from './track.js';

/** A rise from one level to another that lasts. Levels are in the metric's own unit: ms, 0..1, requests per second. */
export interface Change {
  metric: Metric;
  before: number;
  after: number;
  /** Start of the first changed point, and the end of the last point that it may have begun in instead. */
  since: number;
  sinceEnd: number;
  /** When the old level came back; null while it lasts. */
  until: number | null;
  /** Standard errors between the two levels. */
  z: number;
  pointsBefore: number;
  pointsAfter: number;
  /** From the start of the first changed point to the end of the last, ms. */
  lastedMs: number;
  /** Young, and its last point is on its way back. */
  fading: boolean;
  /** The median request shows it too, in every changed point: what filled only part of a step does not. */
  steady: boolean;
}

/** The change of a split: where it really began, where it ends, and its levels in the metric's unit. */
function describe(track: Track, split: Split, low: number, high: number, stepMs: number): [Change, number] | undefined {
  const { points } = track;
  const middle = (split.before + split.after) / 2;
  const { at, latest } = refinedOnset(track, split, low, high);
  const end = track.metric === 'error_rate' ? endOfErrors(track, at, middle) : endOf(track, at, middle);
  const isOver = end < points.length;
  if (end - at < changeRules.minPointsAfter) return undefined;
  const lastedMs = (points[end - 1] as Point).end - (points[at] as Point).start;
  if (isOver && lastedMs < changeRules.minOverMs) return undefined;
  if (track.metric !== 'error_rate' && shareAbove(track, at, end, middle) < changeRules.held) return undefined;
  const first = points[at] as Point;
  const change: Change = {
    metric: track.metric,
    before: levelOf(track, Math.max(low, at - changeRules.window), at, stepMs),
    after: levelOf(track, at, end, stepMs),
    since: first.start,
    sinceEnd: (points[latest] as Point).end,
    until: isOver ? (points[end] as Point).start : null,
    z: split.z,
    pointsBefore: Math.min(at - low, changeRules.window),
    pointsAfter: end - at,
    lastedMs,
    steady: isSteady(track, at, end),
    fading: !isOver && lastedMs < changeRules.fadingMs && isFading(track, at, middle),
  };
  return [change, end];
}

/** Share of the points of a new level that really lie on its side. */
function shareAbove({ levels }: Track, at: number, end: number, middle: number): number {
  return levels.slice(at, end).filter((level) => level > middle).length / (end - at);
}

function usualMedian({ points }: Track, at: number): number {
  return median(points.slice(Math.max(0, at - changeRules.window), at).map((p) => p.p50 ?? 0));
}

function isSteady(track: Track, at: number, end: number): boolean {
  const least = usualMedian(track, at) * changeRules.latency.ratio;
  return track.metric !== 'p95_ms' || track.points.slice(at, end).every((p) => (p.p50 ?? 0) >= least);
}

/**
 * A young change whose last point is on its way back is a stall or a cold start that just passed: the p95 of
 * a step holds it even when it filled a tenth of the step, the median does not.
 */
function isFading(track: Track, at: number, middle: number): boolean {
  const { levels, points } = track;
  if ((levels.at(-1) as number) < middle) return true;
  if (track.metric !== 'p95_ms') return false;
  const usual = usualMedian(track, at);
  const highest = Math.max(...points.slice(at).map((p) => p.p50 ?? 0));
  return highest >= usual * changeRules.latency.ratio && (points.at(-1)?.p50 ?? 0) < Math.sqrt(usual * highest);
}

/** First index after `at` where the old level is back: three points in a row below the middle, or the last two. */
function endOf(track: Track, at: number, middle: number): number {
  const { levels } = track;
  let run = 0;
  for (let i = at; i < levels.length; i += 1) {
    run = (levels[i] as number) < middle ? run + 1 : 0;
    if (run === changeRules.pointsBack || (run === 2 && i === levels.length - 1)) return i - run + 1;
  }
  return levels.length;
}

/** Errors are few and ragged: the old rate is back when six points pooled (or all that are left, three or more) say so. */
function endOfErrors(track: Track, at: number, middle: number): number {
  const { points, levels } = track;
  for (let i = at + 1; i <= points.length - changeRules.pointsBack; i += 1) {
    if ((levels[i] as number) < middle && levelOf(track, i, Math.min(points.length, i + 6), 0) < middle / 2) return i;
  }
  return points.length;
}

function search(track: Track, low: number, high: number, stepMs: number, depth: number): Change[] {
  if (depth === 0 || high - low < changeRules.minPointsBefore + changeRules.minPointsAfter) return [];
  const split = strongest(track, openQuest(track.metric, low, high));
  if (split === undefined) return [];
  const described = describe(track, split, low, high, stepMs);
  const found = described?.[0].fading === true ? undefined : described;
  const end = found === undefined ? split.at + 1 : found[1];
  return [
    ...search(track, low, split.at, stepMs, depth - 1),
    ...(found === undefined ? [] : [found[0]]),
    ...search(track, end, high, stepMs, depth - 1),
  ];
}

/** How often a part of a series is searched again left and right of a change: at most 2⁴ - 1 changes per series. */
const searchDepth = 4;

function isAboveFloor(change: Change, leastRatio: number): boolean {
  const { before, after, metric } = change;
  if (metric === 'p95_ms') {
    return after - before >= changeRules.latency.floorMs && after >= before * leastRatio;
  }
  return after - before >= (metric === 'error_rate' ? changeRules.errors.floor / 2 : changeRules.traffic.floorPerS);
}

/** All lasting rises of one metric, oldest first. */
export function risesOf(metric: Metric, series: Series, stepMs: number, now: number): Change[] {
  const { tracks, stepMs: step } = prepare(metric, series, stepMs, now);
  const all: Change[] = [];
  for (const track of tracks) {
    const found = search(track, 0, track.points.length, step, searchDepth).filter((change) =>
      isAboveFloor(change, changeRules.latency.leastRatio),
    );
    const lapsOver = (a: Change, b: Change): boolean =>
      a.since < (b.until ?? Number.POSITIVE_INFINITY) && b.since < (a.until ?? Number.POSITIVE_INFINITY);
    all.push(...found.filter((change) => !all.some((other) => lapsOver(change, other))));
  }
  return all.sort((a, b) => a.since - b.since);
}

/**
 * The rise of one metric that began with `onset`, which another series gave. Weaker signs are enough here than in
 * {@link risesOf}: the time is not searched for.
 */
export function riseWith(
  metric: Metric,
  series: Series,
  onset: { since: number; sinceEnd: number },
  stepMs: number,
  now: number,
): Change | undefined {
  const { tracks, stepMs: step } = prepare(metric, series, stepMs, now);
  const slack = changeRules.guided.steps * step;
  const { z, separation, ratio } = changeRules.guided;
  for (const track of tracks) {
    const { points } = track;
    const from = points.findIndex((p) => p.end > onset.since - slack);
    const to = points.findLastIndex((p) => p.start < onset.sinceEnd + slack);
    if (from < 0 || to < from) continue;
    const split = strongest(track, {
      low: 0,
      high: points.length,
      from,
      to,
      z,
      separation,
      ratio,
      withoutWorst: false,
    });
    const change = split === undefined ? undefined : describe(track, split, 0, points.length, step)?.[0];
    if (change !== undefined && isAboveFloor(change, changeRules.guided.leastRatio)) return change;
  }
  return undefined;
}
