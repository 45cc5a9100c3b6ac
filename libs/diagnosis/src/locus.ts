import type { Change } from './change-point.js';
import type { Series } from './series.js';
import { alignedWith, harms, type Harm, type Onset, type Survey } from './survey.js';

/** One step down from a service to a node it calls, and what changed on the way. */
export interface Hop {
  from: string;
  to: string;
  edge: Change;
  /** What the called service measured itself; absent when it measured no change, or nothing. */
  own?: Change;
}

/** Where the trouble begins: the deepest node that changed with the symptom and accounts for it. */
export interface Locus {
  node: string;
  change: Change;
  /** `service`: measured there. `edge`: seen by its caller only. `stopped`: it answers no longer. */
  seenAs: 'service' | 'edge' | 'stopped';
  /** The service that sees it, when only that one does. */
  caller?: string;
  path: readonly Hop[];
  /** Share of the symptom's size that the locus accounts for; above 1 when only part of the requests get there. */
  explained: number;
  /** The way down switched between latency and errors, whose sizes cannot be compared. */
  mixed: boolean;
}

/** Share of a service's change that an edge must account for before the search goes down there. */
const leastShare = 0.4;
/** What an edge is taken to account for when one is latency and the other errors. */
const mixedShare = 0.5;

/**
 * Downstream calls per request of `from` while the change lasted. Failures add up, so for errors it is the true ratio; for a
 * p95 it is at least 1: fewer calls can still be all the slow ones.
 */
function callsPerRequest(survey: Survey, from: string, to: string, change: Change): number {
  const end = change.until ?? Number.POSITIVE_INFINITY;
  const during = (series: Series): number =>
    series.reduce((sum, p) => (p.start >= change.since && p.start < end ? sum + p.requests : sum), 0);
  const requests = during(survey.serviceSeries(from));
  if (requests === 0) return 1;
  const calls = during(survey.edgeSeries(from, to)) / requests;
  return change.metric === 'error_rate' ? calls : Math.max(1, calls);
}

/** Errors slow a p95 only when more than one request in twenty is tried again; slowness fails calls only when it is great. */
function canTurnInto(edge: Change): boolean {
  return edge.metric === 'error_rate' ? edge.after - edge.before >= 0.05 : edge.after >= 2 * edge.before;
}

interface Way {
  hop: Hop;
  share: number;
  size: number;
  mixed: boolean;
}

/** Changes of an edge that began with `change` and can account for it; the same metric first. */
function wayAlong(survey: Survey, from: string, to: string, change: Change): Way | undefined {
  for (const metric of [change.metric as Harm, ...harms.filter((m) => m !== change.metric)]) {
    const edge = survey.edgeChangeWith(metric, from, to, change);
    if (edge === undefined) continue;
    const mixed = metric !== change.metric;
    if (mixed && !canTurnInto(edge)) continue;
    const size = (edge.after - edge.before) * callsPerRequest(survey, from, to, edge);
    const share = mixed ? mixedShare : size / (change.after - change.before);
    if (share < leastShare) continue;
    const own = ownChange(survey, to, edge);
    return { hop: own === undefined ? { from, to, edge } : { from, to, edge, own }, share, size, mixed };
  }
  return undefined;
}

/** What a service measured itself when its caller saw `seen`; the same metric first. */
function ownChange(survey: Survey, service: string, seen: Change): Change | undefined {
  for (const metric of [seen.metric as Harm, ...harms.filter((m) => m !== seen.metric)]) {
    const own = survey.changeWith(metric, service, seen);
    if (own !== undefined) return own;
  }
  return undefined;
}

/** True when a service with numbers before the onset has next to none after it, while its callers still call. */
export function hasStopped(survey: Survey, service: string, onset: Onset): boolean {
  const series = survey.serviceSeries(service);
  const slack = 2 * survey.stepMs;
  const before = series.filter((p) => p.end <= onset.since).length;
  const after = series.filter((p) => p.start >= onset.sinceEnd + slack).length;
  const possible = (survey.series.to - onset.sinceEnd - slack) / survey.stepMs;
  return before > 0 && possible >= 2 && after <= possible * 0.1;
}

/**
 * A process that hangs (a blocked event loop, a starved CPU) sees all it calls as slow. When several edges of one service
 * changed together and nobody else confirms any of them, the service itself is the common cause.
 */
function isCallerAtFault(survey: Survey, from: string, ways: readonly Way[], change: Change): boolean {
  if (ways.length < 2) return false;
  const confirmed = (to: string): boolean =>
    hasStopped(survey, to, change) ||
    survey
      .callers(to)
      .some(
        (other) =>
          other !== from && harms.some((m) => alignedWith(survey.edgeRises(m, other, to), change, survey.stepMs)),
      );
  return ways.every((way) => way.hop.own === undefined && !confirmed(way.hop.to));
}

/** Walks from a symptom down the edges that changed with it and account for it, as deep as that goes. */
export function findLocus(survey: Survey, start: string, symptom: Change): Locus {
  const path: Hop[] = [];
  const visited = new Set([start]);
  let node = start;
  let change = symptom;
  let explained = 1;
  let calls = 1;
  let mixed = false;
  const end = (seenAs: Locus['seenAs'], caller?: string): Locus => ({
    node,
    change,
    seenAs,
    ...(caller === undefined ? {} : { caller }),
    path,
    explained: mixed ? mixedShare : explained,
    mixed,
  });
  for (;;) {
    const ways = survey
      .callees(node)
      .filter((to) => !visited.has(to))
      .flatMap((to) => wayAlong(survey, node, to, change) ?? [])
      .toSorted((a, b) => Number(a.mixed) - Number(b.mixed) || b.size - a.size);
    const way = ways[0];
    if (way === undefined || isCallerAtFault(survey, node, ways, change)) return end('service');
    const caller = node;
    path.push(way.hop);
    visited.add(way.hop.to);
    calls *= callsPerRequest(survey, way.hop.from, way.hop.to, way.hop.edge);
    explained = ((way.hop.edge.after - way.hop.edge.before) * calls) / (symptom.after - symptom.before);
    mixed ||= way.mixed;
    node = way.hop.to;
    change = way.hop.own ?? way.hop.edge;
    if (hasStopped(survey, node, way.hop.edge)) return end('stopped', caller);
    if (way.hop.own === undefined) return end('edge', caller);
    mixed ||= way.hop.own.metric !== way.hop.edge.metric;
  }
}

/** Another caller feels the same when its change is at least a quarter as large; in another metric any size counts. */
function hasGrownLike(other: Change | undefined, change: Change): boolean {
  if (other === undefined) return false;
  return other.metric !== change.metric || other.after - other.before >= 0.25 * (change.after - change.before);
}

/** How the other callers of a node fared when `change` began: did their edges change too? */
export function otherCallers(
  survey: Survey,
  node: string,
  caller: string,
  change: Change,
): { changed: string[]; unchanged: string[] } {
  const changed: string[] = [];
  const unchanged: string[] = [];
  for (const other of survey.callers(node)) {
    if (other === caller) continue;
    const series = survey.edgeSeries(other, node);
    if (harms.some((m) => hasGrownLike(survey.edgeChangeWith(m, other, node, change), change))) changed.push(other);
    else if (survey.isReadable(series)) unchanged.push(other);
  }
  return { changed: changed.toSorted(), unchanged: unchanged.toSorted() };
}
