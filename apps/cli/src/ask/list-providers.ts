import {
  endpointHost,
  isOnThisMachine,
  isUsable,
  providerNames,
  usualEndpoint,
  usualKeyVariable,
  type ProviderName,
} from '@coral/llm';
import { builtinAi, type AiConfig } from '../config/ai-config.js';
import { findKey, needsKey } from '../config/model-keys.js';
import { priceFor } from './model-costs.js';

/** One provider as `coral llm list --json` says it. */
export interface ListedProvider {
  provider: ProviderName;
  /** In this version. */
  usable: boolean;
  /** It answers when --model names no other. */
  configured: boolean;
  key: {
    needed: boolean;
    /** `env://NAME`, `credentials.yaml`, `config.yaml`; null when there is none. Never the key. */
    source: string | null;
    /** False for an `env://NAME` that is not set, and when there is none. */
    present: boolean;
    /** Where one is looked for when none is configured. */
    variable: string | null;
  };
  model: string | null;
  endpoint: string | null;
  host: string;
  /** Question and telemetry stay on this machine. */
  local: boolean;
  /** US dollars per million tokens; null when it is not known, or no model is configured. */
  price: { input: number; output: number } | null;
}

/** Every provider there is; the settings of the `ai` block count for its own. */
export function listProviders(
  ai: AiConfig | undefined,
  where: { credentials: string; env: NodeJS.ProcessEnv },
): Promise<ListedProvider[]> {
  const configured = ai ?? builtinAi;
  return Promise.all(
    providerNames.map(async (provider) => {
      const { prices, budget, stream } = configured;
      const own: AiConfig = configured.provider === provider ? configured : { provider, prices, budget, stream };
      const { key, source = null } = await findKey(own, where);
      const local = isOnThisMachine(own);
      const price = local ? undefined : await priceFor(own);
      return {
        provider,
        usable: isUsable(provider),
        configured: own === configured,
        key: {
          needed: needsKey(own),
          source,
          present: key !== undefined && (!source?.startsWith('env://') || isSet(source, where.env)),
          variable: usualKeyVariable(provider) ?? null,
        },
        model: own.model ?? null,
        endpoint: own.endpoint ?? usualEndpoint(provider) ?? null,
        host: endpointHost(own) ?? '',
        local,
        price: price ? { input: price.inputPerMillion, output: price.outputPerMillion } : null,
      };
    }),
  );
}

function isSet(source: string, env: NodeJS.ProcessEnv): boolean {
  return Boolean(env[source.slice('env://'.length)]);
}
