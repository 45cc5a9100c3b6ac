import type { Known } from './answer-check-sources.js';

/** Whole numbers up to here without a unit are counts and ordinals of the prose. */
const proseCount = 10;

/** Of an answer, numbers that are compared pair by pair. */
const mostPaired = 60;

/** How far a number may be off after "about", "~" and the like. */
const roughly = 0.05;

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** What a number of a source is multiplied with to be one in this unit. */
const scales: readonly [unit: RegExp, factors: readonly number[], seconds?: number][] = [
  [/^(?:%|percent)$/, [1, 100]],
  [/^(?:ms|milliseconds?)$/, [1, 1_000, 1e-3]],
  [/^(?:µs|μs|us|microseconds?)$/, [1, 1_000, 1e6]],
  [/^(?:s|secs?|seconds?)$/, [1, 1e-3]],
  [/^(?:m|mins?|minutes?)$/, [1, 1 / 60, 1 / 60_000], 60],
  [/^(?:h|hrs?|hours?)$/, [1, 1 / 3_600, 1 / 3_600_000], 3_600],
  [/^days?$/, [1, 1 / 86_400], 86_400],
  [/^(?:k|thousand)$/, [1e-3]],
  [/^million$/, [1e-6]],
  [/^(?:k|ki)b$/i, [1, 1e-3, 1 / 1024]],
  [/^(?:m|mi)b$/i, [1, 1e-6, 1 / 1024 ** 2]],
  [/^(?:g|gi)b$/i, [1, 1e-9, 1 / 1024 ** 3]],
];

const unitWords =
  '%|percent|milliseconds?|ms|microseconds?|[µμu]s|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|thousand|million|x|×|times|fold|[kKmMgG]i?B|k|(?:requests?|req|calls?|errors?)\\/s|rps';

/** As written in the answer: `1,234.5`, with what follows it. */
const writtenNumber = new RegExp(
  `(?<approx>(?:about|around|roughly|approximately|approx\\.?|nearly|almost|over|under|some|circa|~|≈)\\s?)?(?<![\\w.:/]|\\w-)(?<whole>\\d{1,3}(?:,\\d{3})+|\\d+)(?<part>\\.\\d+)?(?:\\s?(?<unit>${unitWords}))?(?![\\w:/-]|\\.\\d)`,
  'gi',
);

interface Written {
  word: string;
  value: number;
  unit: string;
  /** Of the value: how far a source's number may be away. */
  slack: number;
}

/** Numbers of the answer that no source holds, nor any of what {@link isSupported} allows. */
export function unsupportedNumbers(answer: string, known: Known): string[] {
  const written = numbersIn(answer);
  const derived = new Derived(written);
  return written.filter((one) => !isSupported(one, derived, known)).map(({ word }) => word);
}

function numbersIn(answer: string): Written[] {
  const prose = answer
    .replaceAll(/\d{4}-\d\d-\d\d(?:[T ][\d:.]+Z?)?|\b\d\d:\d\d(?::\d\d)?\b|\bp\d{2,3}(?:\.\d+)?\b/gi, ' ')
    .replaceAll(dayAndMonth, ' ')
    .replaceAll(/\bv?\d+(?:\.\d+){2,}(?:-[\w.]+)?\b/g, ' ')
    .replaceAll(/^\s*(?:#+\s*)?\d+[.)]\s/gm, ' ')
    .replaceAll(/(?<![\w.-])(\d[\d.,]*\s?(?:%|ms|s)?)\s?[-–—]\s?(?=\d)/g, '$1 to ');
  return [...prose.matchAll(writtenNumber)].map(({ 0: all, groups = {} }) => {
    const { approx = '', whole = '', part = '', unit = '' } = groups;
    const value = Number(`${whole.replaceAll(',', '')}${part}`);
    const rounding = 0.5 * 10 ** -Math.max(0, part.length - 1) + 1e-9;
    const slack = Math.max(rounding, value * (approx === '' ? 0.005 : roughly));
    return { word: all.slice(approx.length).trim(), value, unit: unit.trim(), slack };
  });
}

/**
 * Rounding, another unit, a count of a list, the time between two known times, and the ratio of or the difference between
 * two numbers of the answer.
 */
function isSupported({ value, unit, slack }: Written, derived: Derived, known: Known): boolean {
  const bare = unit === '' && Number.isInteger(value);
  if (bare && (value <= proseCount || known.counts.has(value))) return true;
  const [, factors, seconds] = scales.find(([words]) => words.test(unit)) ?? [undefined, [1]];
  if (factors.some((factor) => holds(known.numbers, (value - slack) / factor, (value + slack) / factor))) return true;
  if (seconds !== undefined && isBetween(value, seconds, known.instants)) return true;
  if (/^(?:x|×|times|fold|%|percent)$/i.test(unit) && derived.hasRatio(value, slack)) return true;
  return unit !== '' && derived.hasDifference(value, slack, unit);
}

/** Whether a sorted list has a number from `low` to `high`. */
function holds(sorted: readonly number[], low: number, high: number): boolean {
  const found = sorted[firstAtLeast(sorted, low, (n) => n)];
  return found !== undefined && found <= high;
}

function firstAtLeast<T>(sorted: readonly T[], least: number, valueOf: (one: T) => number): number {
  let from = 0;
  let to = sorted.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (valueOf(sorted[middle] as T) < least) from = middle + 1;
    else to = middle;
  }
  return from;
}

interface Pair {
  result: number;
  a: number;
  b: number;
}

/** What follows from two numbers of the answer. A number does not support itself: it is none of the two. */
class Derived {
  private readonly ratios: Pair[];
  private readonly differences = new Map<string, Pair[]>();

  constructor(private readonly written: readonly Written[]) {
    this.ratios = pairsOf(written, (a, b) => (b === 0 ? [] : [a / b, Math.abs(a / b - 1) * 100]));
  }

  /** As a factor or as percent of change. */
  hasRatio(value: number, slack: number): boolean {
    return has(this.ratios, value, slack);
  }

  hasDifference(value: number, slack: number, unit: string): boolean {
    let pairs = this.differences.get(unit);
    if (pairs === undefined) {
      const same = this.written.filter((one) => one.unit === unit);
      pairs = pairsOf(same, (a, b) => [Math.abs(a - b)]);
      this.differences.set(unit, pairs);
    }
    return has(pairs, value, slack);
  }
}

function pairsOf(written: readonly Written[], derive: (a: number, b: number) => number[]): Pair[] {
  const values = [...new Set(written.map(({ value }) => value))].slice(0, mostPaired);
  const pairs = values.flatMap((a) =>
    values.flatMap((b) => (a === b ? [] : derive(a, b).map((result): Pair => ({ result, a, b })))),
  );
  return pairs.toSorted((x, y) => x.result - y.result);
}

function has(pairs: readonly Pair[], value: number, slack: number): boolean {
  for (let i = firstAtLeast(pairs, value - slack, ({ result }) => result); i < pairs.length; i += 1) {
    const { result, a, b } = pairs[i] as Pair;
    if (result > value + slack) return false;
    if (a !== value && b !== value) return true;
  }
  return false;
}

/** Whether two known instants are so many units apart, the last unit rounded. */
function isBetween(value: number, seconds: number, instants: ReadonlySet<number>): boolean {
  if (!Number.isInteger(value)) return false;
  const units = new Set([...instants].map((at) => Math.round(at / seconds)));
  return [...units].some((unit) => units.has(unit + value));
}

const monthNames = `(?<month>${months.join('|')})[a-z]*\\.?`;
const dayAndMonth = new RegExp(
  `\\b(?<day>\\d{1,2})(?:st|nd|rd|th)?\\s${monthNames}\\b|\\b${monthNames.replace('month', 'month2')}\\s(?<day2>\\d{1,2})(?:st|nd|rd|th)?\\b`,
  'gi',
);

/** Times and dates of the answer that no source holds. */
export function unsupportedTimes(answer: string, { clocks }: Known): string[] {
  const written = [...answer.matchAll(/\b\d\d:\d\d(?::\d\d)?\b|\b\d{4}-\d\d-\d\d\b/g)].map(([word]) => word);
  const days = new Set([...clocks].filter((clock) => /^\d{4}-/.test(clock)).map((day) => day.slice(5)));
  const named = [...answer.matchAll(dayAndMonth)].filter(({ groups = {} }) => {
    const month = months.indexOf((groups['month'] ?? groups['month2'] ?? '').slice(0, 3).toLowerCase()) + 1;
    const day = groups['day'] ?? groups['day2'] ?? '';
    return !days.has(`${String(month).padStart(2, '0')}-${day.padStart(2, '0')}`);
  });
  return [...written.filter((word) => !clocks.has(word)), ...named.map(([word]) => word)];
}
