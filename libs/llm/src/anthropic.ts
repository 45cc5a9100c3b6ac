import Anthropic from '@anthropic-ai/sdk';
import type { ContentBlockParam, MessageCreateParamsStreaming } from '@anthropic-ai/sdk/resources/messages';
import { Stream } from '@anthropic-ai/sdk/streaming';
import { CoralError } from '@coral/errors';
import { AnthropicReply } from './anthropic-reply.js';
import { toParams, type AnthropicModel } from './anthropic-request.js';
import { ProviderFailed } from './llm.errors.js';
import { isCustomEndpoint, isOnThisMachine } from './registry-facts.js';
import type { ProviderSettings } from './registry.js';
import { providerFetch, toProviderFailed } from './provider-http.js';
import { readHttpSettings } from './provider-http-settings.js';
import type { ModelEvent, ModelRequest, Provider } from './provider.js';

/** Tokens of one answer, thinking included, unless `ai.max_tokens` says otherwise. Every model since Claude 3.5 takes it. */
export const defaultMaxTokens = 8_192;

/** Prompt and answer together: the smallest window of any Claude since version 3. `ai.context_length` says otherwise. */
export const claudeContextTokens = 200_000;

/** How often a turn that the API paused is taken up again within one request of ours. */
export const maxPauses = 4;

/** The API's version whose events we read: the SDK's own. https://platform.claude.com/docs/en/api/versioning */
export const apiVersion = '2026-10-21';

/** The version that still has `temperature`; later ones refuse a request that names it. */
export const apiVersionWithTemperature = '2023-06-01';

/** Longer than any answer: silence is the loop's to judge, at a tenth of this. */
const timeoutMs = 3_600_000;

/**
 * Claude, over the Messages API, or a server that speaks it (`ai.endpoint`). Errors: see {@link readHttpSettings}.
 */
export function createAnthropic(settings: ProviderSettings): Promise<Provider> {
  return Promise.resolve(new AnthropicProvider(settings));
}

class AnthropicProvider implements Provider {
  readonly name = 'anthropic';
  readonly model: string;
  readonly local: boolean;
  readonly contextTokens?: number;
  private readonly client: Anthropic;
  private readonly asked: AnthropicModel;
  private readonly key: (() => string) | undefined;

  constructor(settings: ProviderSettings) {
    const { model, endpoint, key } = readHttpSettings(this.name, settings);
    const { temperature } = settings;
    this.model = model;
    this.key = key;
    this.local = isOnThisMachine({ provider: this.name, endpoint: endpoint.href });
    const isClaude = !isCustomEndpoint({ provider: this.name, endpoint: endpoint.href });
    const contextTokens = settings.context_length ?? (isClaude ? claudeContextTokens : undefined);
    if (contextTokens !== undefined) this.contextTokens = contextTokens;
    this.asked = { name: this.name, model, maxTokens: settings.max_tokens ?? defaultMaxTokens, temperature };
    const version = temperature === undefined ? apiVersion : apiVersionWithTemperature;
    this.client = new Anthropic({
      // Not the key: that is set in `fetch`. Named, so that the environment is not asked for one.
      apiKey: 'set-in-provider-http',
      baseURL: endpoint.href.replace(/\/+$/, '').replace(/\/v1$/, ''),
      fetch: providerFetch({
        provider: this.name,
        endpoint,
        headers: () => ({ 'anthropic-version': version, ...(key === undefined ? {} : { 'x-api-key': key() }) }),
      }),
      maxRetries: 0,
      timeout: timeoutMs,
      logLevel: 'off',
      openTelemetry: { traces: false, propagation: false },
    });
  }

  async *respond(request: ModelRequest): AsyncGenerator<ModelEvent> {
    const params = toParams(request, this.asked);
    const said: ContentBlockParam[] = [];
    for (let pauses = 0; ; pauses += 1) {
      const reply = new AnthropicReply(this.name);
      yield* this.read(reply, { ...params, messages: [...params.messages, ...takenUp(said)] }, request.signal);
      said.push(...reply.content());
      if (reply.stopReason === 'pause_turn' && !reply.hasCalls && said.length > 0 && pauses < maxPauses) continue;
      yield { type: 'native', reply: { provider: this.name, model: this.model, content: said } };
      yield { type: 'stop', reason: stopOf(reply) };
      return;
    }
  }

  private async *read(
    reply: AnthropicReply,
    params: MessageCreateParamsStreaming,
    signal: AbortSignal,
  ): AsyncGenerator<ModelEvent> {
    try {
      signal.throwIfAborted();
      // What `messages.create` does, but for its lines on stderr: one at every step for a model that is to end soon.
      const response = await this.client.post('/v1/messages', { body: params, stream: true, signal }).asResponse();
      for await (const event of Stream.rawEvents(response)) {
        yield* reply.take(event);
        if (reply.isWhole) return;
      }
    } catch (thrown) {
      throw toProviderFailed(this.name, thrown, signal, this.key === undefined ? [] : [this.key()]);
    }
    throw this.endedEarly(signal);
  }

  private endedEarly(signal: AbortSignal): CoralError {
    if (signal.aborted) return toProviderFailed(this.name, signal.reason, signal);
    return new ProviderFailed({
      provider: this.name,
      failure: 'provider_stream_cut',
      message: `The API of ${this.name} ended its answer before it was whole.`,
    });
  }
}

/** A paused turn is sent back as it is; the model goes on from there. */
function takenUp(said: readonly ContentBlockParam[]): { role: 'assistant'; content: ContentBlockParam[] }[] {
  return said.length === 0 ? [] : [{ role: 'assistant', content: [...said] }];
}

/** Words that are not known yet count as an end, as the API's versioning asks. */
function stopOf({ stopReason, hasCalls }: AnthropicReply): Extract<ModelEvent, { type: 'stop' }>['reason'] {
  switch (stopReason) {
    case 'max_tokens':
    case 'model_context_window_exceeded':
    // One that was taken up so often has no end either.
    case 'pause_turn':
      return hasCalls && stopReason === 'pause_turn' ? 'tool_use' : 'max_tokens';
    case 'refusal':
      return 'refusal';
    default:
      return hasCalls ? 'tool_use' : 'end';
  }
}
