import type { EventRow } from '@coral/tools';
import type { Candidate } from './cause.js';
import { timingOf } from './cause.js';
import type { Evidence } from './diagnosis.js';
import { otherCallers, type Hop, type Locus } from './locus.js';
import type { Symptom } from './symptom.js';
import { harms, isAligned, timeOf, type Survey } from './survey.js';
import { rateAround } from './traffic.js';
import { formatChange, formatLevel, formatNumber, formatTime, formatWhen, labelOf, listed } from './words.js';

const query = 'coral_query';

function hopLines(survey: Survey, hop: Hop): Evidence[] {
  const { now } = survey.o;
  const edge = `calls from ${hop.from} to ${labelOf(survey, hop.to)}: ${formatChange(hop.edge)} ${formatWhen(hop.edge, now)}`;
  const lines: Evidence[] = [{ text: edge, tool: query, service: hop.from }];
  if (hop.own !== undefined) {
    lines.push({
      text: `${hop.to}: ${formatChange(hop.own)} ${formatWhen(hop.own, now)}`,
      tool: query,
      service: hop.to,
    });
  }
  return lines;
}

export function describeEvent(event: EventRow, now: number): string {
  const when = `${formatTime(timeOf(event), now)} UTC`;
  if (event.type !== 'deploy') return `${event.service} ${event.type === 'crash' ? 'crashed' : 'restarted'} at ${when}`;
  const before = event.previous_version === undefined ? '' : ` (before: ${event.previous_version})`;
  return `${event.service} ${event.version ?? ''}`.trimEnd() + ` deployed at ${when}${before}`;
}

/** Facts behind a cause, the symptom first and then down the path; each with the tool that gave it. */
export function gatherEvidence(survey: Survey, symptom: Symptom, locus: Locus, best: Candidate): Evidence[] {
  const { now } = survey.o;
  const { change } = symptom;
  const found: Evidence[] = [
    {
      text: `${labelOf(survey, symptom.node)}: ${formatChange(change)} ${formatWhen(change, now)}`,
      tool: query,
      service: symptom.node,
    },
    ...locus.path.flatMap((hop) => hopLines(survey, hop)),
  ];
  if (locus.path.length > 0) {
    const way = [symptom.node, ...locus.path.map((hop) => hop.to)].join(' → ');
    found.push({ text: `the path of calls: ${way}`, tool: 'coral_get_topology' });
  }
  if (best.event !== undefined) {
    found.push({ text: describeEvent(best.event, now), tool: 'coral_query_events', service: best.event.service });
  }
  if (locus.seenAs === 'edge' && locus.caller !== undefined)
    found.push(...otherCallerLines(survey, locus, locus.caller));
  found.push(...trafficLines(survey, symptom, best));
  const health = survey.o.health.find(
    (h) => h.service === symptom.node && h.status !== 'healthy' && h.status !== 'unknown',
  );
  if (health !== undefined) {
    found.push({
      text: `${health.service} is ${health.status}: ${health.reason}`,
      tool: 'coral_get_health',
      service: health.service,
    });
  }
  return found;
}

function otherCallerLines(survey: Survey, locus: Locus, caller: string): Evidence[] {
  const others = otherCallers(survey, locus.node, caller, locus.change);
  const label = labelOf(survey, locus.node);
  const lines: Evidence[] = [];
  if (others.changed.length > 0) {
    lines.push({ text: `calls from ${listed(others.changed)} to ${label} changed at the same time`, tool: query });
  }
  if (others.unchanged.length > 0) {
    lines.push({ text: `calls from ${listed(others.unchanged)} to ${label} did not change`, tool: query });
  }
  return lines;
}

function trafficLines(survey: Survey, symptom: Symptom, best: Candidate): Evidence[] {
  const { now } = survey.o;
  if (best.surge !== undefined && best.surge.kind === 'entry') {
    const { service, before, after, onset } = best.surge;
    const rise = formatChange({ metric: 'requests_per_s', before, after });
    return [{ text: `${service}: ${rise} since ${formatTime(onset.since, now)} UTC`, tool: query, service }];
  }
  const rate = rateAround(survey, survey.serviceSeries(symptom.node), symptom.change);
  if (rate === null || symptom.change.metric === 'requests_per_s') return [];
  const text = `${symptom.node}: ${formatNumber(rate.before)} requests/s before, ${formatLevel('requests_per_s', rate.after)} after`;
  return [{ text, tool: query, service: symptom.node }];
}

/** At most this many innocent events are listed; the newest. */
const mostRuledOut = 20;

/** Deployments, restarts and crashes that are not the cause, newest first, each with the reason. */
export function ruleOut(
  survey: Survey,
  symptom: Symptom,
  locus: Locus,
  best: Candidate,
): { what: string; why: string }[] {
  const onPath = new Set([symptom.node, ...locus.path.map((hop) => hop.to)]);
  return survey
    .happenings()
    .filter((event) => event !== best.event)
    .toReversed()
    .slice(0, mostRuledOut)
    .map((event) => ({ what: describeEvent(event, survey.o.now), why: whyInnocent(survey, event, onPath, locus) }));
}

function whyInnocent(survey: Survey, event: EventRow, onPath: ReadonlySet<string>, locus: Locus): string {
  const at = timeOf(event);
  const { change } = locus;
  const began = formatTime(change.since, survey.o.now);
  if (!onPath.has(event.service) && !survey.callers(locus.node).includes(event.service)) {
    return `not on the path to ${labelOf(survey, locus.node)}${changedWith(survey, event) ? '' : ', and nothing changed after it'}`;
  }
  if (at > change.sinceEnd + survey.stepMs && timingOf(at, change, survey.stepMs) === 'none')
    return `too late: the change began at ${began} UTC`;
  if (timingOf(at, change, survey.stepMs) === 'none') return `too early: the change began at ${began} UTC`;
  if (event.service !== locus.node) return `the change lies deeper, at ${labelOf(survey, locus.node)}`;
  return 'something else fits the time and the size better';
}

function changedWith(survey: Survey, event: EventRow): boolean {
  const at = timeOf(event);
  const onset = { since: at, sinceEnd: at };
  return harms.some((m) => survey.rises(m, event.service).some((c) => isAligned(c, onset, survey.stepMs)));
}
