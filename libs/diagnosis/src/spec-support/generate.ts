import type { EventRow } from '@coral/tools';
import type { CauseKind, Observations, Question } from '../diagnosis.js';
import { Random } from './random.js';
import { simulate, type Disturbance } from './simulate.js';
import { buildSystem, type Part, type System } from './system.js';

export const incidentKinds = [
  'deploy_slow_query',
  'deploy_slow_code',
  'deploy_errors',
  'database_slow',
  'external_slow',
  'restart_slow',
  'service_slow',
  'surge',
  'innocent_deploys',
  'drift',
  'none',
] as const;
export type IncidentKind = (typeof incidentKinds)[number];

export interface Incident {
  seed: number;
  kind: IncidentKind;
  question: Question;
  observations: Observations;
  /** What the answer must name; null: that nothing is wrong. */
  truth: { service: string; kind: CauseKind; version?: string; from: number } | null;
  over: boolean;
}

const stepMs = 10_000;

interface Plan {
  random: Random;
  system: System;
  lengthMs: number;
  faultAt: number;
  faultUntil: number;
  startMs: number;
}

/** Largest product of shares over the ways from `top` down to each node: how many of its requests get there. */
function reachFrom(system: System, top: string): Map<string, number> {
  const reach = new Map<string, number>();
  const visit = (id: string, share: number): void => {
    if ((reach.get(id) ?? 0) >= share) return;
    reach.set(id, share);
    for (const call of system.parts.get(id)?.calls ?? []) visit(call.to, share * call.share);
  };
  visit(top, 1);
  return reach;
}

/** Share of requests that fail at `id` when `broken` fails `share` of its own. */
function failing(system: System, id: string, broken: string, share: number): number {
  const part = system.parts.get(id) as Part;
  let fine = id === broken ? 1 - share : 1;
  for (const call of part.calls) {
    fine *= 1 - call.share * failing(system, call.to, broken, share) ** (call.retries + 1);
  }
  return 1 - fine;
}

/** p95 of every service when all is well. */
function usualP95(random: Random, system: System): Map<string, number> {
  const length = 400_000 / [...system.entries.values()].reduce((a, b) => a + b, 0);
  const run = { lengthMs: length, stepMs: length, disturbances: [], drift: () => 1 };
  return new Map(simulate(random, system, run, 0).services.map((row) => [row.service as string, row.p95_ms as number]));
}

function deployEvent(random: Random, plan: Plan, service: string, at: number): EventRow {
  const major = random.whole(1, 6);
  const minor = random.whole(1, 40);
  return {
    at: new Date(plan.startMs + Math.round(at + random.between(0, 2_000))).toISOString(),
    type: 'deploy',
    service,
    summary: `${service} ${major}.${minor}.0 deployed`,
    version: `${major}.${minor}.0`,
    previous_version: `${major}.${minor - 1}.0`,
  };
}

interface Fault {
  disturbance: Disturbance;
  events: EventRow[];
  truth: NonNullable<Incident['truth']>;
  asked: string;
  symptom: Question['symptom'];
  /** Services whose deployment near the fault would be a second, honest suspect. */
  suspects: Set<string>;
}

function callersOf(system: System, node: string): string[] {
  return system.services.filter((name) => system.parts.get(name)?.calls.some((call) => call.to === node));
}

function planFault(kind: IncidentKind, plan: Plan): Fault | undefined {
  const { random, system, faultAt: from, faultUntil: until, startMs } = plan;
  const usual = usualP95(random, system);
  const seen = system.services.filter((name) => usual.has(name));
  const nodesOf = (wanted: string): string[] =>
    [...system.parts.values()]
      .filter((p) => p.node.kind === wanted && callersOf(system, p.node.id).some((c) => usual.has(c)))
      .map((p) => p.node.id);
  /** Someone whose requests mostly get to the node, and who is likely asked about. */
  const askerOf = (node: string): string | undefined => {
    const fitting = seen.filter((name) => (reachFrom(system, name).get(node) ?? 0) >= 0.3);
    return fitting.length === 0 ? undefined : random.pick(fitting);
  };
  const slower = (asked: string): number => (usual.get(asked) as number) * random.between(0.8, 4) + 15;
  const at = startMs + from;

  if (kind === 'deploy_slow_query') {
    const service = random.pick(
      seen.filter((s) => system.parts.get(s)?.calls.some((c) => system.parts.get(c.to)?.node.kind === 'database')),
    );
    if (service === undefined) return undefined;
    const calls = (system.parts.get(service) as Part).calls.filter(
      (c) => system.parts.get(c.to)?.node.kind === 'database',
    );
    const asked = askerOf(service);
    if (asked === undefined) return undefined;
    const event = deployEvent(random, plan, service, from);
    const share = random.chance(0.6) ? 1 : random.between(0.3, 0.9);
    const disturbance: Disturbance = {
      from,
      until,
      slowMs: { node: random.pick(calls).to, caller: service, ms: slower(asked), share },
    };
    const truth = { service, kind: 'deploy' as const, version: event.version as string, from: at };
    return { disturbance, events: [event], truth, asked, symptom: 'latency', suspects: new Set([service]) };
  }
  if (kind === 'deploy_slow_code' || kind === 'service_slow' || kind === 'restart_slow') {
    const service = random.pick(seen);
    const asked = askerOf(service);
    if (asked === undefined) return undefined;
    const events: EventRow[] = [];
    let truth: Fault['truth'] = { service, kind: 'service', from: at };
    if (kind === 'deploy_slow_code') {
      const event = deployEvent(random, plan, service, from);
      events.push(event);
      truth = { service, kind: 'deploy', version: event.version as string, from: at };
    } else if (kind === 'restart_slow') {
      events.push({ at: new Date(at).toISOString(), type: 'restart', service, summary: `${service} restarted` });
      truth = { service, kind: 'restart', from: at };
    }
    const disturbance: Disturbance = { from, until, slowMs: { node: service, ms: slower(asked) } };
    return { disturbance, events, truth, asked, symptom: 'latency', suspects: new Set([service]) };
  }
  if (kind === 'deploy_errors') {
    const service = random.pick(seen);
    const share = random.between(0.12, 0.7);
    const asked = random.pick(seen.filter((name) => failing(system, name, service, share) >= 0.08));
    if (asked === undefined) return undefined;
    const event = deployEvent(random, plan, service, from);
    const truth = { service, kind: 'deploy' as const, version: event.version as string, from: at };
    const disturbance: Disturbance = { from, until, errors: { node: service, share } };
    return { disturbance, events: [event], truth, asked, symptom: 'errors', suspects: new Set([service]) };
  }
  if (kind === 'database_slow' || kind === 'external_slow') {
    const candidates = nodesOf(kind === 'database_slow' ? 'database' : 'external');
    const node = random.pick(candidates);
    const asked = node === undefined ? undefined : askerOf(node);
    if (node === undefined || asked === undefined) return undefined;
    const disturbance: Disturbance = { from, until, slowMs: { node, ms: slower(asked) } };
    const truth = {
      service: node,
      kind: kind === 'database_slow' ? ('database' as const) : ('dependency' as const),
      from: at,
    };
    return { disturbance, events: [], truth, asked, symptom: 'latency', suspects: new Set(callersOf(system, node)) };
  }
  const entry = system.services[0] as string;
  const reach = reachFrom(system, entry);
  const tight = random.pick([...reach].filter(([, share]) => share >= 0.3).map(([id]) => id));
  const asked = random.pick(seen.filter((name) => (reachFrom(system, name).get(tight) ?? 0) >= 0.3));
  if (asked === undefined) return undefined;
  const factor = random.between(2.2, 5);
  const part = system.parts.get(tight) as Part;
  part.strain = slower(asked) / (part.ownMs * (factor - 1));
  const truth = { service: entry, kind: 'traffic' as const, from: at };
  const suspects = new Set([tight, ...callersOf(system, tight)]);
  return {
    disturbance: { from, until, surge: { entry, factor } },
    events: [],
    truth,
    asked,
    symptom: 'latency',
    suspects,
  };
}

/** Deployments that did nothing, none of which could honestly be suspected. */
function redHerrings(plan: Plan, fault: Fault | undefined): EventRow[] {
  const { random, system, lengthMs, faultAt } = plan;
  const events: EventRow[] = [];
  const count = random.whole(0, 4);
  for (let i = 0; i < count; i += 1) {
    const service = random.pick(system.services);
    const at = random.chance(0.4) ? faultAt + random.between(-15_000, 5_000) : random.between(0, lengthMs - 5_000);
    const near = at > faultAt - 330_000 && at < faultAt + 40_000;
    if (at < 0 || (near && fault?.suspects.has(service) === true)) continue;
    events.push(deployEvent(random, plan, service, at));
  }
  return events;
}

/** A new process is slow for some seconds and refuses a few calls, whatever its version is worth. */
function coldStart(random: Random, service: string, at: number): Disturbance[] {
  return [
    { from: at, until: at + random.between(1_000, 8_000), slowMs: { node: service, ms: random.between(50, 300) } },
    { from: at, until: at + random.between(0, 2_000), errors: { node: service, share: random.between(0, 0.5) } },
  ];
}

/** Stalls of one node that are over within ten seconds: noise, not a change. */
function blips(random: Random, system: System, lengthMs: number): Disturbance[] {
  return Array.from({ length: random.whole(0, 3) }, () => {
    const from = random.between(0, lengthMs);
    const node = random.pick([...system.parts.keys()]);
    return { from, until: from + random.between(1_000, 10_000), slowMs: { node, ms: random.between(50, 500) } };
  });
}

/** The incident of a seed. Its kind goes round with the seed, so that any run of seeds holds all of them alike. */
export function generateIncident(seed: number): Incident {
  const kind = incidentKinds[seed % incidentKinds.length] as IncidentKind;
  for (let attempt = 0; ; attempt += 1) {
    const incident = tryIncident(new Random(seed * 7_919 + attempt * 104_729 + 1), seed, kind);
    if (incident !== undefined) return incident;
  }
}

function tryIncident(random: Random, seed: number, kind: IncidentKind): Incident | undefined {
  const isCalm = kind === 'none' || kind === 'drift' || kind === 'innocent_deploys';
  const size = random.chance(0.7) ? random.whole(3, 12) : random.whole(13, 40);
  const isShort = random.chance(0.25);
  const steps = isShort ? random.whole(6, 9) : random.whole(20, 90);
  const rate = isShort ? random.between(10, 30) : random.between(3, 20);
  const budget = 40_000 / size;
  const ratePerS = Math.max(isShort ? 10 : 3, Math.min(rate, budget / (steps * 10)));
  const system = buildSystem(random, size, ratePerS, kind === 'surge' ? 1 : 2);
  const lengthMs = steps * stepMs - (random.chance(0.7) ? random.whole(1, stepMs - 1) : 0);
  const wholeSteps = Math.floor(lengthMs / stepMs);
  const faultAt = random.between(3.05 * stepMs, (wholeSteps - 2.05) * stepMs);
  const recovers = !isShort && random.chance(0.15) && wholeSteps - faultAt / stepMs > 14;
  const faultUntil = recovers ? random.between(faultAt + 7 * stepMs, lengthMs - 6 * stepMs) : Number.POSITIVE_INFINITY;
  const startMs = Date.UTC(2026, 0, 5) + random.whole(0, 8_000) * stepMs;
  const plan: Plan = { random, system, lengthMs, faultAt, faultUntil, startMs };
  const fault = isCalm ? undefined : planFault(kind, plan);
  if (!isCalm && fault === undefined) return undefined;
  const swing = kind === 'drift' ? random.between(0.2, 0.5) : 0;
  const phase = random.between(0, 2 * Math.PI);
  const drift = (at: number): number => 1 + swing * Math.sin(phase + (2 * Math.PI * at) / 3_600_000);
  const events = [...(fault?.events ?? []), ...(kind === 'none' ? [] : redHerrings(plan, fault))];
  const disturbances = [
    ...(fault === undefined ? [] : [fault.disturbance]),
    ...events.flatMap((event) => coldStart(random, event.service, Date.parse(event.at) - startMs)),
    ...blips(random, system, lengthMs),
  ];
  const recording = simulate(random, system, { lengthMs, stepMs, disturbances, drift }, startMs);
  const asked = fault?.asked ?? random.pick(system.services);
  const symptom = fault?.symptom ?? random.pick(['latency', 'errors', 'any'] as const);
  const asksAll = random.chance(0.2);
  const asksAny = random.chance(0.3);
  const question: Question = {
    text: 'generated',
    symptom: asksAny ? 'any' : symptom,
    ...(asksAll ? {} : { service: asked }),
  };
  const edges = [...system.parts.values()].flatMap((part) =>
    part.calls.map((call) => ({ from: part.node.id, to: call.to })),
  );
  const window = { first_seen: new Date(startMs).toISOString(), last_seen: new Date(startMs + lengthMs).toISOString() };
  return {
    seed,
    kind,
    question,
    truth: fault?.truth ?? null,
    over: recovers,
    observations: {
      now: startMs + lengthMs,
      nodes: random.shuffled([...system.parts.values()].map((part) => part.node)),
      edges: random.shuffled(edges).map((edge) => {
        const rows = recording.dependencies.filter((r) => r.service === edge.from && r.dependency === edge.to);
        const requests = rows.reduce((sum, r) => sum + r.requests, 0);
        return {
          ...edge,
          requests,
          requests_per_s: requests / (lengthMs / 1_000),
          error_rate: 0,
          p50_ms: null,
          p95_ms: null,
          ...window,
        };
      }),
      health: [],
      serviceSeries: random.shuffled(recording.services),
      dependencySeries: random.shuffled(recording.dependencies),
      stepMs,
      events: random.shuffled(events),
      silentAgents: [],
    },
  };
}
