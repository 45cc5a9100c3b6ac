import type OpenAI from 'openai';
import type {
  ChatCompletionCreateParamsStreaming,
  ChatCompletionMessageParam,
} from 'openai/resources/chat/completions/completions';
import { ChatCalls } from './openai-chat-calls.js';
import { ReplyError, streamCut } from './openai-failures.js';
import {
  asArray,
  asCount,
  asObject,
  asText,
  CallIds,
  nativeOf,
  stepsOf,
  type Json,
  type OpenAiModel,
  type ReplyReader,
  type Step,
  type WireApi,
} from './openai-wire.js';
import type { ModelEvent, ModelRequest } from './provider.js';

/**
 * Chat Completions (https://developers.openai.com/api/reference/resources/chat), as llama.cpp, vLLM, LM Studio, Ollama and
 * many hosted servers speak it, each a little differently: only what all of them take is sent, and what comes is read kindly.
 */
export class ChatApi implements WireApi {
  /** `newLimit`: the server takes `max_completion_tokens`; see {@link takesNewLimit}. */
  constructor(private readonly o: OpenAiModel & { newLimit: boolean }) {}

  async open(client: OpenAI, request: ModelRequest): Promise<AsyncIterable<unknown>> {
    return await client.chat.completions.create(this.body(request), { signal: request.signal });
  }

  read(request: ModelRequest): ReplyReader {
    return new ChatReader(this.o.model, new CallIds(request.turns));
  }

  private body({ system, turns, tools }: ModelRequest): ChatCompletionCreateParamsStreaming {
    const { model, maxTokens, temperature, newLimit } = this.o;
    return {
      model,
      stream: true,
      stream_options: { include_usage: true },
      messages: [{ role: 'system', content: system }, ...stepsOf(turns).flatMap((step) => messagesOf(step, model))],
      // An empty list is refused.
      ...(tools.length === 0 ? {} : { tools: tools.map(toTool) }),
      ...(maxTokens === undefined ? {} : { [newLimit ? 'max_completion_tokens' : 'max_tokens']: maxTokens }),
      ...(temperature === undefined ? {} : { temperature }),
    };
  }
}

/**
 * OpenAI's reasoning models refuse `max_tokens`, which it calls deprecated, and Azure serves the same models; the rest of the
 * world has always taken it, and much of it ignores `max_completion_tokens`, which would be no limit at all.
 */
export function takesNewLimit({ hostname }: URL): boolean {
  return /(^|\.)(api\.openai|openai\.azure|services\.ai\.azure)\.com$/.test(hostname);
}

function toTool({ name, description, inputSchema }: ModelRequest['tools'][number]) {
  return { type: 'function' as const, function: { name, description, parameters: inputSchema } };
}

function messagesOf(step: Step, model: string): ChatCompletionMessageParam[] {
  if (step.role === 'user') return [{ role: 'user', content: step.text }];
  const { text, toolCalls } = step.turn;
  const calls = toolCalls.map((call) => ({
    id: call.id,
    type: 'function' as const,
    // Servers read this JSON again to fill their template; what was none would fail there.
    function: { name: call.name, arguments: JSON.stringify(call.args) },
  }));
  const native = nativeOf(step.turn, model, 'chat');
  return [
    {
      role: 'assistant',
      // Many a template wants something from each side in turn.
      content: text === '' ? (calls.length > 0 ? null : '(no answer)') : text,
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
      // DeepSeek and others refuse a request that leaves out what the model thought before a call.
      ...(native === undefined ? {} : { [asText(native['field'])]: asText(native['text']) }),
    },
    ...toolCalls.map(({ id }) => ({ role: 'tool' as const, tool_call_id: id, content: step.answer(id) })),
  ];
}

/** Names under which servers stream what the model thinks. */
const thinkingFields = ['reasoning_content', 'reasoning'];

class ChatReader implements ReplyReader {
  private readonly calls = new ChatCalls();
  private finish: string | undefined;
  private usage: Json | undefined;
  private refused = false;
  private thinking: { field: string; text: string } | undefined;

  constructor(
    private readonly model: string,
    private readonly ids: CallIds,
  ) {}

  get isWhole(): boolean {
    return this.finish !== undefined;
  }

  /** What it cost comes last, from servers that say it. */
  get isDone(): boolean {
    return this.isWhole && this.usage !== undefined;
  }

  *take(sent: unknown): Generator<ModelEvent> {
    const chunk = asObject(sent) ?? {};
    if (chunk['object'] === 'error') throw new ReplyError(chunk);
    // The last one counts: some servers send a running total with every chunk.
    this.usage = asObject(chunk['usage']) ?? this.usage;
    const choice = asObject(asArray(chunk['choices'])[0]) ?? {};
    const delta = asObject(choice['delta']) ?? {};
    const text = asText(delta['content']) + asText(delta['refusal']);
    this.refused ||= asText(delta['refusal']) !== '';
    for (const call of asArray(delta['tool_calls'])) this.calls.add(asObject(call) ?? {});
    this.think(delta);
    const finish = asText(choice['finish_reason']);
    // vLLM and OpenRouter say so when the model behind them fell over.
    if (finish === 'error' || finish === 'abort') throw new ReplyError({ message: `finish_reason: ${finish}` });
    if (finish !== '') this.finish = finish;
    yield text === '' ? { type: 'alive' } : { type: 'text', text };
  }

  *end(): Generator<ModelEvent> {
    if (this.finish === undefined) throw streamCut();
    const stop = this.stopReason();
    if (stop === 'tool_use') {
      for (const call of this.calls.all(this.ids)) yield { type: 'tool_call', call };
    }
    yield* usageOf(this.usage);
    if (this.thinking !== undefined) {
      yield {
        type: 'native',
        reply: { provider: 'openai', model: this.model, content: { api: 'chat', ...this.thinking } },
      };
    }
    yield { type: 'stop', reason: stop };
  }

  private stopReason(): 'end' | 'tool_use' | 'max_tokens' | 'refusal' {
    if (this.finish === 'length') return 'max_tokens';
    if (this.finish === 'content_filter') return 'refusal';
    // Not what `finish_reason` says: many servers say `stop` after calls.
    if (this.calls.size > 0) return 'tool_use';
    return this.refused ? 'refusal' : 'end';
  }

  private think(delta: Json): void {
    const field = this.thinking?.field ?? thinkingFields.find((name) => asText(delta[name]) !== '');
    if (field === undefined) return;
    this.thinking = { field, text: (this.thinking?.text ?? '') + asText(delta[field]) };
  }
}

function* usageOf(usage: Json | undefined): Generator<ModelEvent> {
  const [inputTokens, outputTokens] = [asCount(usage?.['prompt_tokens']), asCount(usage?.['completion_tokens'])];
  if (inputTokens === undefined || outputTokens === undefined) return;
  const details = asObject(usage?.['prompt_tokens_details']);
  const cacheReadTokens = asCount(details?.['cached_tokens']) ?? 0;
  const cacheWriteTokens = asCount(details?.['cache_write_tokens']) ?? 0;
  yield { type: 'usage', inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens };
}
