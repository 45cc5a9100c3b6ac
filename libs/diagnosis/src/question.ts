import type { Question } from './diagnosis.js';

/** Words that speak of a symptom, by whole word; the first list that matches first in the text decides. */
const symptomWords: Record<'latency' | 'errors' | 'traffic', RegExp> = {
  latency:
    /\b(slow(?:er|ly|ness|down|ed)?|laten(?:cy|cies)|p50|p90|p95|p99|response times?|lag(?:s|gy|ging)?|sluggish|tak(?:es?|ing) (?:so |too )?long|time ?outs?|timing out|performance)\b/i,
  errors:
    /\b(errors?|err(?:ing|ored)|fail(?:s|ed|ing|ures?)?|5xx|4xx|50[0-4]|exceptions?|crash(?:es|ed|ing)?|down|unavailable|reject(?:s|ed|ing)?)\b/i,
  traffic:
    /\b(traffic|load|throughput|rps|qps|requests? per second|request rate|volume|busy|surge|spike in requests)\b/i,
};

/** Words that stand where a service's name might, and are none. */
const notNames = new Set(
  (
    'a an the my our your this that these those it its everything anything something nothing all any every some there here ' +
    'what why how when where which who is are was were be been has have had do does did can could should will would ' +
    'we i you they production prod staging system service services app application apps site website api apis platform ' +
    'cluster environment things stuff latency p50 p90 p95 p99 response time times request requests error errors ' +
    'traffic load rate rates throughput performance health status still so very really much suddenly now today yesterday ' +
    'not calls calling call getting being going users customers user customer query queries database databases db ' +
    'deployment deployments deploy deploys events event topology dependencies dependency'
  ).split(' '),
);

/** A word where the question names what is ill: "why is X slow", "X is failing", "errors in X", "X latency". */
const subjectPatterns = [
  /\b(?:why|how come|since when|when)\s+(?:is|are|was|were|did|does|has|have)\s+(?:the\s+)?([\w.-]+)/i,
  /\b(?:is|are|was|were)\s+(?:the\s+)?([\w.-]+)\s+(?:slow|down|failing|healthy|broken|ok|okay|fine|erroring|unavailable)/i,
  /\b(?:wrong|happening|going on|up)\s+(?:with|in|at|on)\s+(?:the\s+)?([\w.-]+)/i,
  /\b(?:errors?|failures?|latency|traffic|load|throughput|slowness|5xx|p95|p99)\s+(?:in|of|at|for|on|from)\s+(?:the\s+)?([\w.-]+)/i,
  /^\s*(?:the\s+)?([\w.-]+)\s+(?:is|are|was|seems?|looks?|keeps?)\b/i,
] as const;

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** Known names in the order in which they stand in the text, whole words only; of two at one place the longer. */
export function namesIn(text: string, known: readonly string[]): string[] {
  const hits = known
    .filter((name) => name !== '')
    .flatMap((name) => {
      const match = new RegExp(`(?<![\\w-])${escaped(name)}(?![\\w]|-\\w)`, 'i').exec(text);
      return match === null ? [] : [{ name, at: match.index }];
    })
    .toSorted((a, b) => a.at - b.at || b.name.length - a.name.length);
  return hits.filter((hit, i) => hits.findIndex((h) => h.at === hit.at) === i).map((hit) => hit.name);
}

function strangerIn(text: string): string | undefined {
  for (const pattern of subjectPatterns) {
    const word = pattern.exec(text)?.[1]?.replace(/[.-]+$/, '');
    if (word !== undefined && !notNames.has(word.toLowerCase()) && !isSymptomWord(word)) return word;
  }
  return undefined;
}

function isSymptomWord(word: string): boolean {
  return Object.values(symptomWords).some((pattern) => pattern.exec(word)?.[0].length === word.length);
}

/**
 * Reads a question in plain words. `service` is a known name, or the word that stands where a name should when none is
 * known: `diagnose` then looks at all services and says so.
 */
export function readQuestion(text: string, knownServices: readonly string[]): Question {
  const service = namesIn(text, knownServices)[0] ?? strangerIn(text);
  // The names are taken out first: a service may well be called `load-balancer`.
  const rest = service === undefined ? text : text.replace(new RegExp(`${escaped(service)}(?![\\w])`, 'gi'), ' ');
  const hits = (Object.keys(symptomWords) as (keyof typeof symptomWords)[])
    .map((symptom) => ({ symptom, at: symptomWords[symptom].exec(rest)?.index ?? Number.POSITIVE_INFINITY }))
    .toSorted((a, b) => a.at - b.at);
  const first = hits[0];
  const symptom = first !== undefined && first.at < Number.POSITIVE_INFINITY ? first.symptom : 'any';
  return service === undefined ? { text, symptom } : { text, service, symptom };
}
