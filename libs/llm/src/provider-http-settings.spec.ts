import { Secret } from '@coral/config';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { readHttpSettings } from './provider-http-settings.js';
import type { ProviderSettings } from './registry.js';

const key = 'sk-CANARY-1';
const whole: ProviderSettings = { provider: 'anthropic', model: 'claude-x', apiKey: Secret.literal(key) };

afterEach(() => vi.unstubAllEnvs());

function read(more: Partial<ProviderSettings> = {}): ReturnType<typeof readHttpSettings> {
  return readHttpSettings('anthropic', { ...whole, ...more });
}

describe('settings of a model’s API', () => {
  it('are the model, the usual address and the key at the moment it is asked for', () => {
    vi.stubEnv('SOME_KEY', 'first');
    const { model, endpoint, key: reveal } = read({ apiKey: Secret.reference('env://SOME_KEY') });
    expect([model, endpoint.href]).toEqual(['claude-x', 'https://api.anthropic.com/']);
    vi.stubEnv('SOME_KEY', 'second');
    expect(reveal?.()).toBe('second');
  });

  it.each([
    [{ model: undefined }, 'model_unset', 'ai.model'],
    [{ model: ' ' }, 'model_unset', 'ai.model'],
    [{ apiKey: undefined }, 'api_key_unset', 'ai.api_key'],
    [{ apiKey: undefined, endpoint: 'https://api.anthropic.com/v1' }, 'api_key_unset', 'ai.api_key'],
    [{ apiKey: Secret.literal(`${key}\n`) }, 'bad_api_key', '***'],
    [{ apiKey: Secret.literal('Bearer x') }, 'bad_api_key', '***'],
    [{ apiKey: Secret.reference('env://NOT_THERE') }, 'secret_unset', 'env://NOT_THERE'],
    [{ endpoint: 'api.example' }, 'bad_endpoint', 'ai.endpoint'],
    [{ endpoint: 'ftp://api.example' }, 'bad_endpoint', 'ai.endpoint'],
    [{ endpoint: 'https://me:secret@api.example' }, 'bad_endpoint', 'ai.endpoint'],
    [{ endpoint: 'https://api.example/?key=1' }, 'bad_endpoint', 'ai.endpoint'],
    [{ endpoint: 'http://api.example/v1' }, 'insecure_endpoint', 'ai.endpoint'],
    [{ endpoint: 'http://10.0.0.7:8080' }, 'insecure_endpoint', 'ai.endpoint'],
    [{ endpoint: 'http://127.evil.example' }, 'insecure_endpoint', 'ai.endpoint'],
    [{ endpoint: 'http://localhost.evil.example' }, 'insecure_endpoint', 'ai.endpoint'],
  ] as [Partial<ProviderSettings>, string, string][])('%o: %s', (more, reason, where) => {
    const thrown = (() => {
      try {
        return read(more);
      } catch (error) {
        return error;
      }
    })();
    expect(thrown).toMatchObject({ kind: 'failed_precondition', reason, where });
    const { message, next } = thrown as { message: string; next?: string };
    expect(next).toBeTruthy();
    expect(`${message} ${next}`).not.toMatch(/CANARY|secret@/);
  });

  it.each(['http://127.0.0.1:11434', 'http://[::1]:8080/v1', 'http://localhost:1234', 'https://api.example/v1'])(
    'let a key go to %s',
    (endpoint) => {
      expect(read({ endpoint }).key?.()).toBe(key);
    },
  );

  it('need no key for a server of one’s own, plain or not', () => {
    for (const endpoint of ['http://10.0.0.7:8080/v1', 'https://api.example', 'http://localhost:1234']) {
      expect(read({ endpoint, apiKey: undefined }).key).toBeUndefined();
    }
  });
});
