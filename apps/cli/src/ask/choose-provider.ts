import { Secret } from '@coral/config';
import { resolveModel } from '@coral/llm';
import type { AiConfig } from '../config/cli-config.js';

export interface ProviderChoice {
  config: AiConfig;
  /** True when nobody chose: no `ai` block and no --model. */
  byDefault: boolean;
}

/**
 * Which model answers. `--model` takes a provider (`ollama`), a model of the configured provider (`gpt-4`), or both
 * (`ollama:llama3.1:8b`). Settings of the config count only for the provider they were written for.
 */
export function chooseProvider(ai: AiConfig | undefined, flag: string | undefined): ProviderChoice {
  if (flag === undefined) return ai ? { config: ai, byDefault: false } : { config: builtin, byDefault: true };
  const { provider, model } = resolveModel(flag, ai);
  const base: AiConfig = ai?.provider === provider ? ai : { provider, stream: ai?.stream ?? true };
  return { config: model === undefined ? base : { ...base, model }, byDefault: false };
}

/** Fails now, and not after the mesh is joined, when the key's variable is not set. */
export function checkKey({ api_key }: AiConfig, env: NodeJS.ProcessEnv): void {
  if (api_key instanceof Secret) api_key.reveal(env);
}

const builtin: AiConfig = { provider: 'builtin', stream: true };

/** True when neither question nor telemetry can leave this machine with these settings. */
export function isLocal({ provider, endpoint }: AiConfig): boolean {
  if (endpoint !== undefined) {
    const { hostname } = new URL(endpoint);
    return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
  }
  return provider === 'builtin' || provider === 'ollama' || provider === 'llamacpp';
}
