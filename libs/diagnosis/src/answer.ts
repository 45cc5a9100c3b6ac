import type { Candidate } from './cause.js';
import type { Question, Verdict } from './diagnosis.js';
import { otherCallers, type Locus } from './locus.js';
import type { Symptom } from './symptom.js';
import { timeOf, type Survey } from './survey.js';
import { capitalized, formatChange, formatLevel, formatTime, formatWhen, labelOf, listed } from './words.js';

export interface Finding {
  question: Question;
  symptom: Symptom;
  locus: Locus;
  best: Candidate;
  verdict: Verdict;
  ruledOut: readonly { what: string; why: string }[];
  gaps: readonly string[];
}

const harmWords = {
  p95_ms: { made: 'slow', became: 'got slow' },
  error_rate: { made: 'fail', became: 'began to fail' },
  requests_per_s: { made: 'busy', became: 'got busy' },
} as const;

/** `made <service> slow: p95 150 → 450 ms since 14:30:10 UTC` */
function effect(survey: Survey, { symptom }: Finding): string {
  const { change } = symptom;
  const over = change.until === null ? '' : '; it is over now';
  return `made ${labelOf(survey, symptom.node)} ${harmWords[change.metric].made}: ${formatChange(change)} ${formatWhen(change, survey.o.now)}${over}`;
}

function subjectClause(survey: Survey, finding: Finding): string {
  const { best, locus } = finding;
  const { cause } = best;
  const at = `${formatTime(Date.parse(cause.at), survey.o.now)} UTC`;
  const label = labelOf(survey, cause.service);
  const became = harmWords[locus.change.metric].became;
  switch (cause.kind) {
    case 'deploy':
      return `${cause.service}${cause.version === undefined ? '' : ` ${cause.version}`}, deployed at ${at},`;
    case 'restart':
      return `${label} ${best.event?.type === 'crash' ? 'crashed' : 'restarted'} at ${at}, which`;
    case 'traffic': {
      const surge = best.surge;
      const rise =
        surge === undefined
          ? ''
          : ` from ${formatLevel('requests_per_s', surge.before)} to ${formatLevel('requests_per_s', surge.after)}`;
      return `traffic at ${label} rose${rise} at ${at}, which`;
    }
    case 'database':
    case 'dependency':
      return `${label} ${became} at ${at}, which`;
    case 'service':
      return `${label} ${locus.seenAs === 'stopped' ? 'stopped answering' : became} at ${at} with no deployment, restart or rise in traffic to explain it, which`;
  }
}

const doubt: Record<Verdict, string> = { CONFIRMED: '', LIKELY: 'Likely: ', INCONCLUSIVE: 'Possibly, but not shown: ' };

function headline(survey: Survey, finding: Finding): string {
  const { cause } = finding.best;
  const sameNode =
    cause.service === finding.symptom.node &&
    cause.kind !== 'deploy' &&
    cause.kind !== 'traffic' &&
    cause.kind !== 'restart';
  const words = `${subjectClause(survey, finding)} ${effect(survey, finding)}.`;
  const said = sameNode ? words.replace(/, which made .*?: /, ': ') : words;
  const start = doubt[finding.verdict];
  return start === '' ? capitalized(startSentence(said, cause.kind)) : `${start}${said}`;
}

/** Names keep their case at the start of a sentence; our own words do not. */
function startSentence(text: string, kind: string): string {
  return kind === 'traffic' ? `T${text.slice(1)}` : text;
}

/** Where on the path the time goes, or the errors begin. */
function place(survey: Survey, { locus, symptom }: Finding): string[] {
  const hop = locus.path.at(-1);
  if (hop === undefined) return [];
  const { now } = survey.o;
  const way = locus.path.length > 1 ? ` on the path ${[symptom.node, ...locus.path.map((h) => h.to)].join(' → ')}` : '';
  const said = [
    `The deepest change${way}: calls from ${hop.from} to ${labelOf(survey, hop.to)}, ${formatChange(hop.edge)} ${formatWhen(hop.edge, now)}.`,
  ];
  if (locus.seenAs === 'edge') {
    const others = otherCallers(survey, locus.node, hop.from, locus.change);
    if (others.changed.length > 0) said.push(`Calls to it from ${listed(others.changed)} changed as well.`);
    else if (others.unchanged.length > 0) said.push(`Calls to it from ${listed(others.unchanged)} did not change.`);
  }
  return said;
}

function advice(survey: Survey, { best, locus, symptom }: Finding): string {
  const { cause } = best;
  const over = symptom.change.until !== null;
  const target = labelOf(survey, locus.node);
  switch (cause.kind) {
    case 'deploy': {
      const back = survey.eventsOf(cause.service).find((e) => e.type === 'deploy' && timeOf(e) > Date.parse(cause.at));
      const look = locus.seenAs === 'edge' ? `look at what it asks of ${target}` : 'look at what it changed';
      if (over) {
        const how =
          back === undefined
            ? ''
            : ` after ${back.service} ${back.version ?? ''} was deployed at ${formatTime(timeOf(back), survey.o.now)} UTC`;
        return `It recovered${how}; before that version goes out again, ${look}.`;
      }
      const previous = cause.previousVersion === undefined ? 'the version before' : cause.previousVersion;
      return `Recommended: roll ${cause.service} back to ${previous}, then ${look}.`;
    }
    case 'restart':
      return `Recommended: find out why ${cause.service} went down, and whether it is warm again.`;
    case 'database':
      return `Recommended: look at ${target} for slow queries, locks and load.`;
    case 'dependency':
      return `Recommended: check ${target} and the way to it.`;
    case 'traffic':
      return over
        ? 'It is over; plan for the next one with more capacity or a limit.'
        : `Recommended: add capacity at ${target}, or limit the requests at ${cause.service}.`;
    case 'service':
      return `Recommended: look at the process and the machine of ${target}.`;
  }
}

/** How many innocent events the text names; the rest are in the diagnosis. */
const mostNamed = 2;

/** Three to eight plain sentences: cause, evidence, what was ruled out, what to do, what was not seen. */
export function writeAnswer(survey: Survey, finding: Finding): string {
  const { question, symptom } = finding;
  const said: string[] = [];
  const asked =
    question.symptom === 'latency' ? 'p95_ms' : question.symptom === 'errors' ? 'error_rate' : symptom.change.metric;
  if (asked !== symptom.change.metric) {
    const label = labelOf(survey, symptom.node);
    said.push(
      asked === 'p95_ms'
        ? `${capitalized(label)} is not slower, but it fails more.`
        : `${capitalized(label)} does not fail more, but it is slower.`,
    );
  }
  said.push(headline(survey, finding), ...place(survey, finding));
  const innocent = finding.ruledOut.slice(0, mostNamed).map((r) => `${r.what} (${r.why})`);
  const more = finding.ruledOut.length - innocent.length;
  if (innocent.length > 0) said.push(`Ruled out: ${innocent.join('; ')}${more > 0 ? `; ${more} more` : ''}.`);
  said.push(advice(survey, finding));
  if (finding.gaps.length > 0) said.push(`Not seen: ${finding.gaps.join('; ')}.`);
  return said.join(' ');
}
