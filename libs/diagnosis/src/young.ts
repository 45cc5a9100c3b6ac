import type { Diagnosis, Question } from './diagnosis.js';
import type { Symptom } from './symptom.js';
import type { Survey } from './survey.js';
import { capitalized, formatChange, formatWhen, labelOf } from './words.js';

/** The symptom as the answer carries it. */
export function reportOf({ node, change }: Symptom): NonNullable<Diagnosis['symptom']> {
  const { metric, before, after } = change;
  return { service: node, metric, before, after, since: new Date(change.since).toISOString() };
}

/** The answer when something changed a moment ago and no event explains it: it may pass as it came. */
export function answerYoung(survey: Survey, question: Question, symptom: Symptom, known: readonly string[]): Diagnosis {
  const label = labelOf(survey, symptom.node);
  const fact = `${label}: ${formatChange(symptom.change)} ${formatWhen(symptom.change, survey.o.now)}`;
  const gaps = [...known, 'the change is too young to tell a stall from a lasting one'];
  const harm =
    symptom.change.metric === 'error_rate'
      ? 'to fail more'
      : symptom.change.metric === 'p95_ms'
        ? 'to slow down'
        : 'to get busy';
  const asked = question.service === undefined ? '' : ' again';
  return {
    verdict: 'INCONCLUSIVE',
    symptom: reportOf(symptom),
    cause: null,
    ranked: [],
    evidence: [{ text: fact, tool: 'coral_query', service: symptom.node }],
    ruledOut: [],
    gaps,
    text: [
      `${capitalized(label)} has just begun ${harm}, too lately to say why.`,
      `${capitalized(fact)}.`,
      `Ask${asked} in half a minute: it may be a stall that passes.`,
      `Not seen: ${gaps.join('; ')}.`,
    ].join(' '),
  };
}
