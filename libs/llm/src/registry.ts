import { nearest, type Secret } from '@coral/config';
import { BadModelName, ProviderUnusable, UnknownProvider } from './llm.errors.js';
import type { Provider } from './provider.js';
import { isCustomEndpoint, providerOfModel } from './registry-facts.js';

/** Every provider that has a name. A new one: one file, one line in `loaders`. */
export const providerNames = ['builtin', 'anthropic', 'openai', 'google', 'ollama', 'llamacpp'] as const;
export type ProviderName = (typeof providerNames)[number];

/** The `ai` block of the CLI's config: RFD 028's keys and names. */
export interface ProviderSettings {
  provider: string;
  model?: string | undefined;
  apiKey?: Secret | undefined;
  max_tokens?: number | undefined;
  temperature?: number | undefined;
  stream?: boolean | undefined;
  endpoint?: string | undefined;
  /** OpenAI's protocols. Absent: responses at its own address, chat at any other. */
  api?: 'responses' | 'chat' | undefined;
  context_length?: number | undefined;
  model_path?: string | undefined;
  threads?: number | undefined;
}

/** SDKs take a tenth of a second and more to load: only the chosen one is. */
const loaders: Partial<Record<ProviderName, (settings: ProviderSettings) => Promise<Provider>>> = {
  builtin: async () => new (await import('./builtin.js')).BuiltinProvider(),
  anthropic: async (settings) => (await import('./anthropic.js')).createAnthropic(settings),
  openai: async (settings) => (await import('./openai.js')).createOpenAi(settings),
};

export function isProviderName(word: string): word is ProviderName {
  return (providerNames as readonly string[]).includes(word);
}

/** False for a provider that has only its name yet. */
export function isUsable(provider: ProviderName): boolean {
  return loaders[provider] !== undefined;
}

/** Errors: invalid_argument `unknown_provider`; failed_precondition `provider_unusable` for one that has only its name yet. */
export async function createProvider(settings: ProviderSettings): Promise<Provider> {
  const { provider } = settings;
  if (!isProviderName(provider)) throw new UnknownProvider(provider, providerNames, nearest(provider, providerNames));
  const load = loaders[provider];
  if (load === undefined) throw new ProviderUnusable(provider);
  return await load(settings);
}

/**
 * What `--model` means: a provider (`builtin`), a model (`llama3.1:8b`), or both with a colon (`ollama:llama3.1:8b`), which
 * always wins. A model's name that tells its provider (`claude-…`) goes there, unless the configured provider has an
 * endpoint of somebody else's, which may serve any name; every other name is a model of the configured provider.
 */
export function resolveModel(
  text: string,
  configured: { provider: string; model?: string | undefined; endpoint?: string | undefined } | undefined,
): { provider: ProviderName; model?: string } {
  const word = text.trim();
  if (word === '') throw new BadModelName(text, 'it is empty');
  if (isProviderName(word)) {
    const keeps = configured?.provider === word && configured.model !== undefined;
    return { provider: word, ...(keeps ? { model: configured.model as string } : {}) };
  }
  const colon = word.indexOf(':');
  const first = colon < 0 ? '' : word.slice(0, colon);
  if (isProviderName(first)) {
    const model = word.slice(colon + 1);
    if (model === '') throw new BadModelName(text, 'nothing follows the colon');
    if (first === 'builtin') throw builtinHasNone(text);
    return { provider: first, model };
  }
  const home = configured !== undefined && isProviderName(configured.provider) ? configured.provider : undefined;
  const servesAnyName = home !== undefined && isCustomEndpoint({ provider: home, endpoint: configured?.endpoint });
  const told = servesAnyName ? home : (providerOfModel(word) ?? home);
  if (told === undefined) {
    const near = nearest(first === '' ? word : first, providerNames);
    throw new BadModelName(
      text,
      `no provider is configured it could belong to${near === undefined ? '' : `; did you mean ${near}`}`,
    );
  }
  if (told === 'builtin') throw builtinHasNone(text);
  return { provider: told, model: word };
}

function builtinHasNone(text: string): BadModelName {
  return new BadModelName(text, 'the provider builtin has no models');
}
