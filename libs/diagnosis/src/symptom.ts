import type { Metric } from './change-rules.js';
import type { Change } from './change-point.js';
import type { Question } from './diagnosis.js';
import { alignedWith, harms, mostPressing, timeOf, type Harm, type Survey } from './survey.js';

export interface Symptom {
  /** Node id: a service, or a database the question named. */
  node: string;
  change: Change;
}

/** What the question is about, as far as it is known here. */
export interface Subject {
  /** Node id; absent when all services are meant. */
  node?: string;
  /** A name in the question that nothing here has. */
  stranger?: string;
}

export function subjectOf(survey: Survey, question: Question): Subject {
  const asked = question.service;
  if (asked === undefined) return {};
  const wanted = asked.toLowerCase();
  const byService = survey.serviceNames().find((name) => name.toLowerCase() === wanted);
  const byNode = survey.o.nodes.find((n) => n.id.toLowerCase() === wanted || n.name.toLowerCase() === wanted);
  const node = byService ?? byNode?.id;
  return node === undefined ? { stranger: asked } : { node };
}

/** Rises of one metric at a node: its own numbers, or its callers' when it has none. */
export function risesAt(survey: Survey, node: string, metric: Metric): readonly Change[] {
  if (survey.serviceSeries(node).length > 0) return survey.rises(metric, node);
  return survey
    .callers(node)
    .flatMap((caller) => survey.edgeRises(metric, caller, node))
    .toSorted((a, b) => a.since - b.since);
}

/** Comparable across metrics: a doubled p95 weighs as much as 10 points of error rate. */
export function severityOf(change: Change): number {
  if (change.metric === 'error_rate') return (change.after - change.before) * 10 * Math.LN2;
  return Math.log(change.after / Math.max(change.before, 1e-3));
}

function lasting(change: Change | undefined): change is Change {
  return change !== undefined && change.until === null;
}

/** The asked metric while it lasts, then the other while that lasts, then what is over already. */
function symptomAt(survey: Survey, node: string, asked: Question['symptom']): Change | undefined {
  if (asked === 'traffic') return mostPressing(risesAt(survey, node, 'requests_per_s'));
  const order: readonly Harm[] = asked === 'errors' ? ['error_rate', 'p95_ms'] : harms;
  const found = order.flatMap((metric) => mostPressing(risesAt(survey, node, metric)) ?? []);
  if (asked === 'any') found.sort((a, b) => severityOf(b) - severityOf(a));
  return found.find(lasting) ?? found[0];
}

/** A change that is too faint to be found alone counts when something below it changed clearly at that moment. */
function symptomFromBelow(survey: Survey, node: string, asked: Question['symptom']): Change | undefined {
  if (asked === 'traffic') return undefined;
  const metrics: readonly Harm[] = asked === 'errors' ? ['error_rate', 'p95_ms'] : harms;
  const below = [...survey.below(node)]
    .flatMap((from) => survey.callees(from).flatMap((to) => harms.flatMap((m) => survey.edgeRises(m, from, to))))
    .filter(lasting)
    .toSorted((a, b) => b.z - a.z);
  for (const metric of metrics) {
    for (const clear of below) {
      const change = survey.changeWith(metric, node, clear);
      if (lasting(change)) return change;
    }
  }
  return undefined;
}

/** Standard errors that a change must have when only an event tells the time: there may be a handful of events. */
const leastZWithEvent = 3.5;

/** A faint change counts as well when something was deployed or restarted below, or there, at that moment. */
function symptomFromEvents(survey: Survey, node: string, asked: Question['symptom']): Change | undefined {
  if (asked === 'traffic') return undefined;
  const metrics: readonly Harm[] = asked === 'errors' ? ['error_rate', 'p95_ms'] : harms;
  const below = survey.below(node);
  const times = survey
    .happenings()
    .filter((event) => below.has(event.service))
    .map(timeOf);
  const found = metrics.flatMap((metric) =>
    times.flatMap((at) => survey.changeWith(metric, node, { since: at, sinceEnd: at }) ?? []),
  );
  return found.filter((c) => lasting(c) && !c.fading && c.z >= leastZWithEvent).toSorted((a, b) => b.z - a.z)[0];
}

/** True when a changed caller of the service passes the blame down: then the caller is nearer to the people who wait. */
function hasChangedCaller(
  survey: Survey,
  service: string,
  symptom: Change,
  changed: ReadonlyMap<string, Change>,
): boolean {
  return survey.callers(service).some((caller) => {
    const above = changed.get(caller);
    if (above === undefined || caller === service) return false;
    return harms.some((m) => alignedWith(survey.edgeRises(m, caller, service), symptom, survey.stepMs) !== undefined);
  });
}

/** The symptom at the node, or without one the gravest among the services nearest the entry. */
export function findSymptom(survey: Survey, subject: Subject, asked: Question['symptom']): Symptom | undefined {
  if (subject.node !== undefined) {
    const change =
      symptomAt(survey, subject.node, asked) ??
      symptomFromBelow(survey, subject.node, asked) ??
      symptomFromEvents(survey, subject.node, asked);
    return change === undefined ? undefined : { node: subject.node, change };
  }
  const all = survey.serviceNames().flatMap((node) => {
    const change = symptomAt(survey, node, asked);
    return change === undefined ? [] : [{ node, change }];
  });
  const pressing = all.some((s) => lasting(s.change)) ? all.filter((s) => lasting(s.change)) : all;
  const changed = new Map(pressing.map((s) => [s.node, s.change] as const));
  const tops = pressing.filter((s) => !hasChangedCaller(survey, s.node, s.change, changed));
  return (tops.length > 0 ? tops : pressing).toSorted((a, b) => weigh(survey, b) - weigh(survey, a))[0];
}

/** What has lasted less than this may still turn out to be a blip, and weighs less. */
const settledPoints = 6;

/** Gravity times reach: a service that answers a hundred times the requests counts about three times as much. */
function weigh(survey: Survey, symptom: Symptom): number {
  const requests = survey.serviceSeries(symptom.node).reduce((sum, p) => sum + p.requests, 0);
  return (
    severityOf(symptom.change) * Math.log10(10 + requests) * Math.min(1, symptom.change.pointsAfter / settledPoints)
  );
}
