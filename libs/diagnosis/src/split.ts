import { changeRules, type Metric } from './change-rules.js';
import type { Point } from './series.js';
import { prefixSums, slidingMedians } from './statistics.js';
import type { Track } from './track.js';

/** A factor of √(π/2): medians are that much noisier than means. */
const medianPenalty = 1.2533;

/** The best place to cut a track into an old and a new level. */
export interface Split {
  at: number;
  z: number;
  /** The two levels, on the track's scale. */
  before: number;
  after: number;
}

/** Where to look and how sure to be. `from` and `to` bound the first point of the new level. */
export interface Quest {
  low: number;
  high: number;
  from: number;
  to: number;
  z: number;
  separation: number;
  /** Least factor between the levels of latency. */
  ratio: number;
  /** Errors must outlive the loss of their worst point. */
  withoutWorst: boolean;
}

/** Anywhere in `[low, high)`, with the strictness of an open search. */
export function openQuest(metric: Metric, low: number, high: number): Quest {
  const rule = { p95_ms: changeRules.latency, error_rate: changeRules.errors, requests_per_s: changeRules.traffic };
  const { separation } = changeRules;
  return {
    low,
    high,
    from: low,
    to: high,
    z: rule[metric].z,
    separation,
    ratio: changeRules.latency.ratio,
    withoutWorst: true,
  };
}

/** The strongest rise between medians inside `[low, high)`. */
function strongestShift(track: Track, quest: Quest): Split | undefined {
  const { levels, metric } = track;
  const { low, high } = quest;
  const rule = metric === 'p95_ms' ? changeRules.latency : changeRules.traffic;
  const part = levels.slice(low, high);
  const n = part.length;
  const leastRise = Math.log(metric === 'p95_ms' ? quest.ratio : rule.ratio);
  const first = Math.max(changeRules.minPointsBefore, quest.from - low);
  const last = Math.min(n - changeRules.minPointsAfter, quest.to - low);
  const befores = slidingMedians(
    part,
    (k) => Math.max(0, k - changeRules.window),
    (k) => k,
  );
  let best: Split | undefined;
  for (const width of changeRules.widths) {
    const afters = slidingMedians(
      part,
      (k) => k,
      (k) => Math.min(n, k + width),
    );
    for (let k = first; k <= last; k += 1) {
      const before = befores[k] as number;
      const after = afters[k] as number;
      if (after - before < leastRise) continue;
      const nBefore = Math.min(k, changeRules.window);
      const nAfter = Math.min(width, n - k);
      const z = (after - before) / (track.noise * medianPenalty * Math.sqrt(1 / nBefore + 1 / nAfter));
      if (z < quest.z || z <= (best?.z ?? 0)) continue;
      if (separationOf(part, k, nBefore, nAfter, (after + before) / 2) < quest.separation) continue;
      best = { at: low + k, z, before, after };
    }
  }
  return best;
}

/** The smaller of two shares: points before `k` below the middle, points from `k` on above it. */
function separationOf(levels: readonly number[], k: number, nBefore: number, nAfter: number, middle: number): number {
  let below = 0;
  let above = 0;
  for (let i = k - nBefore; i < k; i += 1) if ((levels[i] as number) < middle) below += 1;
  for (let i = k; i < k + nAfter; i += 1) if ((levels[i] as number) > middle) above += 1;
  return Math.min(below / nBefore, above / nAfter);
}

/** The strongest rise between pooled error rates inside `[low, high)`. */
function strongestErrorRise(track: Track, quest: Quest): Split | undefined {
  const { points } = track;
  const { low, high } = quest;
  const rule = changeRules.errors;
  const requests = prefixSums(points.map((p) => p.requests));
  const errors = prefixSums(points.map((p) => p.errors));
  const sum = (sums: Float64Array, from: number, to: number): number => (sums[to] as number) - (sums[from] as number);
  if (sum(errors, low, high) < rule.minErrors) return undefined;
  const first = Math.max(low + changeRules.minPointsBefore, quest.from);
  const last = Math.min(high - changeRules.minPointsAfter, quest.to);
  let best: Split | undefined;
  for (const width of changeRules.widths) {
    for (let k = first; k <= last; k += 1) {
      const from = Math.max(low, k - changeRules.window);
      const to = Math.min(high, k + width);
      const before = { n: sum(requests, from, k), bad: sum(errors, from, k) };
      const after = { n: sum(requests, k, to), bad: sum(errors, k, to) };
      if (quest.withoutWorst) {
        const worst = points.slice(k, to).reduce((a, b) => (b.errors > a.errors ? b : a));
        after.n -= worst.requests;
        after.bad -= worst.errors;
      }
      if (before.n < changeRules.minRequests || after.n === 0 || after.bad < rule.minErrors) continue;
      const was = before.bad / before.n;
      const is = after.bad / after.n;
      if (is - was < rule.floor || is < was * rule.ratio) continue;
      const all = (before.bad + after.bad) / (before.n + after.n);
      const z = (is - was) / Math.sqrt(all * (1 - all) * (1 / before.n + 1 / after.n) + Number.EPSILON);
      if (z >= quest.z && z > (best?.z ?? 0)) best = { at: k, z, before: was, after: is };
    }
  }
  return best;
}

/** The strongest rise of a track that the quest allows. */
export function strongest(track: Track, quest: Quest): Split | undefined {
  return track.metric === 'error_rate' ? strongestErrorRise(track, quest) : strongestShift(track, quest);
}

/** How much better a point fits the new level than the old one: the log-likelihood ratio, bounded against outliers. */
function leaningOf(track: Track, i: number, split: Split): number {
  if (track.metric === 'error_rate') {
    const { errors, requests } = track.points[i] as Point;
    const was = Math.max(split.before, 1e-3);
    const is = Math.min(split.after, 1 - 1e-3);
    return errors * Math.log(is / was) + (requests - errors) * Math.log((1 - is) / (1 - was));
  }
  const level = track.levels[i] as number;
  return Math.abs(level - split.before) - Math.abs(level - split.after);
}

/** Within this many points of the strongest contrast lies the onset. */
const refineReach = 15;
/** An onset this much less likely than the best one, in logarithms of likelihood, is still possible. */
const possible = 2;

/**
 * The most likely first point of the new level, the levels being known, and the last one that is still possible. Every point
 * votes, so that one outlier moves nothing.
 */
export function refinedOnset(track: Track, split: Split, low: number, high: number): { at: number; latest: number } {
  const from = Math.max(low + 1, split.at - refineReach);
  const to = Math.min(high - 1, split.at + refineReach);
  // Laplace noise of the same spread: its likelihood falls by 1 with each noise / √2 of distance.
  const unit = track.metric === 'error_rate' ? 1 : track.noise / Math.SQRT2;
  const sums: { at: number; sum: number }[] = [];
  let sum = 0;
  for (let at = to; at >= from; at -= 1) {
    sum += leaningOf(track, at, split) / unit;
    sums.push({ at, sum });
  }
  const best = sums.reduce((a, b) => (b.sum >= a.sum ? b : a));
  return { at: best.at, latest: (sums.find((one) => one.sum >= best.sum - possible) ?? best).at };
}
