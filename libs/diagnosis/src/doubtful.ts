import type { Diagnosis } from './diagnosis.js';
import type { Symptom } from './symptom.js';
import type { Survey } from './survey.js';
import { capitalized, formatChange, formatWhen, labelOf } from './words.js';

/** The symptom as the answer carries it. */
export function reportOf({ node, change }: Symptom): NonNullable<Diagnosis['symptom']> {
  const { metric, before, after } = change;
  return { service: node, metric, before, after, since: new Date(change.since).toISOString() };
}

const harms = { p95_ms: 'slower', error_rate: 'failing more', requests_per_s: 'busier' } as const;

const doubts = {
  young: {
    said: (label: string, harm: string) => `${label} has just begun to be ${harm}, too lately to say why.`,
    advice: 'Ask again in half a minute: it may be a stall that passes.',
    gap: 'the change is too young to tell a stall from a lasting one',
  },
  faint: {
    said: (label: string, harm: string) =>
      `${label} may be ${harm}, but not by more than chance can do, and nothing explains it.`,
    advice: 'Ask again later, or about a longer time: a real change will stand out.',
    gap: 'the change is too faint to tell from chance',
  },
} as const;

/** The answer when something may have changed, but too lately or too little to name a cause. */
export function answerDoubtful(
  survey: Survey,
  symptom: Symptom,
  doubt: keyof typeof doubts,
  known: readonly string[],
): Diagnosis {
  const label = labelOf(survey, symptom.node);
  const { said, advice, gap } = doubts[doubt];
  const fact = `${label}: ${formatChange(symptom.change)} ${formatWhen(symptom.change, survey.o.now)}`;
  const gaps = [...known, gap];
  return {
    verdict: 'INCONCLUSIVE',
    symptom: reportOf(symptom),
    cause: null,
    ranked: [],
    evidence: [{ text: fact, tool: 'coral_query', service: symptom.node }],
    ruledOut: [],
    gaps,
    text: [
      capitalized(said(label, harms[symptom.change.metric])),
      `${capitalized(fact)}.`,
      advice,
      `Not seen: ${gaps.join('; ')}.`,
    ].join(' '),
  };
}
