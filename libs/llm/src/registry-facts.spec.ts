import { describe, expect, it } from 'vitest';
import { endpointHost, isCustomEndpoint, isInsecureEndpoint, isOnThisMachine } from './registry-facts.js';
import type { ProviderName } from './registry.js';

describe('what is known of a provider before it is loaded', () => {
  it.each<[ProviderName, string | undefined, boolean]>([
    ['builtin', undefined, true],
    ['builtin', 'https://models.example.com', true],
    ['llamacpp', undefined, true],
    ['ollama', undefined, true],
    ['ollama', 'http://127.0.0.1:11434', true],
    ['ollama', 'http://[::1]:11434', true],
    ['ollama', 'http://gpu.example.com:11434', false],
    ['ollama', 'http://127.0.0.1.example.com', false],
    ['ollama', 'http://localhost.example.com', false],
    ['openai', 'http://localhost:8000/v1', true],
    ['openai', undefined, false],
    ['anthropic', undefined, false],
    ['google', undefined, false],
  ])('tells whether %s at %s is on this machine', (provider, endpoint, local) => {
    expect(isOnThisMachine({ provider, endpoint })).toBe(local);
  });

  it.each<[ProviderName, string | undefined, boolean]>([
    ['openai', undefined, false],
    ['openai', 'https://api.openai.com/v1', false],
    ['openai', 'https://api.openai.com:443/v1', false],
    ['openai', 'https://us.api.openai.com/v1', false],
    ['openai', 'http://api.openai.com/v1', true],
    ['openai', 'https://api.openai.com:8443/v1', true],
    ['openai', 'https://api.openai.com.example.com/v1', true],
    ['openai', 'https://fakeapi.openai.com/v1', true],
    ['anthropic', 'https://api.anthropic.com', false],
    ['anthropic', 'https://api.openai.com/v1', true],
    ['llamacpp', 'http://localhost:8080', true],
  ])('tells whether %s at %s is a server of somebody else', (provider, endpoint, custom) => {
    expect(isCustomEndpoint({ provider, endpoint })).toBe(custom);
  });

  it.each([
    ['https://models.example.com/v1', false],
    ['http://localhost:8000/v1', false],
    ['http://127.9.9.9:8000', false],
    ['http://[::1]:8000', false],
    ['http://models.example.com/v1', true],
    ['http://192.168.1.20:8000', true],
  ])('tells whether a key sent to %s could be read on the way', (endpoint, insecure) => {
    expect(isInsecureEndpoint(endpoint)).toBe(insecure);
  });

  it('names the host that questions go to', () => {
    expect(endpointHost({ provider: 'anthropic' })).toBe('api.anthropic.com');
    expect(endpointHost({ provider: 'openai', endpoint: 'https://u.example.com:8443/v1' })).toBe('u.example.com:8443');
    expect(endpointHost({ provider: 'builtin' })).toBeUndefined();
  });
});
