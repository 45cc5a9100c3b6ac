import { describe, expect, it } from 'vitest';
import { aiSchema } from '../config/ai-config.js';
import { priceFor, toBudget } from './model-costs.js';

const custom = 'https://models.example.com/v1';

describe('what a model costs', () => {
  it.each([
    ['that of the table', { provider: 'anthropic', model: 'claude-sonnet-5-5' }, true],
    [
      'that of the table, at a region of the provider',
      { provider: 'openai', model: 'gpt-6.1-sol', endpoint: 'https://eu.api.openai.com/v1' },
      true,
    ],
    ['unknown for a model that is not in it', { provider: 'openai', model: 'gpt-99' }, false],
    ['unknown without a model', { provider: 'openai' }, false],
    [
      'unknown at a server of somebody else’s, whatever the name',
      { provider: 'openai', model: 'gpt-6.1-sol', endpoint: custom },
      false,
    ],
  ] as const)('is %s', async (_what, settings, isKnown) => {
    const price = await priceFor(aiSchema.parse(settings));
    expect(price !== undefined).toBe(isKnown);
  });

  it.each([undefined, custom])('is what the user says it is (at %s)', async (endpoint) => {
    const prices = { 'gpt-6.1-sol': { input: 7, output: 8 } };
    const ai = aiSchema.parse({ provider: 'openai', model: 'gpt-6.1-sol', endpoint, prices });
    expect(await priceFor(ai)).toEqual({ inputPerMillion: 7, outputPerMillion: 8 });
  });
});

describe('the budget of a question', () => {
  it('is the config’s, in the loop’s words', () => {
    const budget = { max_steps: 1, max_tool_calls: 2, max_seconds: 3, max_stall_seconds: 4, max_tokens: 5, max_usd: 6 };
    expect(toBudget(aiSchema.parse({ provider: 'openai', budget }))).toEqual({
      maxSteps: 1,
      maxToolCalls: 2,
      maxSeconds: 3,
      maxStallSeconds: 4,
      maxTokens: 5,
      maxUsd: 6,
    });
  });
});
