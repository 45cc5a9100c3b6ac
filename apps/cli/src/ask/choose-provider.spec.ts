import { Secret } from '@coral/config';
import { exitCodeFor, type CoralError } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { checkKey, chooseProvider, isLocal } from './choose-provider.js';
import type { AiConfig } from '../config/cli-config.js';

const anthropic: AiConfig = {
  provider: 'anthropic',
  model: 'm',
  stream: false,
  api_key: Secret.reference('env://KEY'),
};

describe('the provider that answers', () => {
  it.each([
    ['builtin by default', undefined, undefined, { provider: 'builtin' }, true],
    ['the configured one', anthropic, undefined, anthropic, false],
    [
      'another provider, without the settings of the first',
      anthropic,
      'ollama',
      { provider: 'ollama', stream: false },
      false,
    ],
    ['the configured one by name, with its settings', anthropic, 'anthropic', anthropic, false],
    ['another model of the configured one', anthropic, 'gpt-4', { ...anthropic, model: 'gpt-4' }, false],
    [
      'both at once',
      anthropic,
      'ollama:llama3.1:8b',
      { provider: 'ollama', model: 'llama3.1:8b', stream: false },
      false,
    ],
    ['a model with a slash', { ...anthropic }, 'meta/llama', { ...anthropic, model: 'meta/llama' }, false],
  ])('is %s', (_what, ai, flag, config, byDefault) => {
    expect(chooseProvider(ai, flag)).toMatchObject({ config, byDefault });
    expect(chooseProvider(ai, flag).config.api_key).toBe((config as AiConfig).api_key);
  });

  it.each([
    [undefined, 'gpt-4'],
    [{ provider: 'builtin', stream: true } as AiConfig, 'gpt-4'],
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

  it('fails before anything is joined when the variable of its key is not set', () => {
    expect(() => checkKey(anthropic, { KEY: 'k' })).not.toThrow();
    let thrown: CoralError | undefined;
    try {
      checkKey(anthropic, {});
    } catch (error) {
      thrown = error as CoralError;
    }
    expect(thrown).toMatchObject({ reason: 'secret_unset' });
    expect(thrown && exitCodeFor(thrown.kind)).toBe(78);
  });

  it.each([
    [{ provider: 'builtin' }, true],
    [{ provider: 'llamacpp' }, true],
    [{ provider: 'ollama' }, true],
    [{ provider: 'ollama', endpoint: 'http://127.0.0.1:11434' }, true],
    [{ provider: 'ollama', endpoint: 'http://[::1]:11434' }, true],
    [{ provider: 'ollama', endpoint: 'http://gpu.example.com:11434' }, false],
    [{ provider: 'ollama', endpoint: 'http://127.0.0.1.example.com' }, false],
    [{ provider: 'openai', endpoint: 'http://localhost:8000/v1' }, true],
    [{ provider: 'openai' }, false],
    [{ provider: 'anthropic' }, false],
    [{ provider: 'google' }, false],
  ] as const)('knows whether %o is on this machine', (config, local) => {
    expect(isLocal({ stream: true, ...config })).toBe(local);
  });
});
