import type { EventRow } from '@coral/tools';
import type { Cause } from './diagnosis.js';
import { otherCallers, type Locus } from './locus.js';
import type { Symptom } from './symptom.js';
import { timeOf, type Onset, type Survey } from './survey.js';
import { findSurge, type Surge } from './traffic.js';

/** How an event lies before a change. `loose`: near, but another cause may fit as well. */
export type Timing = 'close' | 'loose' | 'none';

/** How long before a change an event may lie and still be its cause. */
export const timingRules = {
  /** Steps before the change; also one step after its first point began, since a version is first seen with its spans. */
  closeSteps: 2,
  looseMs: 5 * 60_000,
  looseSteps: 3,
  /** Steps after it: something small just before, a stall, can make a change look older than it is. */
  looseAfterSteps: 2,
} as const;

export interface Candidate {
  cause: Cause;
  /** 0..1: how well it accounts for what changed at the locus. */
  score: number;
  why: string;
  timing: Timing;
  event?: EventRow;
  surge?: Surge;
}

export function timingOf(at: number, onset: Onset, stepMs: number): Timing {
  const after = at - onset.sinceEnd;
  if (after > timingRules.looseAfterSteps * stepMs) return 'none';
  if (after > stepMs) return 'loose';
  if (at >= onset.since - timingRules.closeSteps * stepMs) return 'close';
  return at >= onset.since - Math.max(timingRules.looseMs, timingRules.looseSteps * stepMs) ? 'loose' : 'none';
}

/** The event of the wanted kind that may have caused a change that began at `onset`: the last one before it. */
function eventBefore(
  survey: Survey,
  service: string,
  types: readonly EventRow['type'][],
  onset: Onset,
): { event: EventRow; timing: Timing } | undefined {
  const near = survey
    .eventsOf(service)
    .filter((e) => types.includes(e.type))
    .map((event) => ({ event, timing: timingOf(timeOf(event), onset, survey.stepMs) }))
    .filter(({ timing }) => timing !== 'none');
  // What came first within the step of slack after the onset; a second deployment there may already be the way back.
  const close = near.filter(({ timing }) => timing === 'close');
  const distance = ({ event }: { event: EventRow }): number => Math.abs(timeOf(event) - onset.since);
  return (
    close.findLast(({ event }) => timeOf(event) <= onset.sinceEnd) ??
    close[0] ??
    near.toSorted((a, b) => distance(a) - distance(b))[0]
  );
}

function deployCause(event: EventRow): Cause {
  return {
    service: event.service,
    kind: 'deploy',
    ...(event.version === undefined ? {} : { version: event.version }),
    ...(event.previous_version === undefined ? {} : { previousVersion: event.previous_version }),
    at: new Date(timeOf(event)).toISOString(),
  };
}

/** How much a candidate is believed before its size is weighed: the order of the rules in docs/diagnosis.md, "The cause". */
const belief = {
  surge: 0.97,
  deploy: 0.95,
  restart: 0.9,
  callerDeploy: 0.93,
  amplifiedByDeploy: 0.85,
  confirmedDependency: 0.85,
  dependency: 0.75,
  looseDeploy: 0.65,
  looseCallerDeploy: 0.8,
  sharedWithDeploy: 0.5,
  service: 0.45,
  shallowDeploy: 0.3,
} as const;

function deploys(
  survey: Survey,
  service: string,
  onset: Onset,
  close: number,
  loose: number,
  why: string,
): Candidate[] {
  const found = eventBefore(survey, service, ['deploy'], onset);
  if (found === undefined) return [];
  const score = found.timing === 'close' ? close : loose;
  return [{ cause: deployCause(found.event), score, why, timing: found.timing, event: found.event }];
}

function restarts(survey: Survey, service: string, onset: Onset): Candidate[] {
  const found = eventBefore(survey, service, ['restart', 'crash'], onset);
  if (found === undefined) return [];
  // Minutes before, a restart is no cause any more: what it slows is slow at once.
  if (found.timing !== 'close' && timeOf(found.event) < onset.since) return [];
  const cause: Cause = { service, kind: 'restart', at: new Date(timeOf(found.event)).toISOString() };
  const why = `it ${found.event.type === 'crash' ? 'crashed' : 'restarted'} when the change began`;
  const score = found.timing === 'close' ? belief.restart : belief.looseDeploy;
  return [{ cause, score, why, timing: found.timing, event: found.event }];
}

function traffic(survey: Survey, locus: Locus): Candidate[] {
  const surge = findSurge(survey, locus.seenAs === 'edge' ? (locus.caller ?? locus.node) : locus.node, locus.change);
  if (surge === undefined) return [];
  const at = new Date(surge.onset.since).toISOString();
  if (surge.kind === 'entry') {
    const cause: Cause = { service: surge.service, kind: 'traffic', at };
    return [
      { cause, score: belief.surge, why: 'requests rose there and on every hop below it', timing: 'close', surge },
    ];
  }
  return deploys(
    survey,
    surge.service,
    surge.onset,
    belief.amplifiedByDeploy,
    belief.shallowDeploy,
    'it makes more calls per request since then',
  ).map((candidate) => ({ ...candidate, surge }));
}

/** The service itself is where the time goes or the errors begin. */
function causesAtService(survey: Survey, locus: Locus): Candidate[] {
  const { node, change } = locus;
  const stopped = locus.seenAs === 'stopped';
  const found = [
    ...deploys(
      survey,
      node,
      change,
      belief.deploy,
      belief.looseDeploy,
      'its own numbers changed right after this deployment',
    ),
    ...restarts(survey, node, change),
  ];
  for (const caller of survey.callers(node)) {
    const others = otherCallers(survey, node, caller, change);
    const alone = others.changed.length === 0 && others.unchanged.length > 0;
    const score = alone ? belief.callerDeploy - 0.2 : belief.shallowDeploy;
    found.push(
      ...deploys(
        survey,
        caller,
        change,
        score,
        belief.shallowDeploy / 2,
        alone ? 'only its calls changed' : 'it calls the place that changed',
      ),
    );
  }
  found.push({
    cause: { service: node, kind: 'service', at: new Date(change.since).toISOString() },
    score: belief.service,
    why: stopped ? 'it stopped answering and no event explains it' : 'it changed by itself and no event explains it',
    timing: 'close',
  });
  return found;
}

/** Only callers see it: a database, an external, or a service whose own numbers did not change. */
function causesBehindEdge(survey: Survey, locus: Locus): Candidate[] {
  const { node, change } = locus;
  const caller = locus.caller as string;
  const others = otherCallers(survey, node, caller, change);
  const shared = others.changed.length > 0;
  const kind = survey.node(node).kind === 'database' ? 'database' : 'dependency';
  const found: Candidate[] = [
    {
      cause: { service: node, kind, at: new Date(change.since).toISOString() },
      score: shared ? belief.confirmedDependency : belief.dependency,
      why: shared
        ? 'all who call it and could be read saw the change'
        : 'calls to it changed and no deployment of its caller fits',
      timing: 'close',
    },
  ];
  if (!shared) {
    const loose = others.unchanged.length > 0 ? belief.looseCallerDeploy : belief.sharedWithDeploy;
    const why =
      others.unchanged.length > 0
        ? 'only its calls changed, those of others did not'
        : 'its calls changed right after this deployment';
    found.push(...deploys(survey, caller, change, belief.callerDeploy, loose, why));
    return found;
  }
  for (const one of [caller, ...others.changed]) {
    const surge = findSurge(survey, node, change);
    const floods = surge?.kind === 'amplified' && surge.service === one;
    const score = floods ? belief.callerDeploy : belief.sharedWithDeploy;
    const why = floods
      ? 'it makes more calls per request since then, and slowed the others'
      : 'it is one of several callers that changed';
    found.push(...deploys(survey, one, change, score, belief.shallowDeploy, why));
  }
  return found;
}

/** Deployments on the path above the locus: seen, but the time is lost below them. */
function shallowDeploys(survey: Survey, locus: Locus, symptom: Symptom): Candidate[] {
  const above = new Set([symptom.node, ...locus.path.map((hop) => hop.from)]);
  above.delete(locus.node);
  if (locus.seenAs === 'edge' && locus.caller !== undefined) above.delete(locus.caller);
  return [...above].flatMap((service) =>
    deploys(
      survey,
      service,
      locus.change,
      belief.shallowDeploy,
      belief.shallowDeploy / 2,
      'it lies on the path, but the change is deeper',
    ),
  );
}

/** All that could have caused the change at the locus, best first; one entry per cause. */
export function rankCauses(survey: Survey, locus: Locus, symptom: Symptom): Candidate[] {
  const found = [
    ...traffic(survey, locus),
    ...(locus.seenAs === 'edge' ? causesBehindEdge(survey, locus) : causesAtService(survey, locus)),
    ...shallowDeploys(survey, locus, symptom),
  ].toSorted((a, b) => b.score - a.score || a.cause.at.localeCompare(b.cause.at));
  const key = (c: Cause): string => `${c.kind}\0${c.service}\0${c.version ?? ''}\0${c.at}`;
  return found.filter((c, i) => found.findIndex((other) => key(other.cause) === key(c.cause)) === i);
}
