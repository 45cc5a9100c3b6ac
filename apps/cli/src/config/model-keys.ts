import { Secret } from '@coral/config';
import { CoralError } from '@coral/errors';
import {
  endpointHost,
  InsecureEndpoint,
  isCustomEndpoint,
  isInsecureEndpoint,
  usualKeyVariable,
  type ProviderName,
} from '@coral/llm';
import type { AiConfig } from './ai-config.js';
import { keepSecret, loadCredentials } from './credentials-file.js';

/** Whose key it is. */
export type KeyOwner = Pick<AiConfig, 'provider' | 'endpoint' | 'api_key'>;

/** Where a model's key is, without the key. */
export interface FoundKey {
  /** Absent: there is none. */
  key?: Secret;
  /** For people: `env://NAME`, `credentials.yaml` or `config.yaml`. */
  source?: string;
}

/**
 * The key for a provider: the config's own, else the one that `llm configure` kept, else the provider's usual variable.
 * That variable's key was made for the provider's own API: a server of somebody else's never gets it.
 */
export async function findKey(
  ai: KeyOwner,
  { credentials, env }: { credentials: string; env: NodeJS.ProcessEnv },
): Promise<FoundKey> {
  if (ai.api_key) {
    return { key: ai.api_key, source: variableOf(ai.api_key) === undefined ? 'config.yaml' : ai.api_key.source };
  }
  const { model_keys: kept } = await loadCredentials(credentials);
  const name = keyName(ai);
  const key = Object.hasOwn(kept, name) ? kept[name] : undefined;
  if (key) return { key, source: 'credentials.yaml' };
  const variable = usualKeyVariable(ai.provider);
  if (variable === undefined || isCustomEndpoint(ai) || !env[variable]) return {};
  return { key: Secret.reference(`env://${variable}`), source: `env://${variable}` };
}

/** Keeps a key that was typed or piped in for the provider, or for the server that speaks its protocol. */
export async function keepModelKey(credentials: string, ai: KeyOwner, key: Secret): Promise<void> {
  await keepSecret(credentials, ['model_keys', keyName(ai)], key);
}

function keyName(ai: KeyOwner): string {
  return isCustomEndpoint(ai) ? `${ai.provider}@${endpointHost(ai) ?? ''}` : ai.provider;
}

/** A server of somebody else's may want no key. */
export function needsKey(ai: KeyOwner): boolean {
  return usualKeyVariable(ai.provider) !== undefined && !isCustomEndpoint(ai);
}

/** Errors: failed_precondition `secret_unset`, `insecure_endpoint`: a key that is missing, or would be seen on its way. */
export function checkKey(ai: KeyOwner, found: FoundKey, env: NodeJS.ProcessEnv): void {
  const variable = found.key === undefined ? needsKey(ai) && usualKeyVariable(ai.provider) : variableOf(found.key);
  if (variable && !env[variable]) throw keyUnset(ai.provider, variable);
  checkWay(ai, found);
}

/** Errors: failed_precondition `insecure_endpoint`. */
export function checkWay({ endpoint }: KeyOwner, { key }: FoundKey): void {
  if (key !== undefined && endpoint !== undefined && isInsecureEndpoint(endpoint))
    throw new InsecureEndpoint(new URL(endpoint).host);
}

/** True when a key of one is good for the other: the same API, or the same server. */
export function isSameOwner(a: KeyOwner, b: KeyOwner): boolean {
  return keyName(a) === keyName(b);
}

/** `NAME` of `env://NAME`. */
export function variableOf({ source }: Secret): string | undefined {
  return source.startsWith('env://') ? source.slice('env://'.length) : undefined;
}

function keyUnset(provider: ProviderName, variable: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'secret_unset',
    where: `env://${variable}`,
    message: `There is no key for ${provider}: the environment variable ${variable} is not set.`,
    next: `Set it in this shell: export ${variable}=…, or let coral keep one: coral llm configure --provider ${provider}`,
  });
}
