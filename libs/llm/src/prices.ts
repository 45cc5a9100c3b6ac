import { parseYaml } from '@coral/config';
import { z } from 'zod';
import type { TokenUsage } from './provider.js';

/** US dollars per million tokens. */
export interface TokenRates {
  inputPerMillion: number;
  outputPerMillion: number;
  /** Of input read from the provider's cache. Absent: as input. */
  cacheReadPerMillion?: number;
  /** Of input written to it. Absent: as input. */
  cacheWritePerMillion?: number;
}

export interface ModelPrice extends TokenRates {
  /** For all tokens of a request whose prompt, cached or not, has more than `overTokens`. */
  longPrompt?: TokenRates & { overTokens: number };
}

/** By provider, then by model. */
export type PriceTable = Readonly<Record<string, Readonly<Record<string, ModelPrice>>>>;

const dollars = z.number().min(0).max(100_000);
const rates = {
  input: dollars,
  output: dollars,
  cache_read: dollars.optional(),
  cache_write: dollars.optional(),
};
const name = z.string().min(1).max(100);

/** One model in config/prices.yaml and under `ai.prices`. */
export const modelPriceSchema = z
  .strictObject({ ...rates, long_prompt: z.strictObject({ over_tokens: z.int().positive(), ...rates }).optional() })
  .transform(({ long_prompt: long, ...base }): ModelPrice => {
    if (long === undefined) return toRates(base);
    const { over_tokens: overTokens, ...above } = long;
    return { ...toRates(base), longPrompt: { overTokens, ...toRates(above) } };
  });

function toRates(wire: {
  input: number;
  output: number;
  cache_read?: number | undefined;
  cache_write?: number | undefined;
}): TokenRates {
  return {
    inputPerMillion: wire.input,
    outputPerMillion: wire.output,
    ...(wire.cache_read === undefined ? {} : { cacheReadPerMillion: wire.cache_read }),
    ...(wire.cache_write === undefined ? {} : { cacheWritePerMillion: wire.cache_write }),
  };
}

const pricesSchema = z.strictObject({
  as_of: z.iso.date(),
  prices: z.record(name, z.record(name, modelPriceSchema)),
});

export interface Prices {
  /** The day they were last looked up, `2026-11-21`. */
  asOf: string;
  table: PriceTable;
}

/** The text of a file like config/prices.yaml. Errors: failed_precondition, naming file, line and column. */
export function parsePrices(text: string, file: string): Prices {
  const { as_of: asOf, prices: table } = parseYaml(text, file, pricesSchema);
  return { asOf, table };
}

/**
 * The price of a model: from `overrides` (by model, the user's own `ai.prices`), else from the table. A dated snapshot
 * (`gpt-5.5-2026-04-23`, `claude-opus-5-5-20260922`) costs what its family does; any other ending is another model
 * (`gpt-5.5-pro`). Undefined: not known, and then never guessed.
 */
export function priceOf(
  provider: string,
  model: string,
  table: PriceTable,
  overrides: Readonly<Record<string, ModelPrice>> = {},
): ModelPrice | undefined {
  const family = model.replace(/-(?:20\d{2}-(?:0[1-9]|1[0-2])-[0-3]\d|20\d{2}(?:0[1-9]|1[0-2])[0-3]\d)$/, '');
  const known = Object.hasOwn(table, provider) ? (table[provider] ?? {}) : {};
  for (const prices of [overrides, known]) {
    for (const word of [model, family]) if (Object.hasOwn(prices, word)) return prices[word];
  }
  return undefined;
}

/** US dollars for one request. Cached tokens are part of `inputTokens`. */
export function costOf(usage: TokenUsage, price: ModelPrice): number {
  const { longPrompt } = price;
  const at = longPrompt !== undefined && usage.inputTokens > longPrompt.overTokens ? longPrompt : price;
  const read = Math.min(usage.cacheReadTokens ?? 0, usage.inputTokens);
  const written = Math.min(usage.cacheWriteTokens ?? 0, usage.inputTokens - read);
  const dollarsTimesMillion =
    (usage.inputTokens - read - written) * at.inputPerMillion +
    read * (at.cacheReadPerMillion ?? at.inputPerMillion) +
    written * (at.cacheWritePerMillion ?? at.inputPerMillion) +
    usage.outputTokens * at.outputPerMillion;
  return dollarsTimesMillion / 1_000_000;
}
