import { createProvider, isUsable, type Provider } from '@coral/llm';
import type { AiConfig } from '../config/ai-config.js';
import { checkKey, findKey, type FoundKey } from '../config/model-keys.js';

export interface OpenProviderOptions {
  /** credentials.yaml */
  credentials: string;
  env: NodeJS.ProcessEnv;
  /** Instead of the one that is configured or kept: a key that is about to be. */
  found?: FoundKey;
}

/**
 * The model, ready to be asked; nothing was sent to it. What is missing is found here, before a lease is asked for. Errors:
 * failed_precondition `provider_unusable`, `secret_unset`, `insecure_endpoint`, `model_unset`.
 */
export async function openProvider(ai: AiConfig, options: OpenProviderOptions): Promise<Provider> {
  const { provider, api_key: _configured, budget: _budget, prices: _prices, ...settings } = ai;
  // It says itself why it cannot be made; a key would not help it.
  if (!isUsable(provider)) return createProvider({ provider });
  const found = options.found ?? (await findKey(ai, options));
  checkKey(ai, found, options.env);
  return createProvider({ provider, ...settings, ...(found.key ? { apiKey: found.key } : {}) });
}
