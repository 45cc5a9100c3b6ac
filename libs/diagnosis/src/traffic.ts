import type { Series } from './series.js';
import { changeRules } from './change-rules.js';
import { type Change } from './change-point.js';
import type { Onset, Survey } from './survey.js';

/** Requests per second on both sides of a moment, and how many standard errors of chance lie between. */
export interface RateStep {
  before: number;
  after: number;
  z: number;
}

/** Requests come in bursts: their counts vary by this factor more than Poisson's. */
const burstiness = 2;

/** Compares at most thirty steps before a moment with at most thirty after it, not beyond `until`; null without both sides. */
export function rateAround(survey: Survey, series: Series, at: Onset, until: number | null = null): RateStep | null {
  const { stepMs } = survey;
  const span = changeRules.window * stepMs;
  const first = series[0];
  if (first === undefined) return null;
  const from = Math.max(first.start, at.since - span);
  const to = Math.min(survey.series.to, survey.o.now, at.sinceEnd + span, until ?? Number.POSITIVE_INFINITY);
  const secondsBefore = (at.since - from) / 1_000;
  const secondsAfter = (to - at.sinceEnd) / 1_000;
  if (secondsBefore * 1_000 < stepMs || secondsAfter <= 0) return null;
  const count = (low: number, high: number): number =>
    series.reduce((sum, p) => (p.start >= low && p.start < high ? sum + p.requests : sum), 0);
  const before = count(from, at.since) / secondsBefore;
  const after = count(at.sinceEnd, to) / secondsAfter;
  const all = (before * secondsBefore + after * secondsAfter) / (secondsBefore + secondsAfter);
  const chance = Math.sqrt(burstiness * all * (1 / secondsBefore + 1 / secondsAfter));
  return { before, after, z: chance === 0 ? 0 : (after - before) / chance };
}

/** Where a rise in traffic comes from. */
export interface Surge {
  /** `entry`: it came in there from outside. `amplified`: that service makes more calls per request than before. */
  kind: 'entry' | 'amplified';
  service: string;
  before: number;
  after: number;
  onset: Onset;
}

/** A caller shares a rise when its own, as a logarithm, is at least half of it: the rest is chance and fan-out. */
const sharedRise = 0.5;

function riseOf(rate: RateStep | null): number {
  return rate === null || rate.before <= 0 ? 0 : Math.log(Math.max(rate.after, 1e-9) / rate.before);
}

/** The rise in requests that came before a change or with it, if there is one. */
function riseBefore(survey: Survey, changes: readonly Change[], harm: Onset): Change | undefined {
  const { stepMs } = survey;
  return changes.findLast(
    (c) =>
      c.since <= harm.sinceEnd + stepMs &&
      c.since >= harm.since - 6 * stepMs &&
      (c.until === null || c.until > harm.sinceEnd + stepMs),
  );
}

interface Rise extends Onset {
  until: number | null;
  before: number;
  after: number;
}

/** A rise found by itself, or one that shows when looked for at the moment of the harm. */
function riseAt(survey: Survey, changes: readonly Change[], series: Series, harm: Rise): Rise | undefined {
  const found = riseBefore(survey, changes, harm);
  if (found !== undefined) return found;
  const rate = rateAround(survey, series, harm, harm.until);
  const clear = riseOf(rate) >= Math.log(changeRules.traffic.ratio) && (rate?.z ?? 0) >= changeRules.traffic.z;
  return rate === null || !clear ? undefined : { ...harm, before: rate.before, after: rate.after };
}

/**
 * Follows a rise in traffic from a node up to where it began. It counts only when it came before the harm or with it and
 * shows at the top; on every hop between, requests must have risen with it.
 */
export function findSurge(survey: Survey, node: string, harm: Change): Surge | undefined {
  const least = Math.log(changeRules.traffic.ratio);
  const seen =
    riseAt(survey, survey.rises('requests_per_s', node), survey.serviceSeries(node), harm) ??
    survey
      .callers(node)
      .map((from) =>
        riseAt(survey, survey.edgeRises('requests_per_s', from, node), survey.edgeSeries(from, node), harm),
      )
      .find((rise) => rise !== undefined);
  if (seen === undefined || seen.before <= 0) return undefined;
  const onset: Onset = { since: seen.since, sinceEnd: seen.sinceEnd };
  const visited = new Set([node]);
  let top = node;
  let rise = Math.log(seen.after / seen.before);
  for (;;) {
    const sources = survey
      .callers(top)
      .filter((caller) => !visited.has(caller))
      .map((caller) => ({ caller, rate: rateAround(survey, survey.edgeSeries(caller, top), onset, seen.until) }))
      .filter(({ rate }) => riseOf(rate) >= least * sharedRise)
      .toSorted((a, b) => gain(b.rate) - gain(a.rate));
    const source = sources[0];
    if (source === undefined) break;
    const own = rateAround(survey, survey.serviceSeries(source.caller), onset, seen.until);
    if (own !== null && riseOf(own) < rise * sharedRise) {
      return { kind: 'amplified', service: source.caller, before: own.before, after: own.after, onset };
    }
    visited.add(source.caller);
    top = source.caller;
    rise = own === null ? rise : riseOf(own);
  }
  const change = riseAt(survey, survey.rises('requests_per_s', top), survey.serviceSeries(top), harm);
  return change === undefined
    ? undefined
    : { kind: 'entry', service: top, before: change.before, after: change.after, onset };
}

function gain(rate: RateStep | null): number {
  return rate === null ? 0 : rate.after - rate.before;
}
