import { ChatApi, takesNewLimit } from './openai-chat.js';
import { connect } from './openai-client.js';
import { openAiFailure, streamCut } from './openai-failures.js';
import { ResponsesApi } from './openai-responses.js';
import type { WireApi } from './openai-wire.js';
import { defaultResultChars } from './fence.js';
import type { ModelEvent, ModelRequest, Provider } from './provider.js';
import { readHttpSettings, type HttpSettings } from './provider-http-settings.js';
import { isCustomEndpoint, isOnThisMachine } from './registry-facts.js';
import type { ProviderSettings } from './registry.js';

/**
 * Models of OpenAI, and of every server that speaks one of its protocols. `settings.api` chooses which; unsaid, it is the
 * Responses API at OpenAI's own addresses and Chat Completions elsewhere. Errors: those of {@link readHttpSettings}.
 */
export function createOpenAi(settings: ProviderSettings): Provider {
  const http = readHttpSettings('openai', settings);
  const endpoint = withVersion(http.endpoint);
  const model = { model: http.model, maxTokens: settings.max_tokens, temperature: settings.temperature };
  const isCustom = isCustomEndpoint({ provider: 'openai', endpoint: endpoint.href });
  const api =
    (settings.api ?? (isCustom ? 'chat' : 'responses')) === 'responses'
      ? new ResponsesApi(model)
      : new ChatApi({ ...model, newLimit: takesNewLimit(endpoint) });
  return new OpenAiProvider(api, { ...http, endpoint }, settings.context_length);
}

/** `http://localhost:8080` means its `/v1`, where every server has this API. */
function withVersion(endpoint: URL): URL {
  return endpoint.pathname === '/' ? new URL('/v1', endpoint) : endpoint;
}

class OpenAiProvider implements Provider {
  readonly name = 'openai';
  readonly model: string;
  readonly local: boolean;
  readonly contextTokens?: number;
  readonly resultChars?: number;

  constructor(
    private readonly api: WireApi,
    private readonly http: HttpSettings,
    contextTokens: number | undefined,
  ) {
    this.model = http.model;
    this.local = isOnThisMachine({ provider: 'openai', endpoint: http.endpoint.href });
    if (contextTokens === undefined) return;
    this.contextTokens = contextTokens;
    // As many characters as tokens: a third of the window for one result, at three characters of JSON a token.
    this.resultChars = Math.min(defaultResultChars, contextTokens);
  }

  async *respond(request: ModelRequest): AsyncGenerator<ModelEvent> {
    const { signal } = request;
    const key = this.http.key?.();
    const { client, isOver } = connect({ endpoint: this.http.endpoint, key, signal });
    const reader = this.api.read(request);
    try {
      for await (const event of await this.api.open(client, request)) {
        yield* reader.take(event);
        if (reader.isDone) break;
      }
      // The SDK ends an aborted stream as if it were whole.
      signal.throwIfAborted();
    } catch (thrown) {
      const cause = thrown instanceof SyntaxError && isOver() ? streamCut() : thrown;
      const failure = openAiFailure(cause, signal, key === undefined ? [] : [key]);
      // What breaks off after the reply was whole has cost no more than the bill.
      if (!reader.isWhole || failure.reason !== 'provider_stream_cut') throw failure;
    }
    yield* reader.end();
  }
}
