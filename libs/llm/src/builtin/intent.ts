/** What a question wants: a diagnosis, or one tool's facts read out. */
export type Intent = 'diagnosis' | 'deployments' | 'events' | 'topology' | 'health' | 'comparison';

const trouble =
  /\b(why|slow\w*|latenc\w*|fail\w*|errors?|5xx|wrong|broken|cause\w*|regress\w*|timeouts?|explain|p9[59])\b/i;

const patterns: readonly [Intent, RegExp][] = [
  ['comparison', /\b(compare|compared|versus|vs\.?|difference between)\b/i],
  ['deployments', /\b(deploy(?:s|ed|ment|ments)?|releases?|released|roll-?outs?|rolled out|roll-?backs?|versions?)\b/i],
  ['events', /\b(events?|restart(?:s|ed)?|crash(?:es|ed)?|what (?:has )?(?:happened|changed)|alerts?)\b/i],
  [
    'topology',
    /\b(topology|dependenc(?:y|ies)|dependency graph|service map|depends? on|(?:what|who|which)\b.*\b(?:calls?|uses?|talks? to)|(?:what|who) (?:does|do)\b.*\bcall)\b/i,
  ],
  ['health', /\b(health|healthy|unhealthy|status|up and running|all (?:ok|good|well)|everything (?:ok|fine))\b/i],
];

/** A question that names trouble is a diagnosis, whatever else it names: "was it the deployment that made it slow?" */
export function intentOf(question: string): Intent {
  const found = patterns.find(([, pattern]) => pattern.test(question))?.[0];
  if (found === 'comparison') return 'comparison';
  if (found === undefined || trouble.test(question)) return 'diagnosis';
  return found;
}

const unitMs: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };
const longest = 30 * 86_400_000;

/** The time a question names (`last 4h`, `past two hours` not, `since yesterday`), in ms; undefined when it names none. */
export function rangeIn(question: string): number | undefined {
  const span =
    /\b(\d{1,4})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)\b/i.exec(question) ??
    /\b(?:last|past|this|previous)\s+()(minute|hour|day|week)\b/i.exec(question);
  if (span !== null) {
    const count = span[1] === '' ? 1 : Number(span[1]);
    return Math.min(longest, count * (unitMs[(span[2] as string).charAt(0).toLowerCase()] as number));
  }
  if (/\byesterday\b/i.test(question)) return 2 * 86_400_000;
  if (/\b(today|this morning|last night|overnight)\b/i.test(question)) return 86_400_000;
  return undefined;
}

/** As the tools write lengths of time: the largest whole unit. */
export function rangeText(ms: number): string {
  for (const unit of ['d', 'h', 'm'] as const) {
    const size = unitMs[unit] as number;
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${Math.max(1, Math.ceil(ms / 60_000))}m`;
}
