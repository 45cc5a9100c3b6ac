import { unsupportedNames } from './answer-check-names.js';
import { unsupportedNumbers, unsupportedTimes } from './answer-check-numbers.js';
import { readSources, type Sources } from './answer-check-sources.js';

/** Characters of an answer that are checked; no useful one has more. */
export const maxCheckedChars = 100_000;

/**
 * Numbers, times and names of the answer that no source holds, each once, as the answer writes them. What may be derived
 * from a source is in answer-check-numbers; what counts as a name in answer-check-names.
 */
export function findUnsupported(whole: string, sources: Sources): string[] {
  const answer = whole.slice(0, maxCheckedChars);
  const known = readSources(sources);
  const missing = [
    ...unsupportedTimes(answer, known),
    ...unsupportedNumbers(answer, known),
    ...unsupportedNames(answer, known),
  ];
  return [...new Set(missing)];
}
