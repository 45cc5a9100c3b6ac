import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { Meter } from './budget-meter.js';
import { costOf, parsePrices, priceOf, type ModelPrice } from './prices.js';
import { shippedPrices } from './prices-file.js';

const { table } = await shippedPrices();
const flat: ModelPrice = {
  inputPerMillion: 10,
  outputPerMillion: 50,
  cacheReadPerMillion: 1,
  cacheWritePerMillion: 12,
};

describe('config/prices.yaml', () => {
  it('is the file that is read, dated, with prices of both providers', async () => {
    const text = await readFile(new URL('../../../config/prices.yaml', import.meta.url), 'utf8');
    expect(await shippedPrices()).toEqual(parsePrices(text, 'config/prices.yaml'));
    expect((await shippedPrices()).asOf).toMatch(/^2026-\d\d-\d\d$/);
    expect(Object.keys(table)).toEqual(['anthropic', 'openai']);
  });

  it('prices no cache read above input, no cache write below it, and nothing cheaper above a threshold', () => {
    for (const price of Object.values(table).flatMap((models) => Object.values(models))) {
      for (const rates of [price, price.longPrompt ?? price]) {
        expect(rates.cacheReadPerMillion ?? 0).toBeLessThan(rates.inputPerMillion);
        expect(rates.cacheWritePerMillion ?? rates.inputPerMillion).toBeGreaterThanOrEqual(rates.inputPerMillion);
        expect(rates.inputPerMillion).toBeGreaterThanOrEqual(price.inputPerMillion);
        expect(rates.outputPerMillion).toBeGreaterThanOrEqual(price.outputPerMillion);
      }
    }
  });

  it.each([
    ['input: -1\n      output: 2', 'a.yaml:5'],
    ['input: 1', 'output'],
    ['input: 1\n      output: 2\n      cached: 1', 'cached'],
    ['input: a lot\n      output: 2', 'a.yaml:5'],
  ])('says where %j is wrong', (model, where) => {
    const text = `as_of: 2026-11-21\nprices:\n  openai:\n    gpt-x:\n      ${model}\n`;
    expect(() => parsePrices(text, 'a.yaml')).toThrow(where);
  });
});

describe('the price of a model', () => {
  it.each([
    ['anthropic', 'claude-opus-5-5', 4],
    ['anthropic', 'claude-opus-5-5-20260922', 4],
    ['openai', 'gpt-5.5', 5],
    ['openai', 'gpt-5.5-2026-04-23', 5],
    ['openai', 'gpt-5.4-mini-2026-03-17', 0.75],
  ])('%s %s is known', (provider, model, input) => {
    expect(priceOf(provider, model, table)?.inputPerMillion).toBe(input);
  });

  it.each([
    ['openai', 'gpt-5.5-pro'],
    ['openai', 'gpt-5.5-pro-2026-04-23'],
    ['openai', 'gpt-5'],
    ['openai', 'gpt-5.55'],
    ['openai', 'gpt-5.5-2026-13-01'],
    ['openai', 'gpt-5.5-12345678'],
    ['openai', 'claude-opus-5-5'],
    ['anthropic', 'claude-opus-5-5-fast'],
    ['anthropic', 'claude-opus-5-5[1m]'],
    ['ollama', 'gpt-5.5'],
    ['openai', '__proto__'],
    ['constructor', 'name'],
    ['openai', ''],
  ])('%s %s is not known, and not guessed', (provider, model) => {
    expect(priceOf(provider, model, table)).toBeUndefined();
  });

  it('is the one the user wrote, for other models too', () => {
    const overrides = { 'gpt-5.5': flat, 'house-model': flat };
    expect(priceOf('openai', 'gpt-5.5', table, overrides)).toBe(flat);
    expect(priceOf('openai', 'gpt-5.5-2026-04-23', table, overrides)).toBe(flat);
    expect(priceOf('openai', 'house-model', table, overrides)).toBe(flat);
    expect(priceOf('openai', 'gpt-5.4', table, overrides)?.inputPerMillion).toBe(2.5);
  });
});

describe('the cost of a request', () => {
  it('counts cached tokens once, at their own rate', () => {
    const usage = {
      inputTokens: 1_000_000,
      outputTokens: 100_000,
      cacheReadTokens: 600_000,
      cacheWriteTokens: 100_000,
    };
    expect(costOf(usage, flat)).toBeCloseTo(0.3 * 10 + 0.6 * 1 + 0.1 * 12 + 0.1 * 50, 10);
  });

  it('takes cached tokens for input where their rate is not known, and never more of them than there is input', () => {
    const bare = { inputPerMillion: 10, outputPerMillion: 50 };
    expect(costOf({ inputTokens: 1_000_000, outputTokens: 0, cacheReadTokens: 500_000 }, bare)).toBe(10);
    expect(costOf({ inputTokens: 100, outputTokens: 0, cacheReadTokens: 900, cacheWriteTokens: 900 }, flat)).toBe(
      0.0001,
    );
  });

  it('is that of long prompts for all tokens, from the first token above the threshold', () => {
    const haiku = priceOf('anthropic', 'claude-haiku-5-5', table) as ModelPrice;
    expect(costOf({ inputTokens: 100_000, outputTokens: 1_000_000 }, haiku)).toBeCloseTo(0.01 + 0.5, 10);
    expect(costOf({ inputTokens: 100_001, outputTokens: 1_000_000 }, haiku)).toBeCloseTo(0.0500005 + 2.5, 10);
  });

  it('is summed request by request: two short prompts are no long one', () => {
    const haiku = priceOf('anthropic', 'claude-haiku-5-5', table);
    const meter = new Meter(haiku, false);
    for (let i = 0; i < 2; i += 1) {
      meter.startRequest();
      meter.add({ inputTokens: 60_000, outputTokens: 0 });
      meter.add({ inputTokens: 0, outputTokens: 1_000 });
    }
    expect(meter.costUsd).toBeCloseTo(0.012 + 0.001, 10);
    expect(meter.usage).toEqual({ inputTokens: 120_000, outputTokens: 2_000, cacheReadTokens: 0, cacheWriteTokens: 0 });
  });

  it('is nothing on this machine, null without a price, and no reply makes it less', () => {
    expect(new Meter(undefined, true).costUsd).toBe(0);
    expect(new Meter(undefined, false).costUsd).toBeNull();
    const meter = new Meter(flat, false);
    meter.startRequest();
    meter.add({ inputTokens: 1_000_000, outputTokens: 0 });
    meter.add({ inputTokens: -5_000_000, outputTokens: Number.NaN });
    expect(meter.costUsd).toBe(10);
  });
});
