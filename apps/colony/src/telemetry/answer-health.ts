import {
  healthWindows,
  judgeHealth,
  type Group,
  type HealthRules,
  type HealthSample,
  type KnownService,
  type ServiceGroup,
  type TelemetryView,
} from '@coral/telemetry-store';
import type { ServiceHealth } from '@coral/tools';
import { timeText } from './envelope.js';
import { numbersOf } from './metric-row.js';
import { secondsOf } from './window.js';

export interface HealthAnswer {
  services: ServiceHealth[];
  from: number;
  newest: number | null;
}

/** Judges the services given, worst first. */
export async function answerHealth(
  view: TelemetryView,
  services: readonly KnownService[],
  silentByService: ReadonlyMap<string, string[]>,
  now: number,
  dataBegin: number | undefined,
  rules: HealthRules,
): Promise<HealthAnswer> {
  // One reading of the clock and the store serves all services.
  const { recentFrom, referenceFrom } = healthWindows(now, dataBegin ?? now, rules);
  const recentGroups = await groupsByService(view, recentFrom, now + 1);
  const referenceGroups = await groupsByService(view, referenceFrom, recentFrom);
  const callers = await callsByService(view, recentFrom, now + 1);
  const seconds = secondsOf(recentFrom, now);
  const judged = services.map((service): ServiceHealth => {
    const recent = sampleOf(recentGroups.get(service.name), recentFrom, now);
    const before = referenceGroups.get(service.name);
    const reference = before === undefined ? null : sampleOf(before, referenceFrom, recentFrom);
    const verdict = judgeHealth(
      {
        now,
        recent,
        reference,
        lastAnsweredMs: service.lastAnsweredMs === null ? null : Math.min(service.lastAnsweredMs, now),
        callers: callers.get(service.name) ?? null,
        silentAgents: silentByService.get(service.name) ?? [],
      },
      rules,
    );
    const numbers = numbersOf(recent, seconds);
    return {
      service: service.name,
      ...verdict,
      last_seen: service.lastAnsweredMs === null ? null : timeText(Math.min(service.lastAnsweredMs, now)),
      requests_per_s: numbers.requests_per_s,
      error_rate: numbers.error_rate,
      p95_ms: numbers.p95_ms,
      reference: reference === null ? null : referenceOf(reference),
    };
  });
  judged.sort((a, b) => severity[a.status] - severity[b.status] || (a.service < b.service ? -1 : 1));
  const newest = services.reduce<number | null>(
    (last, { lastAnsweredMs }) => (lastAnsweredMs === null ? last : Math.max(last ?? 0, lastAnsweredMs)),
    null,
  );
  return { services: judged, from: referenceFrom, newest };
}

const severity = { down: 0, degraded: 1, unknown: 2, healthy: 3 } as const;

async function groupsByService(view: TelemetryView, from: number, to: number): Promise<Map<string, ServiceGroup>> {
  const groups = await view.serviceGroups({ from, to }, ['service']);
  return new Map(groups.map((group) => [group.service as string, group]));
}

/** What callers saw of each service. */
async function callsByService(
  view: TelemetryView,
  from: number,
  to: number,
): Promise<Map<string, { requests: number; errors: number }>> {
  const resolver = await view.nodeResolver(from);
  const calls = new Map<string, { requests: number; errors: number }>();
  for (const edge of await view.edgeGroups({ from, to })) {
    const target = resolver.nodeOf(edge);
    if (target.kind !== 'service') continue;
    const sum = calls.get(target.id) ?? { requests: 0, errors: 0 };
    calls.set(target.id, { requests: sum.requests + edge.requests, errors: sum.errors + edge.errors });
  }
  return calls;
}

function sampleOf(group: Group | undefined, from: number, to: number): HealthSample {
  const latency = { zeroCount: 0, sum: 0, min: 0, max: 0, buckets: [], counts: [] };
  return { from, to, requests: group?.requests ?? 0, errors: group?.errors ?? 0, latency: group?.latency ?? latency };
}

function referenceOf(sample: HealthSample): ServiceHealth['reference'] {
  const numbers = numbersOf(sample, secondsOf(sample.from, sample.to));
  return {
    from: timeText(sample.from),
    to: timeText(sample.to),
    error_rate: numbers.error_rate,
    p95_ms: numbers.p95_ms,
    requests_per_s: numbers.requests_per_s,
  };
}
