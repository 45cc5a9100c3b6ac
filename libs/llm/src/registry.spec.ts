import { describe, expect, it } from 'vitest';
import { createProvider, providerNames, resolveModel } from './registry.js';

describe('createProvider', () => {
  it('makes the one provider that needs nothing', async () => {
    expect(await createProvider({ provider: 'builtin' })).toMatchObject({ name: 'builtin', local: true });
  });

  it.each(providerNames.filter((name) => name !== 'builtin'))(
    'says that %s cannot be used yet, and what to do',
    async (provider) => {
      await expect(createProvider({ provider })).rejects.toMatchObject({
        kind: 'failed_precondition',
        reason: 'provider_unusable',
        where: 'ai.provider',
        next: expect.stringContaining('builtin'),
      });
    },
  );

  it('names the nearest when there is none of that name', async () => {
    await expect(createProvider({ provider: 'antropic' })).rejects.toMatchObject({
      kind: 'invalid_argument',
      reason: 'unknown_provider',
      message: expect.stringContaining('did you mean anthropic?'),
    });
  });
});

describe('resolveModel', () => {
  const ollama = { provider: 'ollama', model: 'llama3.1:8b' };

  it.each([
    ['builtin', undefined, { provider: 'builtin' }],
    ['ollama', ollama, { provider: 'ollama', model: 'llama3.1:8b' }],
    ['anthropic', ollama, { provider: 'anthropic' }],
    ['ollama:qwen3:4b', undefined, { provider: 'ollama', model: 'qwen3:4b' }],
    ['qwen3:4b', ollama, { provider: 'ollama', model: 'qwen3:4b' }],
    [' gpt-4 ', { provider: 'openai' }, { provider: 'openai', model: 'gpt-4' }],
  ])('reads %j', (text, configured, expected) => {
    expect(resolveModel(text, configured)).toEqual(expected);
  });

  it.each([
    ['', undefined],
    ['gpt-4', undefined],
    ['gpt-4', { provider: 'builtin' }],
    ['ollama:', ollama],
  ])('refuses %j', (text, configured) => {
    expect(() => resolveModel(text, configured)).toThrow(
      expect.objectContaining({ kind: 'invalid_argument', reason: 'bad_model', where: '--model' }),
    );
  });
});
