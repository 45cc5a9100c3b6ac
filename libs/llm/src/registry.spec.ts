import { Secret } from '@coral/config';
import { describe, expect, it } from 'vitest';
import { createProvider, isUsable, providerNames, resolveModel } from './registry.js';

describe('createProvider', () => {
  it('makes the one provider that needs nothing', async () => {
    expect(await createProvider({ provider: 'builtin' })).toMatchObject({ name: 'builtin', local: true });
  });

  it.each([
    ['anthropic', 'claude-sonnet-5-5'],
    ['openai', 'gpt-5.5'],
  ])('makes %s, without asking anybody', async (provider, model) => {
    const made = await createProvider({ provider, model, apiKey: Secret.literal('k') });
    expect(made).toMatchObject({ name: provider, model, local: false });
  });

  it.each(['anthropic', 'openai'])('wants a model and a key for %s', async (provider) => {
    const apiKey = Secret.literal('k');
    await expect(createProvider({ provider, apiKey })).rejects.toMatchObject({ reason: 'model_unset' });
    await expect(createProvider({ provider, model: 'm' })).rejects.toMatchObject({ reason: 'api_key_unset' });
  });

  it('knows all that can be used', () => {
    expect(providerNames.filter(isUsable)).toEqual(['builtin', 'anthropic', 'openai']);
  });

  it.each(providerNames.filter((name) => !isUsable(name)))(
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
  const anthropic = { provider: 'anthropic', model: 'claude-sonnet-5-5' };
  const builtin = { provider: 'builtin' };
  const elsewhere = { provider: 'openai', model: 'qwen3-32b', endpoint: 'https://models.example.com/v1' };
  const own = { provider: 'openai', model: 'gpt-5.5', endpoint: 'https://api.openai.com/v1' };
  const region = { provider: 'openai', model: 'gpt-5.5', endpoint: 'https://eu.api.openai.com/v1' };
  const lookalike = { provider: 'openai', model: 'x', endpoint: 'https://notapi.openai.com.example.com/v1' };
  const gateway = { provider: 'anthropic', model: 'claude-opus-5-5', endpoint: 'http://localhost:4000' };

  it.each([
    // A provider.
    ['builtin', undefined, { provider: 'builtin' }],
    ['builtin', anthropic, { provider: 'builtin' }],
    ['ollama', ollama, { provider: 'ollama', model: 'llama3.1:8b' }],
    ['anthropic', ollama, { provider: 'anthropic' }],
    ['openai', elsewhere, { provider: 'openai', model: 'qwen3-32b' }],
    // Both: always what it says.
    ['ollama:qwen3:4b', undefined, { provider: 'ollama', model: 'qwen3:4b' }],
    ['openai:claude-sonnet-5-5', anthropic, { provider: 'openai', model: 'claude-sonnet-5-5' }],
    ['anthropic:gpt-5.5', elsewhere, { provider: 'anthropic', model: 'gpt-5.5' }],
    ['ollama:gpt-4', anthropic, { provider: 'ollama', model: 'gpt-4' }],
    ['openai:ft:gpt-4o:org::id', undefined, { provider: 'openai', model: 'ft:gpt-4o:org::id' }],
    // A name that tells its provider.
    ['claude-sonnet-5-5', undefined, { provider: 'anthropic', model: 'claude-sonnet-5-5' }],
    ['claude-sonnet-4.5', ollama, { provider: 'anthropic', model: 'claude-sonnet-4.5' }],
    ['claude-opus-5-5', anthropic, { provider: 'anthropic', model: 'claude-opus-5-5' }],
    ['claude-opus-5-5', builtin, { provider: 'anthropic', model: 'claude-opus-5-5' }],
    ['gpt-4', anthropic, { provider: 'openai', model: 'gpt-4' }],
    [' gpt-5.5 ', undefined, { provider: 'openai', model: 'gpt-5.5' }],
    ['GPT-6.1-sol', anthropic, { provider: 'openai', model: 'GPT-6.1-sol' }],
    ['o4-mini', anthropic, { provider: 'openai', model: 'o4-mini' }],
    ['o1', ollama, { provider: 'openai', model: 'o1' }],
    ['chatgpt-4o-latest', anthropic, { provider: 'openai', model: 'chatgpt-4o-latest' }],
    ['codex-mini-latest', anthropic, { provider: 'openai', model: 'codex-mini-latest' }],
    ['ft:gpt-4o:org::id', anthropic, { provider: 'openai', model: 'ft:gpt-4o:org::id' }],
    ['gemini-3.8-flash', anthropic, { provider: 'google', model: 'gemini-3.8-flash' }],
    // Its own address and its regions are no other server.
    ['claude-haiku-5-5', own, { provider: 'anthropic', model: 'claude-haiku-5-5' }],
    ['claude-haiku-5-5', region, { provider: 'anthropic', model: 'claude-haiku-5-5' }],
    // A server of somebody else's may call its models anything.
    ['claude-sonnet-5-5', elsewhere, { provider: 'openai', model: 'claude-sonnet-5-5' }],
    ['gpt-4', gateway, { provider: 'anthropic', model: 'gpt-4' }],
    ['gemini-3.8-flash', lookalike, { provider: 'openai', model: 'gemini-3.8-flash' }],
    ['claude-x', { ...ollama, endpoint: 'http://localhost:11434' }, { provider: 'anthropic', model: 'claude-x' }],
    ['claude-x', { ...ollama, endpoint: 'http://gpu:11434' }, { provider: 'ollama', model: 'claude-x' }],
    // A name that tells nothing belongs to the configured provider.
    ['qwen3:4b', ollama, { provider: 'ollama', model: 'qwen3:4b' }],
    ['gpt-oss:20b', ollama, { provider: 'ollama', model: 'gpt-oss:20b' }],
    ['meta/llama-3.3', anthropic, { provider: 'anthropic', model: 'meta/llama-3.3' }],
    ['anthropic/claude-sonnet-5-5', own, { provider: 'openai', model: 'anthropic/claude-sonnet-5-5' }],
    ['olmo-2', ollama, { provider: 'ollama', model: 'olmo-2' }],
    ['omni', anthropic, { provider: 'anthropic', model: 'omni' }],
    ['my-claude-3', ollama, { provider: 'ollama', model: 'my-claude-3' }],
  ])('reads %j with %j', (text, configured, expected) => {
    expect(resolveModel(text, configured)).toEqual(expected);
  });

  it.each([
    ['', undefined],
    ['   ', ollama],
    ['llama3.1:8b', undefined],
    ['qwen3:4b', builtin],
    ['ollama:', ollama],
    ['builtin:x', ollama],
  ])('refuses %j with %j', (text, configured) => {
    expect(() => resolveModel(text, configured)).toThrow(
      expect.objectContaining({ kind: 'invalid_argument', reason: 'bad_model', where: '--model' }),
    );
  });
});
