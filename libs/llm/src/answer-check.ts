/** Where an answer's facts may come from. */
export interface Sources {
  /** Texts of tool results, the question, and a finding when there is one. */
  texts: readonly string[];
}

/** Whole numbers up to here without a unit are counts and ordinals of the prose. */
const proseCount = 10;

interface Known {
  numbers: number[];
  clocks: Set<string>;
  /** All texts in lower case. */
  text: string;
}

function readSources({ texts }: Sources): Known {
  const text = texts.join('\n');
  const clocks = new Set<string>();
  for (const [, day, minute, second] of text.matchAll(/(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?/g)) {
    for (const word of [day, minute, second === undefined ? minute : `${minute}${second}`]) clocks.add(word as string);
  }
  for (const [word] of text.matchAll(/\b\d\d:\d\d(?::\d\d)?\b/g)) clocks.add(word);
  const numbers = [...text.matchAll(/\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi)].map(([word]) => Number(word));
  return { numbers: [...new Set(numbers)].filter(Number.isFinite), clocks, text: text.toLowerCase() };
}

/** As written in the answer: `1,234.5`, with what follows it. */
const writtenNumber =
  /(?<![\w.:/-])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(\s?(?:%|ms|s|x|×|requests?\/s|req\/s|rps|k|h|m|min|minutes?|seconds?|hours?))?(?![\w:/-]|\.\d)/g;

/**
 * Numbers and names of the answer that no source holds. Rounding, percent for a share, seconds for milliseconds and the
 * ratio of two numbers in the answer are allowed. Names are what the answer marks as one: in backticks or quotes, or after
 * the word "service".
 */
export function findUnsupported(answer: string, sources: Sources): string[] {
  const known = readSources(sources);
  const missing = [
    ...unsupportedTimes(answer, known),
    ...unsupportedNumbers(answer, known),
    ...unsupportedNames(answer, known),
  ];
  return [...new Set(missing)];
}

function unsupportedTimes(answer: string, known: Known): string[] {
  const written = [...answer.matchAll(/\b\d\d:\d\d(?::\d\d)?\b|\b\d{4}-\d\d-\d\d\b/g)].map(([word]) => word);
  return written.filter((word) => !known.clocks.has(word));
}

function unsupportedNumbers(answer: string, known: Known): string[] {
  const prose = answer.replaceAll(/\d{4}-\d\d-\d\d(?:[T ][\d:.]+Z?)?|\b\d\d:\d\d(?::\d\d)?\b|\bp\d\d\b/g, ' ');
  const written = [...prose.matchAll(writtenNumber)].map((match) => ({
    word: match[0].trim(),
    value: Number(`${(match[1] as string).replaceAll(',', '')}${match[2] ?? ''}`),
    digits: (match[2] ?? '.').length - 1,
    unit: (match[3] ?? '').trim(),
  }));
  const values = written.map((one) => one.value);
  return written
    .filter(({ value, digits, unit }) => {
      if (unit === '' && digits === 0 && value <= proseCount) return false;
      const within = (x: number): boolean => Math.abs(x - value) <= Math.max(0.5 * 10 ** -digits + 1e-9, value * 0.005);
      if (known.numbers.some((n) => within(n) || within(n * 100) || within(n / 1_000) || within(n * 1_000)))
        return false;
      const isRatio = unit === 'x' || unit === '×' || unit === '%';
      return (
        !isRatio || !values.some((a) => values.some((b) => b !== 0 && (within(a / b) || within((a / b - 1) * 100))))
      );
    })
    .map(({ word }) => word);
}

/** A version (`2.10.3`) is a text to be found whole, not three numbers. */
function unsupportedNames(answer: string, known: Known): string[] {
  const marked = [
    ...[...answer.matchAll(/`([^`\n]{1,80})`|"([^"\n]{1,80})"|“([^”\n]{1,80})”/g)].map((m) => m[1] ?? m[2] ?? m[3]),
    ...[...answer.matchAll(/\bservices? ([a-z][\w.-]*[\w])/g)].map((m) => m[1]),
    ...[...answer.matchAll(/\b([a-z][\w.-]*[\w]) service\b/g)].map((m) => m[1]),
    ...[...answer.matchAll(/\b\d+\.\d+\.\d+(?:-[\w.]+)?\b/g)].map((m) => m[0]),
  ];
  return marked
    .filter((word) => word !== undefined)
    .filter((word) => /^[\w][\w.:@/-]*$/.test(word) && !proseWords.has(word.toLowerCase()))
    .filter((word) => !known.text.includes(word.toLowerCase()));
}

const proseWords = new Set(
  'the a an this that its each every one any no other whole which affected upstream downstream of in at is are was by and or same another their our your per confirmed likely inconclusive'.split(
    ' ',
  ),
);
