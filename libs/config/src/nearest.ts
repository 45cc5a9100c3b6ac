import { distance } from 'fastest-levenshtein';

/** Longer words are not typing errors of ours, and edit distance costs length squared. */
const longestWord = 64;

/** The known word that `word` most likely meant: at most a third of its letters differ, case and `-`/`_` aside. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (word === '' || word.length > longestWord) return undefined;
  const allowed = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = allowed + 1;
  for (const candidate of known) {
    const away = distance(plain(word), plain(candidate));
    if (away < bestDistance) {
      best = candidate;
      bestDistance = away;
    }
  }
  return best;
}

function plain(word: string): string {
  return word.toLowerCase().replaceAll('-', '_');
}
