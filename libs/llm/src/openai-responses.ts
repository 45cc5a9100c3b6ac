import type OpenAI from 'openai';
import type { ResponseCreateParamsStreaming, ResponseInputItem, Tool } from 'openai/resources/responses/responses';
import { ReplyError, streamCut } from './openai-failures.js';
import {
  asArray,
  asCount,
  asObject,
  asText,
  CallIds,
  nativeOf,
  stepsOf,
  toToolCall,
  type AssistantTurn,
  type Json,
  type OpenAiModel,
  type ReplyReader,
  type WireApi,
} from './openai-wire.js';
import type { ModelEvent, ModelRequest } from './provider.js';

/**
 * The Responses API (https://developers.openai.com/api/reference/resources/responses). Nothing is kept there (`store: false`):
 * the whole conversation goes up with each request, and reasoning, which comes back encrypted, is returned as it came.
 */
export class ResponsesApi implements WireApi {
  private encrypted: boolean;

  constructor(private readonly o: OpenAiModel) {
    this.encrypted = reasons(o.model);
  }

  async open(client: OpenAI, request: ModelRequest): Promise<AsyncIterable<unknown>> {
    const { signal } = request;
    try {
      return await client.responses.create(this.body(request), { signal });
    } catch (thrown) {
      // An unknown name, found not to reason: asked again without the one field it refused, and never with it again.
      if (!this.encrypted || !refusesEncrypted(thrown)) throw thrown;
      this.encrypted = false;
      return await client.responses.create(this.body(request), { signal });
    }
  }

  read(request: ModelRequest): ReplyReader {
    return new ResponsesReader(this.o.model, new CallIds(request.turns));
  }

  private body({ system, turns, tools }: ModelRequest): ResponseCreateParamsStreaming {
    const { model, maxTokens, temperature } = this.o;
    return {
      model,
      stream: true,
      store: false,
      ...(this.encrypted ? { include: ['reasoning.encrypted_content'] } : {}),
      instructions: system,
      input: stepsOf(turns).flatMap((step): ResponseInputItem[] => {
        if (step.role === 'user') return [{ role: 'user', content: step.text }];
        const native = nativeOf(step.turn, model, 'responses');
        const said = native === undefined ? inputOf(step.turn) : (asArray(native['output']) as ResponseInputItem[]);
        return [...said, ...said.flatMap((item) => answerTo(item, step.answer))];
      }),
      ...(tools.length === 0 ? {} : { tools: tools.map(toTool), parallel_tool_calls: true }),
      ...(maxTokens === undefined ? {} : { max_output_tokens: maxTokens }),
      ...(temperature === undefined ? {} : { temperature }),
    };
  }
}

/** Models that do not reason answer 400 when asked for encrypted reasoning. */
export function reasons(model: string): boolean {
  return !/^(ft:)?(gpt-3|gpt-4|chatgpt-)|-chat(-|$)/i.test(model);
}

function refusesEncrypted(thrown: unknown): boolean {
  const { status, param } = asObject(thrown) ?? {};
  return status === 400 && asText(param).startsWith('include');
}

function toTool({ name, description, inputSchema }: ModelRequest['tools'][number]): Tool {
  // `strict` left out counts as true here, which makes every optional argument a required one.
  return { type: 'function', name, description, parameters: inputSchema, strict: false };
}

/** A reply of another model, or without native form. */
function inputOf({ text, toolCalls }: AssistantTurn): ResponseInputItem[] {
  const calls = toolCalls.map((call): ResponseInputItem => ({
    type: 'function_call',
    call_id: call.id,
    name: call.name,
    arguments: call.malformed ?? JSON.stringify(call.args),
  }));
  return [...(text === '' ? [] : [{ role: 'assistant' as const, content: text }]), ...calls];
}

function answerTo(item: ResponseInputItem, answer: (callId: string) => string): ResponseInputItem[] {
  if (!('type' in item) || item.type !== 'function_call') return [];
  return [{ type: 'function_call_output', call_id: item.call_id, output: answer(item.call_id) }];
}

/** Calls are given out when the whole reply is there: a reply that breaks off has called nothing. */
class ResponsesReader implements ReplyReader {
  private readonly items = new Map<number, Json>();
  /** Output items whose text was streamed. */
  private readonly heard = new Set<unknown>();
  private refused = false;
  isWhole = false;

  constructor(
    private readonly model: string,
    private readonly ids: CallIds,
  ) {}

  get isDone(): boolean {
    return this.isWhole;
  }

  *take(sent: unknown): Generator<ModelEvent> {
    if (this.isWhole) return;
    const event = asObject(sent) ?? {};
    switch (event['type']) {
      case 'response.refusal.delta':
        this.refused = true;
        yield* this.say(event['output_index'], asText(event['delta']));
        return;
      case 'response.output_text.delta':
        yield* this.say(event['output_index'], asText(event['delta']));
        return;
      case 'response.output_item.done':
        yield* this.keep(asCount(event['output_index']) ?? this.items.size, asObject(event['item']) ?? {});
        return;
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed':
        yield* this.finish(event['type'], asObject(event['response']) ?? {});
        return;
      default:
        yield { type: 'alive' };
    }
  }

  end(): ModelEvent[] {
    if (!this.isWhole) throw streamCut();
    return [];
  }

  private *say(item: unknown, text: string): Generator<ModelEvent> {
    if (text === '') return;
    const isNext = this.heard.size > 0 && !this.heard.has(item);
    this.heard.add(item);
    yield { type: 'text', text: isNext ? `\n\n${text}` : text };
  }

  private *keep(index: number, item: Json): Generator<ModelEvent> {
    this.items.set(index, item);
    if (item['type'] !== 'message') return void (yield { type: 'alive' });
    const parts = asArray(item['content']).map((part) => asObject(part) ?? {});
    this.refused ||= parts.some((part) => part['type'] === 'refusal');
    // A server that sends no deltas.
    if (!this.heard.has(index))
      yield* this.say(index, parts.map((part) => asText(part['text'] ?? part['refusal'])).join(''));
  }

  private *finish(type: string, response: Json): Generator<ModelEvent> {
    this.isWhole = true;
    // A server that sends the end alone.
    if (this.items.size === 0) {
      for (const [i, item] of asArray(response['output']).entries()) yield* this.keep(i, asObject(item) ?? {});
    }
    if (type === 'response.completed') yield* this.calls();
    yield* usageOf(asObject(response['usage']));
    if (type === 'response.failed') throw new ReplyError(asObject(response['error']) ?? {});
    if (type === 'response.incomplete') {
      const why = asObject(response['incomplete_details'])?.['reason'];
      yield { type: 'stop', reason: why === 'content_filter' ? 'refusal' : 'max_tokens' };
      return;
    }
    const output = this.output();
    yield { type: 'native', reply: { provider: 'openai', model: this.model, content: { api: 'responses', output } } };
    const called = output.some((item) => item['type'] === 'function_call');
    yield { type: 'stop', reason: called ? 'tool_use' : this.refused ? 'refusal' : 'end' };
  }

  private *calls(): Generator<ModelEvent> {
    for (const item of this.output()) {
      if (item['type'] !== 'function_call') continue;
      // The only thing of a reply that is ever changed: without an id of its own its answer could not be told.
      item['call_id'] = this.ids.take(item['call_id']);
      const call = toToolCall(asText(item['call_id']), asText(item['name']), item['arguments']);
      yield { type: 'tool_call', call };
    }
  }

  private output(): Json[] {
    return [...this.items].toSorted(([a], [b]) => a - b).map(([, item]) => item);
  }
}

function* usageOf(usage: Json | undefined): Generator<ModelEvent> {
  const [inputTokens, outputTokens] = [asCount(usage?.['input_tokens']), asCount(usage?.['output_tokens'])];
  if (inputTokens === undefined || outputTokens === undefined) return;
  const details = asObject(usage?.['input_tokens_details']);
  const cacheReadTokens = asCount(details?.['cached_tokens']) ?? 0;
  const cacheWriteTokens = asCount(details?.['cache_write_tokens']) ?? 0;
  yield { type: 'usage', inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens };
}
