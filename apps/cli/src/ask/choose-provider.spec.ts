import { Secret } from '@coral/config';
import type { CoralError } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { aiSchema, type AiConfig } from '../config/ai-config.js';
import { chooseProvider } from './choose-provider.js';

const anthropic: AiConfig = {
  ...aiSchema.parse({
    provider: 'anthropic',
    model: 'm',
    stream: false,
    max_tokens: 100,
    temperature: 1,
    budget: { max_usd: 9 },
    prices: { m: { input: 1, output: 2 } },
  }),
  api_key: Secret.reference('env://KEY'),
};
const elsewhere: AiConfig = { ...anthropic, provider: 'openai', endpoint: 'https://models.example.com/v1' };

describe('the provider that answers', () => {
  it.each([
    ['builtin by default', undefined, undefined, { provider: 'builtin' }, true],
    ['the configured one', anthropic, undefined, anthropic, false],
    ['another provider', anthropic, 'ollama', { provider: 'ollama', stream: false }, false],
    ['the configured one by name, with its settings', anthropic, 'anthropic', anthropic, false],
    ['another model of the configured one', anthropic, 'claude-x', { ...anthropic, model: 'claude-x' }, false],
    ['the provider that a name tells', anthropic, 'gpt-4', { provider: 'openai', model: 'gpt-4' }, false],
    ['the server that may call its models anything', elsewhere, 'claude-x', { ...elsewhere, model: 'claude-x' }, false],
    ['both at once', anthropic, 'ollama:llama3.1:8b', { provider: 'ollama', model: 'llama3.1:8b' }, false],
    [
      'both, away from that server',
      elsewhere,
      'anthropic:claude-x',
      { provider: 'anthropic', model: 'claude-x' },
      false,
    ],
    ['a model with a slash', anthropic, 'meta/llama', { ...anthropic, model: 'meta/llama' }, false],
  ])('is %s', (_what, ai, flag, config, byDefault) => {
    expect(chooseProvider(ai, flag)).toMatchObject({ config, byDefault });
  });

  it.each([
    [anthropic, 'gpt-4'],
    [anthropic, 'ollama'],
    [elsewhere, 'anthropic:claude-x'],
  ])('does not get what was written for another (%#)', (ai, flag) => {
    const { config } = chooseProvider(ai, flag);
    expect(Object.keys(config).toSorted()).toEqual(
      expect.not.arrayContaining(['api_key', 'endpoint', 'max_tokens', 'temperature']),
    );
    expect(config.api_key).toBeUndefined();
    expect(config.endpoint).toBeUndefined();
    expect(config).toMatchObject({ budget: { max_usd: 9 }, prices: anthropic.prices, stream: false });
  });

  it.each([
    [undefined, 'llama3.1:8b'],
    [aiSchema.parse({ provider: 'builtin' }), 'llama3.1:8b'],
    [anthropic, 'ollama:'],
    [anthropic, ' '],
  ])('cannot be chosen from %o by %s', (ai, flag) => {
    let thrown: CoralError | undefined;
    try {
      chooseProvider(ai, flag);
    } catch (error) {
      thrown = error as CoralError;
    }
    expect(thrown).toMatchObject({ kind: 'invalid_argument', where: '--model' });
  });
});
