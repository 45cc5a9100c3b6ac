import type { ProviderName } from './registry.js';

interface ProviderFacts {
  /** Where its API is when nothing else is configured. Absent: on this machine, or nowhere. */
  endpoint?: string;
  /** The environment variable that its own tools read a key from. */
  keyVariable?: string;
  /** How the names of its models begin, as its documentation lists them. */
  modelNames?: RegExp;
}

/** What is known of a provider before its SDK is loaded. */
const facts: Record<ProviderName, ProviderFacts> = {
  builtin: {},
  anthropic: {
    endpoint: 'https://api.anthropic.com',
    keyVariable: 'ANTHROPIC_API_KEY',
    modelNames: /^claude-/i,
  },
  openai: {
    endpoint: 'https://api.openai.com/v1',
    keyVariable: 'OPENAI_API_KEY',
    // `gpt-oss` has open weights: other servers run it, this API does not.
    modelNames: /^(ft:)?(gpt-(?!oss)|o\d|chatgpt-|codex-)/i,
  },
  google: {
    endpoint: 'https://generativelanguage.googleapis.com',
    keyVariable: 'GEMINI_API_KEY',
    modelNames: /^gemini-/i,
  },
  ollama: { endpoint: 'http://localhost:11434' },
  llamacpp: {},
};

/** `ANTHROPIC_API_KEY`; undefined for a provider that needs no key. */
export function usualKeyVariable(provider: ProviderName): string | undefined {
  return facts[provider].keyVariable;
}

/** The API's own address; undefined for a provider without one. */
export function usualEndpoint(provider: ProviderName): string | undefined {
  return facts[provider].endpoint;
}

/** The provider whose models are called so; undefined for a name that tells nothing. */
export function providerOfModel(model: string): ProviderName | undefined {
  const names = Object.keys(facts) as ProviderName[];
  return names.find((name) => facts[name].modelNames?.test(model));
}

/** `endpoint` is an `http(s)` URL or absent. */
export interface Placed {
  provider: ProviderName;
  endpoint?: string | undefined;
}

/**
 * True when a server of somebody else stands behind this provider's protocol: it may serve a model of any name, and the
 * key of the provider's own API is not for it.
 */
export function isCustomEndpoint({ provider, endpoint }: Placed): boolean {
  if (endpoint === undefined) return false;
  const usual = facts[provider].endpoint;
  if (usual === undefined) return true;
  const [own, asked] = [new URL(usual), new URL(endpoint)];
  // A provider's regions are below its name: eu.api.openai.com.
  const isItsHost = asked.hostname === own.hostname || asked.hostname.endsWith(`.${own.hostname}`);
  return !isItsHost || asked.protocol !== own.protocol || asked.port !== own.port;
}

/** `host` or `host:port` that questions go to; undefined when nothing is sent anywhere. */
export function endpointHost({ provider, endpoint }: Placed): string | undefined {
  const address = endpoint ?? facts[provider].endpoint;
  return address === undefined ? undefined : new URL(address).host;
}

/** True when neither question nor telemetry can leave this machine with these settings. */
export function isOnThisMachine({ provider, endpoint }: Placed): boolean {
  if (provider === 'builtin') return true;
  const address = endpoint ?? facts[provider].endpoint;
  return address === undefined || isLoopback(new URL(address));
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

/** True when a key, or anything else, sent there could be read on the way. */
export function isInsecureEndpoint(endpoint: string): boolean {
  const url = new URL(endpoint);
  return url.protocol !== 'https:' && !isLoopback(url);
}
