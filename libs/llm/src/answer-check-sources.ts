/** Where an answer's facts may come from. */
export interface Sources {
  /** Texts of tool results, the question, and a finding when there is one. */
  texts: readonly string[];
  /** Names that may stand in an answer without being in a text: of the tools and their arguments. */
  words?: readonly string[];
}

/** What the sources hold, read once. */
export interface Known {
  /** As written, sorted, without times, versions and digits of names. */
  numbers: number[];
  /** How many entries some list has. */
  counts: Set<number>;
  /** `14:30`, `14:30:10`, `2026-11-21`; a minute also as the one it rounds to. */
  clocks: Set<string>;
  /** Seconds since the epoch. */
  instants: Set<number>;
  /** All texts and words in lower case. */
  text: string;
}

const timestamp = /(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d))?(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?/g;

export function readSources({ texts, words = [] }: Sources): Known {
  const text = texts.join('\n');
  const clocks = new Set<string>();
  const instants = new Set<number>();
  const counts = new Set<number>();
  const withoutTimes = text.replaceAll(timestamp, (_, day: string, minute: string, second: string | undefined) => {
    const at = Date.parse(`${day}T${minute}:${second ?? '00'}Z`) / 1_000;
    instants.add(at);
    for (const clock of [day, minute, `${minute}:${second ?? '00'}`]) clocks.add(clock);
    clocks.add(new Date(Math.round(at / 60) * 60_000).toISOString().slice(11, 16));
    return ' ';
  });
  for (const [clock] of withoutTimes.matchAll(/\b\d\d:\d\d(?::\d\d)?\b|\b\d{4}-\d\d-\d\d\b/g)) clocks.add(clock);
  for (const one of texts) countLists(parsed(one), counts);
  const plain = withoutTimes.matchAll(/(?<![\w.])\d+(?:\.\d+)?(?:e[+-]?\d+)?(?!\.?\d)/gi);
  const grouped = withoutTimes.matchAll(/(?<![\w.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?/g);
  const numbers = [...plain, ...grouped].map(([word]) => Number(word.replaceAll(',', '')));
  for (const day of clocks) if (/^\d{4}-/.test(day)) numbers.push(Number(day.slice(0, 4)));
  return {
    numbers: [...new Set(numbers)].filter(Number.isFinite).toSorted((a, b) => a - b),
    counts,
    clocks,
    instants,
    text: [text, ...words].join('\n').toLowerCase(),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A question, or a text of another form: no lists to count.
    return undefined;
  }
}

function countLists(value: unknown, counts: Set<number>): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) counts.add(value.length);
  for (const inner of Object.values(value)) countLists(inner, counts);
}
