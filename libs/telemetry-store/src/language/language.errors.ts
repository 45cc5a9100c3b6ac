import { distance } from 'fastest-levenshtein';
import { CoralError } from '@coral/errors';
import { understood } from './vocabulary.js';

const maxNamed = 5;

/** The text, or a part of it, means nothing here. It is refused, never guessed at. */
export class QuestionNotUnderstood extends CoralError {
  constructor(what: string, near: readonly string[] = []) {
    super({
      kind: 'invalid_argument',
      reason: 'query_not_understood',
      where: 'query',
      message: `${what}${near.length === 0 ? '' : ` Nearest: ${near.join(', ')}.`}`,
      next: understood,
    });
  }
}

export class BadTimeRange extends CoralError {
  constructor(text: string, where: string, why: string) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_time_range',
      where,
      message: `${where}: ${quote(text)} is not a time range: ${why}.`,
      next: 'Write a length of 10s to 30d in whole 10 s, for example 15m, 1h, 4h, 24h or 7d.',
    });
  }
}

export class UnknownService extends CoralError {
  constructor(name: string, known: readonly string[], where: string) {
    const near = nearestWords(name, known);
    const listed = (near.length > 0 ? near : known.toSorted()).slice(0, maxNamed);
    const rest = known.length > listed.length ? `; ${known.length} services in all` : '';
    super({
      kind: 'not_found',
      reason: 'unknown_service',
      where,
      message: `No service is called ${quote(name)}. ${near.length > 0 ? 'Nearest' : 'Known'}: ${listed.join(', ')}${rest}.`,
      next: 'Use one of these names, or ask for "throughput by service" to see all of them.',
    });
  }
}

/** The known words that could have been meant, best first; none when all are far off. */
export function nearestWords(word: string, known: Iterable<string>): string[] {
  const from = word.toLowerCase();
  const limit = Math.max(1, Math.floor(from.length / 3));
  return [...new Set(known)]
    .map((candidate) => ({ candidate, far: distance(from, candidate.toLowerCase()) }))
    .filter(({ candidate, far }) => far <= limit || (from.length >= 3 && candidate.toLowerCase().startsWith(from)))
    .toSorted((a, b) => a.far - b.far || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
