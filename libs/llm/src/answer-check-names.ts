import type { Known } from './answer-check-sources.js';

/** Different names of one answer that are looked for; no useful answer has more. */
export const maxCheckedNames = 300;

/** Names of the answer that no source holds: what it marks as a name, and versions. */
export function unsupportedNames(answer: string, known: Known): string[] {
  const names = [...new Set(namesIn(answer))].slice(0, maxCheckedNames);
  return names.filter((name) => !isKnown(name, known));
}

/** In backticks or quotes, around the word "service", in a chain of arrows; versions (`2.10.3`) whole, not as three numbers. */
function namesIn(answer: string): string[] {
  const first = (pattern: RegExp): (string | undefined)[] =>
    [...answer.matchAll(pattern)].map((match) => match.slice(1).find((group) => group !== undefined));
  const marked = first(/`([^`\n]{1,80})`|"([^"\n]{1,80})"|“([^”\n]{1,80})”/g)
    .filter((text) => text !== undefined)
    .flatMap((text) => text.split(/\s*(?:→|->|=>)\s*/))
    .map((text) => text.replace(/^(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) (?=\S+$)/, ''));
  const inProse = [
    ...first(/\bservices? ([a-z][\w.-]*\w)/g),
    ...first(/\b([a-z][\w.-]*\w) service\b/g),
    ...first(/(?<![\w`"])([a-z][\w.-]*\w)\s?(?:→|->)/g),
    ...first(/(?:→|->)\s?([a-z][\w.-]*\w)/g),
  ].filter((word) => word !== undefined);
  const versions = [...answer.matchAll(/\bv?\d+(?:\.\d+){2,}(?:-[\w.]+)?\b|\bv\d+\.\d+\b/g)].map(([word]) => word);
  return [...marked, ...inProse, ...versions]
    .map((word) => word.replace(/[.,:;]+$/, ''))
    .filter((word) => /^\/?\w[\w.:@/={}-]*$/.test(word) && !proseWords.has(word.toLowerCase()))
    .filter((word) => !/^\d+(?:\.\d+)?$/.test(word));
}

function isKnown(name: string, { text }: Known): boolean {
  const word = name.toLowerCase();
  return stands(word, text) || (/[@:/=]/.test(word) && word.split(/[@:/=]+/).every((part) => stands(part, text)));
}

/** As a word of its own: `pay` does not stand in `payroll`, but `payroll` does in `payroll-v2`. */
function stands(word: string, text: string): boolean {
  const bare = word.replace(/^v(?=\d)/, '').replaceAll(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
  return new RegExp(`(?<![a-z0-9])v?${bare}(?![a-z0-9])`).test(text);
}

/** Words of English that stand beside "service", and of the trade that an advice puts in backticks. */
const proseWords = new Set(
  `a affected all alone an and another any are as at bad because been before behind both but by call called calling calls can
  cause confirmed could curl database degraded dependencies dependency deploy deployment deployments deploys did do docker does
  down downstream each error errors every explain failed failing fast faulty first for from git graph had has have healthy health
  helm in inconclusive is it itself its journalctl kubectl last latencies latency level levels likely map may mesh might most
  mysql new next no none not null of ok old on one only or other our own owner owners per psql redis-cli request requests
  responsible restart restarted restarting restarts roll rollback root same second select should since slow slower slowest
  systemctl team that that's the their then these this those time times to top traffic true false unhealthy up upstream was
  were what when which while whole will with would yes your after analyze broken than`.split(/\s+/),
);
