import type { Secret } from '@coral/config';
import { CoralError } from '@coral/errors';
import { isCustomEndpoint, isInsecureEndpoint, usualEndpoint, usualKeyVariable } from './registry-facts.js';
import type { ProviderName, ProviderSettings } from './registry.js';

/** What a provider over HTTP needs to know, checked. */
export interface HttpSettings {
  model: string;
  endpoint: URL;
  /** Gives the key at the moment it is sent; undefined for a server of one's own without one. */
  key: (() => string) | undefined;
}

/**
 * Errors, all failed_precondition: `model_unset`, `bad_endpoint`, `insecure_endpoint` (a key would go over plain HTTP to
 * another machine), `api_key_unset`, `bad_api_key`, `secret_unset`.
 */
export function readHttpSettings(provider: ProviderName, settings: ProviderSettings): HttpSettings {
  const { model, apiKey } = settings;
  if (model === undefined || model.trim() === '') throw new ModelUnset(provider);
  const endpoint = endpointOf(provider, settings.endpoint);
  if (apiKey === undefined) {
    if (!isCustomEndpoint({ provider, endpoint: endpoint.href })) throw new KeyUnset(provider);
    return { model, endpoint, key: undefined };
  }
  if (isInsecureEndpoint(endpoint.href)) throw new InsecureEndpoint(endpoint.host);
  checkKey(apiKey);
  return { model, endpoint, key: () => apiKey.reveal() };
}

function endpointOf(provider: ProviderName, text: string | undefined): URL {
  const usual = usualEndpoint(provider);
  const given = text ?? usual;
  if (given === undefined || !URL.canParse(given)) throw new BadEndpoint('it is no URL');
  const url = new URL(given);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new BadEndpoint('it is neither https nor http');
  if (url.username !== '' || url.password !== '') throw new BadEndpoint('a user or a password stands in it');
  if (url.search !== '' || url.hash !== '') throw new BadEndpoint('something follows its path');
  return url;
}

/** A newline at the end of a key read from a file would otherwise fail as a bad header, without saying whose. */
function checkKey(key: Secret): void {
  if (!/^[\x21-\x7e]+$/.test(key.reveal())) throw new BadKey(key.source);
}

export class ModelUnset extends CoralError {
  constructor(provider: string) {
    super({
      kind: 'failed_precondition',
      reason: 'model_unset',
      where: 'ai.model',
      message: `No model of ${provider} is chosen.`,
      next: `Choose one: --model ${provider}:<model>, or coral llm configure --provider ${provider} --model <model>.`,
    });
  }
}

export class KeyUnset extends CoralError {
  constructor(provider: ProviderName) {
    super({
      kind: 'failed_precondition',
      reason: 'api_key_unset',
      where: 'ai.api_key',
      message: `No key for the API of ${provider} is configured.`,
      next: `Name one: coral llm configure --provider ${provider} --api-key env://${usualKeyVariable(provider) ?? 'NAME'}.`,
    });
  }
}

export class BadKey extends CoralError {
  constructor(source: string) {
    super({
      kind: 'failed_precondition',
      reason: 'bad_api_key',
      where: source,
      message: 'The key holds a space, a line end or another character that no key has.',
      next: 'Set it again without them, as one word.',
    });
  }
}

export class BadEndpoint extends CoralError {
  constructor(why: string) {
    super({
      kind: 'failed_precondition',
      reason: 'bad_endpoint',
      where: 'ai.endpoint',
      message: `The address of the API cannot be used: ${why}.`,
      next: 'Write it as https://host or https://host/v1.',
    });
  }
}

export class InsecureEndpoint extends CoralError {
  constructor(host: string) {
    super({
      kind: 'failed_precondition',
      reason: 'insecure_endpoint',
      where: 'ai.endpoint',
      message: `The key would cross the network to ${host} unencrypted; nothing was sent.`,
      next: 'Write https:// in ai.endpoint, or remove ai.api_key if that server needs none.',
    });
  }
}
