import { Secret } from '@coral/config';
import { CoralError } from '@coral/errors';
import { providerNames, type AiConfig } from '../config/cli-config.js';

export interface ProviderChoice {
  config: AiConfig;
  /** True when nobody chose: no `ai` block and no --model. */
  byDefault: boolean;
}

type ProviderName = (typeof providerNames)[number];

/**
 * Which model answers. `--model` takes a provider (`ollama`), a model of the configured provider (`gpt-4`), or both
 * (`ollama/llama3.1:8b`). Settings of the config count only for the provider they were written for.
 */
export function chooseProvider(ai: AiConfig | undefined, flag: string | undefined): ProviderChoice {
  if (flag === undefined) return ai ? { config: ai, byDefault: false } : { config: builtin, byDefault: true };
  const slash = flag.indexOf('/');
  const first = slash < 0 ? flag : flag.slice(0, slash);
  if (isProvider(first)) {
    const model = slash < 0 ? undefined : flag.slice(slash + 1);
    if (model === '') throw badModel(flag, 'it names no model after the slash');
    const base = ai?.provider === first ? ai : { provider: first, stream: ai?.stream ?? true };
    return { config: model === undefined ? base : { ...base, model }, byDefault: false };
  }
  if (flag.trim() === '') throw badModel(flag, 'it is empty');
  if (!ai) throw badModel(flag, 'no provider is configured that could have a model of this name');
  if (ai.provider === 'builtin') throw badModel(flag, 'the provider builtin has no models');
  return { config: { ...ai, model: flag }, byDefault: false };
}

/** Fails now, and not after the mesh is joined, when the key's variable is not set. */
export function checkKey({ api_key }: AiConfig, env: NodeJS.ProcessEnv): void {
  if (api_key instanceof Secret) api_key.reveal(env);
}

const builtin: AiConfig = { provider: 'builtin', stream: true };

function isProvider(word: string): word is ProviderName {
  return (providerNames as readonly string[]).includes(word);
}

function badModel(flag: string, why: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_model',
    where: '--model',
    message: `--model ${JSON.stringify(flag)} cannot be used: ${why}.`,
    next: `Give a provider (${providerNames.join(', ')}), provider/model, or configure ai.provider in the config file.`,
  });
}

/** True when neither question nor telemetry can leave this machine with these settings. */
export function isLocal({ provider, endpoint }: AiConfig): boolean {
  if (endpoint !== undefined) {
    const { hostname } = new URL(endpoint);
    return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
  }
  return provider === 'builtin' || provider === 'ollama' || provider === 'llamacpp';
}
