import { answerCalm } from './calm.js';
import type { Change } from './change-point.js';
import { answerDoubtful, reportOf } from './doubtful.js';
import { rankCauses, type Candidate } from './cause.js';
import { writeAnswer } from './answer.js';
import type { Diagnosis, Observations, Question, Verdict } from './diagnosis.js';
import { gatherEvidence, ruleOut } from './evidence.js';
import { findGaps } from './gaps.js';
import { findLocus, type Locus } from './locus.js';
import { findSymptom, subjectOf, type Subject } from './symptom.js';
import { Survey } from './survey.js';

/** The next best candidate this near to the first makes the first one doubtful. */
const rivalry = 0.05;
/** Share of the symptom that a cause must account for to be confirmed. */
const leastExplained = 0.5;

/** CONFIRMED without a weakness, LIKELY with one, INCONCLUSIVE with more. */
function judge(survey: Survey, locus: Locus, causes: readonly Candidate[]): Verdict {
  const [best, second] = causes as [Candidate, Candidate | undefined];
  const weaknesses = [
    best.timing !== 'close',
    locus.explained < leastExplained || locus.mixed,
    second !== undefined && second.timing === 'close' && best.score - second.score < rivalry,
    best.cause.kind === 'service',
    best.event === undefined && survey.o.silentAgents.length > 0,
  ].filter(Boolean).length;
  if (weaknesses === 0) return 'CONFIRMED';
  return weaknesses === 1 ? 'LIKELY' : 'INCONCLUSIVE';
}

/** Until then a change that nothing explains is as likely a stall that will pass; a slight change needs longer. */
const youngMs = { any: 30_000, slight: 60_000 } as const;

function isSlight({ before, after }: Change): boolean {
  return after < before * 1.5;
}

function isTooYoung(change: Change, locus: Locus, best: Candidate): boolean {
  if (locus.change.fading) return true;
  if (change.until !== null || isExplained(best)) return false;
  if (best.cause.kind === 'service') return change.lastedMs < (isSlight(change) ? youngMs.slight : youngMs.any);
  return !locus.change.steady && locus.change.lastedMs < youngMs.any;
}

/** True when an event or a rise in traffic stands behind the cause, and not only the absence of one. */
function isExplained(best: Candidate): boolean {
  return best.event !== undefined || best.cause.kind === 'traffic';
}

/** Standard errors that a change needs to be believed with nothing to explain it; more when it was looked for everywhere. */
const leastSure = { asked: 5, all: 6, slightlyMore: 2, agreed: 1 } as const;

function isChance(change: Change, subject: Subject, best: Candidate): boolean {
  if (isExplained(best)) return false;
  const least = subject.node === undefined ? leastSure.all : leastSure.asked;
  // A place behind a call was seen to change by itself: two series agree.
  const agreed = best.cause.kind === 'service' ? 0 : leastSure.agreed;
  return change.z < least - agreed + (isSlight(change) ? leastSure.slightlyMore : 0);
}

/**
 * Which change explains the symptom asked about; or that nothing is wrong, or that too little is known. Pure: the same
 * observations give the same answer, whatever their order and whatever the services are called. Method and limits:
 * docs/diagnosis.md.
 */
export function diagnose(question: Question, o: Observations): Diagnosis {
  const survey = new Survey(o);
  const subject = subjectOf(survey, question);
  const symptom = findSymptom(survey, subject, question.symptom);
  const gaps = findGaps(survey, subject, symptom === undefined);
  if (symptom === undefined) return answerCalm(survey, question, subject, gaps);
  const locus = findLocus(survey, symptom.node, symptom.change);
  const causes = rankCauses(survey, locus, symptom);
  const best = causes[0] as Candidate;
  if (isTooYoung(symptom.change, locus, best)) return answerDoubtful(survey, symptom, 'young', gaps);
  if (isChance(symptom.change, subject, best)) return answerDoubtful(survey, symptom, 'faint', gaps);
  const verdict = judge(survey, locus, causes);
  const evidence = gatherEvidence(survey, symptom, locus, best);
  const ruledOut = ruleOut(survey, symptom, locus, best);
  return {
    verdict,
    symptom: reportOf(symptom),
    cause: best.cause,
    ranked: causes.map(({ cause, score, why }) => ({ cause, score, why })),
    evidence,
    ruledOut,
    gaps,
    text: writeAnswer(survey, { question, symptom, locus, best, verdict, ruledOut, gaps }),
  };
}
