import type { Diagnosis, Evidence, Question, Verdict } from './diagnosis.js';
import { describeEvent } from './evidence.js';
import { median } from './statistics.js';
import { findSymptom, risesAt, type Subject, type Symptom } from './symptom.js';
import { mostPressing, type Survey } from './survey.js';
import { capitalized, counted, formatChange, formatLevel, formatTime, formatWhen, labelOf, listed } from './words.js';

function levels(survey: Survey, node: string): string | undefined {
  const series = survey.serviceSeries(node);
  const p95s = series.flatMap((p) => p.p95 ?? []);
  if (p95s.length === 0) return undefined;
  const requests = series.reduce((sum, p) => sum + p.requests, 0);
  const errors = series.reduce((sum, p) => sum + p.errors, 0);
  return `p95 ${formatLevel('p95_ms', median(p95s))}, errors ${formatLevel('error_rate', errors / requests)} of ${requests} requests`;
}

/** The services the answer speaks of by number: the one asked about, else those at the entry. */
function spokenOf(survey: Survey, subject: Subject): string[] {
  if (subject.node !== undefined) return [subject.node];
  return survey.entries().toSorted();
}

function windowOf(survey: Survey): string {
  const { from, to } = survey.series;
  return `${formatTime(from, survey.o.now)} to ${formatTime(to, survey.o.now)} UTC`;
}

/** The answer when no change was found: nothing is wrong, or too little is known to say so. */
export function answerCalm(survey: Survey, question: Question, subject: Subject, known: readonly string[]): Diagnosis {
  const { o } = survey;
  const gaps = [...known];
  const names = survey.serviceNames();
  const readable =
    subject.node === undefined
      ? names.some((name) => survey.isReadable(survey.serviceSeries(name)))
      : survey.isReadable(survey.serviceSeries(subject.node)) ||
        survey
          .callers(subject.node)
          .some((caller) => survey.isReadable(survey.edgeSeries(caller, subject.node as string)));
  const ill = o.health.filter(
    (h) =>
      (h.status === 'down' || h.status === 'degraded') && (subject.node === undefined || h.service === subject.node),
  );
  const evidence: Evidence[] = spokenOf(survey, subject).flatMap((name) => {
    const text = levels(survey, name);
    return text === undefined
      ? []
      : [{ text: `${name}: ${text}, ${windowOf(survey)}`, tool: 'coral_query', service: name }];
  });
  for (const one of ill.toSorted((a, b) => a.service.localeCompare(b.service))) {
    gaps.push(`${one.service} is ${one.status} (${one.reason}), and it does not show when that began`);
    evidence.push({
      text: `${one.service} is ${one.status}: ${one.reason}`,
      tool: 'coral_get_health',
      service: one.service,
    });
  }
  const other = subject.node === undefined ? undefined : findSymptom(survey, {}, 'any');
  const isBelow = other !== undefined && survey.below(subject.node as string).has(other.node);
  if (isBelow)
    gaps.push(
      `the change of ${labelOf(survey, other.node)} may be too faint to see at ${labelOf(survey, subject.node as string)}`,
    );
  const verdict: Verdict =
    !readable || ill.length > 0 || subject.stranger !== undefined
      ? 'INCONCLUSIVE'
      : gaps.length > 0
        ? 'LIKELY'
        : 'CONFIRMED';
  const events = survey.happenings();
  return {
    verdict,
    symptom: null,
    cause: null,
    ranked: [],
    evidence,
    ruledOut: events
      .toReversed()
      .map((e) => ({ what: describeEvent(e, o.now), why: 'no harm began after it where the question looks' })),
    gaps,
    text: sentences(survey, question, subject, { readable, ill: ill.length > 0, gaps, evidence, other }).join(' '),
  };
}

interface Facts {
  readable: boolean;
  ill: boolean;
  gaps: readonly string[];
  evidence: readonly Evidence[];
  /** Something that did change, outside the question. */
  other: Symptom | undefined;
}

const complaints: Record<Question['symptom'], string> = {
  latency: 'slower',
  errors: 'failing more',
  traffic: 'busier',
  any: 'slower and not failing more',
};

function sentences(survey: Survey, question: Question, subject: Subject, facts: Facts): string[] {
  const { node } = subject;
  const said: string[] = [];
  const about = node === undefined ? 'any service' : labelOf(survey, node);
  if (!facts.readable) {
    said.push(`There is too little data to say whether anything is wrong with ${about}.`);
  } else if (facts.ill) {
    said.push(
      `No change was found that explains the trouble with ${about}: it may have begun before ${formatTime(survey.series.from, survey.o.now)} UTC.`,
    );
  } else if (node === undefined) {
    said.push('Nothing is wrong that these numbers show: no service got slower, and none fails more.');
  } else {
    said.push(`Nothing is wrong with ${about}: it is not ${complaints[question.symptom]} than before.`);
  }
  const numbers = facts.evidence.filter((e) => e.tool === 'coral_query').map((e) => e.text);
  if (numbers.length > 0) said.push(`${capitalized(numbers.slice(0, 3).join('; '))}.`);
  const services = survey.serviceNames().length;
  const deploys = survey.happenings().filter((e) => e.type === 'deploy');
  said.push(`Looked at ${counted(services, 'service')} and ${counted(deploys.length, 'deployment')}.`);
  if (deploys.length > 0 && facts.readable) {
    const shown = deploys
      .toReversed()
      .slice(0, 2)
      .map((e) => describeEvent(e, survey.o.now));
    said.push(`Nothing got worse there after ${listed(shown)}.`);
  }
  said.push(...elsewhere(survey, subject, question, facts.other));
  if (facts.gaps.length > 0) said.push(`Not seen: ${facts.gaps.join('; ')}.`);
  return said;
}

/** Changes outside the question that a reader should still hear about. */
function elsewhere(survey: Survey, subject: Subject, question: Question, other: Symptom | undefined): string[] {
  const { now } = survey.o;
  const said: string[] = [];
  if (other !== undefined) {
    said.push(
      `But ${labelOf(survey, other.node)} did change: ${formatChange(other.change)} ${formatWhen(other.change, now)}.`,
    );
  }
  if (question.symptom === 'traffic') return said;
  for (const name of spokenOf(survey, subject).slice(0, 3)) {
    const rise = mostPressing(risesAt(survey, name, 'requests_per_s'));
    if (rise?.until === null) said.push(`Traffic rose at ${name}: ${formatChange(rise)} ${formatWhen(rise, now)}.`);
  }
  return said;
}
