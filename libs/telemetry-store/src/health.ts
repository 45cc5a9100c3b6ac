import { countAbove, percentile, type Histogram } from '@coral/model';
import type { HealthStatus } from '@coral/tools';

export interface HealthRules {
  /** Length of the window that is judged, ms. */
  recentMs: number;
  /** Longest reference before it, ms. */
  maxReferenceMs: number;
  /** Younger data than this says nothing about now. */
  staleMs: number;
  minRecentRequests: number;
  minReferenceRequests: number;
  /** Slower than the reference by this factor and by this much, both: degraded. */
  slowFactor: number;
  slowByMs: number;
  /** So many requests must be that slow, or have failed: with few requests one straggler is a p95. */
  minComplaints: number;
  /** A reference shorter than this knows little of ordinary noise, ms: then so large a share must be slow, 0..1. */
  youngReferenceMs: number;
  youngSlowShare: number;
  /** Share of failed requests above the reference's, 0..1: degraded. */
  errorRise: number;
  /** Share of failed requests at which a service is down, 0..1. */
  downErrorRate: number;
}

export const healthRules: HealthRules = {
  recentMs: 60_000,
  maxReferenceMs: 600_000,
  staleMs: 60_000,
  minRecentRequests: 10,
  minReferenceRequests: 20,
  slowFactor: 1.5,
  slowByMs: 20,
  minComplaints: 3,
  youngReferenceMs: 120_000,
  youngSlowShare: 0.25,
  errorRise: 0.02,
  downErrorRate: 0.5,
};

/** Requests of one service in one window [from, to), ms. */
export interface HealthSample {
  from: number;
  to: number;
  requests: number;
  errors: number;
  latency: Histogram;
}

export interface HealthFacts {
  now: number;
  recent: HealthSample;
  /** Null: there is no data before the recent window. */
  reference: HealthSample | null;
  /** End of the last window in which the service answered, ms; null: never. */
  lastAnsweredMs: number | null;
  /** What its callers saw of it in the recent window; null: nobody called, or it is not known who calls it. */
  callers: { requests: number; errors: number } | null;
  /** Names of its agents that are silent. */
  silentAgents: readonly string[];
}

export interface HealthVerdict {
  status: HealthStatus;
  /** The rule that decided, with the numbers it saw. */
  reason: string;
}

/**
 * Judges one service. First rule that applies: nothing answered (down when its callers' calls fail, otherwise unknown:
 * a quiet service is not a dead one), too few requests, failing, nothing to compare with, worse than the reference,
 * else healthy. No data is never healthy.
 */
export function judgeHealth(facts: HealthFacts, rules: HealthRules = healthRules): HealthVerdict {
  const { recent, reference } = facts;
  if (recent.requests === 0) return judgeSilence(facts, rules);
  const window = `in the last ${seconds(recent.to - recent.from)}`;
  if (recent.requests < rules.minRecentRequests) {
    const reason = `too few samples: ${requests(recent.requests)} ${window}, ${recent.errors} failed; ${rules.minRecentRequests} are needed to judge`;
    return { status: 'unknown', reason };
  }
  const errorRate = recent.errors / recent.requests;
  if (errorRate >= rules.downErrorRate) {
    const reason = `${percent(errorRate)} of ${requests(recent.requests)} failed ${window}, at or above ${percent(rules.downErrorRate)}`;
    return { status: 'down', reason };
  }
  const p95 = p95Of(recent);
  const seen = `p95 ${ms(p95)}, ${percent(errorRate)} errors, ${requests(recent.requests)} ${window}`;
  if (reference === null || reference.requests < rules.minReferenceRequests) {
    const before = reference === null ? 'no data' : `only ${requests(reference.requests)}`;
    return {
      status: 'unknown',
      reason: `nothing to compare with: ${before} before the recent window, ${rules.minReferenceRequests} are needed; ${seen}`,
    };
  }
  const referenceRate = reference.errors / reference.requests;
  const referenceP95 = p95Of(reference);
  const complaints = [];
  const limit = Math.max(rules.slowFactor * (referenceP95 ?? 0), (referenceP95 ?? 0) + rules.slowByMs);
  const slow = countAbove(recent.latency, limit * 1e6);
  const isYoung = reference.to - reference.from < rules.youngReferenceMs;
  const enough = Math.max(rules.minComplaints, isYoung ? rules.youngSlowShare * recent.requests : 0);
  if (p95 !== null && referenceP95 !== null && p95 > limit && slow >= enough) {
    complaints.push(
      `p95 ${ms(p95)} against ${ms(referenceP95)} before (over ×${rules.slowFactor} and +${rules.slowByMs} ms)`,
    );
  }
  // Counts divided by counts: equal shares may differ in the last bit.
  if (errorRate - referenceRate >= rules.errorRise - 1e-9 && recent.errors >= rules.minComplaints) {
    complaints.push(
      `error rate ${percent(errorRate)} against ${percent(referenceRate)} before (+${points(rules.errorRise)} or more)`,
    );
  }
  const before = `reference: the ${seconds(reference.to - reference.from)} before, ${requests(reference.requests)}`;
  if (complaints.length > 0)
    return {
      status: 'degraded',
      reason: `${complaints.join('; ')}; ${requests(recent.requests)} ${window}; ${before}`,
    };
  return {
    status: 'healthy',
    reason: `${seen}; p95 ${ms(referenceP95)} and ${percent(referenceRate)} errors before; ${before}`,
  };
}

function judgeSilence(facts: HealthFacts, rules: HealthRules): HealthVerdict {
  const { recent, callers, silentAgents, lastAnsweredMs, now } = facts;
  const window = `in the last ${seconds(recent.to - recent.from)}`;
  const last =
    lastAnsweredMs === null ? 'it has never answered one' : `it last answered ${seconds(now - lastAnsweredMs)} ago`;
  if (callers !== null && callers.requests > 0) {
    const rate = callers.errors / callers.requests;
    const calls = `its callers made ${callCount(callers.requests)}, ${percent(rate)} failed`;
    if (rate >= rules.downErrorRate)
      return { status: 'down', reason: `no request answered ${window} while ${calls}; ${last}` };
    return {
      status: 'unknown',
      reason: `it reported no request ${window} although ${calls}: its own telemetry is missing; ${last}`,
    };
  }
  if (silentAgents.length > 0) {
    return { status: 'unknown', reason: `no data ${window}: silent agent ${silentAgents.join(', ')}; ${last}` };
  }
  const stale = lastAnsweredMs !== null && now - lastAnsweredMs > rules.staleMs ? 'no recent data' : 'no data';
  return { status: 'unknown', reason: `${stale}: no request ${window}, and no call to it was seen; ${last}` };
}

/**
 * Where the judged window and its reference lie. While the store is younger than four recent windows, the recent one
 * shrinks to a quarter of what there is, so that there is something to compare with. It begins on a whole 10 s and is
 * never shorter than that: of the step under way only a moment may have been seen.
 */
export function healthWindows(
  now: number,
  dataBegin: number,
  rules: HealthRules = healthRules,
): { recentFrom: number; referenceFrom: number } {
  const stepMs = 10_000;
  const length = Math.max(stepMs, Math.min(rules.recentMs, (now - dataBegin) / 4));
  const recentFrom = Math.floor((now - length) / stepMs) * stepMs;
  return { recentFrom, referenceFrom: Math.min(recentFrom, Math.max(dataBegin, recentFrom - rules.maxReferenceMs)) };
}

function p95Of(sample: HealthSample): number | null {
  const ns = percentile(sample.latency, 0.95);
  return ns === null ? null : ns / 1e6;
}

const seconds = (lengthMs: number): string => `${Math.max(0, Math.round(lengthMs / 1_000))} s`;
const requests = (n: number): string => `${n} ${n === 1 ? 'request' : 'requests'}`;
const callCount = (n: number): string => `${n} ${n === 1 ? 'call' : 'calls'}`;
const percent = (share: number): string => `${Number((share * 100).toFixed(1))} %`;
const points = (share: number): string => `${Number((share * 100).toFixed(1))} points`;
const ms = (value: number | null): string => (value === null ? 'unknown' : `${Number(value.toPrecision(3))} ms`);
