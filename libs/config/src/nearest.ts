import { distance } from 'fastest-levenshtein';

/** Longer words are not typing errors of ours, and edit distance costs length squared. */
const longestWord = 64;

/** The known word that `word` most likely meant: at most a third of its letters differ, case and `-`/`_` aside. The first of equals. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (word === '' || word.length > longestWord) return undefined;
  const allowed = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = allowed + 1;
  for (const candidate of known) {
    const away = editsBetween(plain(word), plain(candidate));
    if (away < bestDistance) {
      best = candidate;
      bestDistance = away;
    }
  }
  return best;
}

/** Levenshtein's distance, with two neighbouring letters swapped once counted as one edit instead of two. */
function editsBetween(word: string, candidate: string): number {
  let least = distance(word, candidate);
  for (let i = 1; i < word.length && least > 1; i += 1) {
    const swapped = word.slice(0, i - 1) + word.charAt(i) + word.charAt(i - 1) + word.slice(i + 1);
    least = Math.min(least, 1 + distance(swapped, candidate));
  }
  return least;
}

function plain(word: string): string {
  return word.toLowerCase().replaceAll('-', '_');
}
