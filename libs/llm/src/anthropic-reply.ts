import type { ContentBlockParam } from '@anthropic-ai/sdk/resources/messages';
import { inputOf } from './anthropic-request.js';
import { ProviderFailed } from './llm.errors.js';
import type { ModelEvent, TokenUsage, ToolCall } from './provider.js';

/** An event of the stream as the SDK's reader gives it. */
export interface SseEvent {
  event: string | null;
  data: string;
}

type Json = Record<string, unknown>;

/** A block as far as it has come. `json`: the arguments of a call, text until the block is closed. */
interface Block {
  type: string;
  content: Json;
  json: string;
  isOpen: boolean;
}

const ofDelta: Record<string, string> = {
  text_delta: 'text',
  input_json_delta: 'tool_use',
  thinking_delta: 'thinking',
  signature_delta: 'thinking',
};

/**
 * Reads one streamed message: https://platform.claude.com/docs/en/build-with-claude/streaming. What comes is JSON of a
 * stranger: kinds of events and blocks that are not known are passed over, as the API's versioning asks; what breaks the
 * protocol is `provider_protocol`.
 *
 *     message_start  (content_block_start  content_block_delta*  content_block_stop)*  message_delta+  message_stop
 *     ping and error anywhere
 */
export class AnthropicReply {
  /** `message_stop` has come: nothing follows. */
  isWhole = false;
  /** As the API said it; null until it has. */
  stopReason: string | null = null;
  private readonly blocks: Block[] = [];
  private counted: Required<TokenUsage> = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
  private usage: Json = {};

  constructor(private readonly provider: string) {}

  get hasCalls(): boolean {
    return this.blocks.some((block) => block.type === 'tool_use');
  }

  *take({ event, data }: SseEvent): Generator<ModelEvent> {
    const body = this.parse(data);
    switch (event ?? body['type']) {
      case 'error':
        throw new StreamError(body);
      case 'message_start':
        yield* this.count(asObject(asObject(body['message'])['usage']));
        return;
      case 'content_block_start':
        yield* this.open(body);
        return;
      case 'content_block_delta':
        yield* this.append(this.blockAt(body), asObject(body['delta']));
        return;
      case 'content_block_stop':
        yield* this.close(this.blockAt(body));
        return;
      case 'message_delta': {
        const { stop_reason: reason } = asObject(body['delta']);
        if (typeof reason === 'string') this.stopReason = reason;
        yield* this.count(asObject(body['usage']));
        return;
      }
      case 'message_stop':
        if (this.blocks.some((block) => block.isOpen)) throw this.broken('a message ended within a block');
        this.isWhole = true;
        return;
      default:
        yield { type: 'alive' };
    }
  }

  /** The message as it has to be sent back. */
  content(): ContentBlockParam[] {
    return this.blocks.filter(isSendable).map(({ content }) => content as unknown as ContentBlockParam);
  }

  private *open(body: Json): Generator<ModelEvent> {
    if (body['index'] !== this.blocks.length) throw this.broken('a block came out of turn');
    const content = asObject(body['content_block']);
    const { type } = content;
    if (typeof type !== 'string') throw this.broken('a block has no type');
    this.blocks.push({ type, content: { ...content }, json: '', isOpen: true });
    if (type !== 'text') yield { type: 'alive' };
    else if (content['text'] !== '') yield { type: 'text', text: asText(content['text']) };
  }

  private *append(block: Block, delta: Json): Generator<ModelEvent> {
    const type = asText(delta['type']);
    const wanted = ofDelta[type];
    if (wanted !== undefined && wanted !== block.type) throw this.broken(`a ${type} came for a block of another kind`);
    const { content } = block;
    if (type === 'text_delta') {
      const text = asText(delta['text']);
      content['text'] = asText(content['text']) + text;
      yield { type: 'text', text };
      return;
    }
    if (type === 'input_json_delta') block.json += asText(delta['partial_json']);
    if (type === 'thinking_delta') content['thinking'] = asText(content['thinking']) + asText(delta['thinking']);
    if (type === 'signature_delta') content['signature'] = asText(content['signature']) + asText(delta['signature']);
    yield { type: 'alive' };
  }

  private *close(block: Block): Generator<ModelEvent> {
    block.isOpen = false;
    if (block.type !== 'tool_use') return;
    const call = toCall(block);
    block.content['input'] = inputOf(call);
    yield { type: 'tool_call', call };
  }

  /** The API counts up, within a message; the port adds. */
  private *count(usage: Json): Generator<ModelEvent> {
    this.usage = { ...this.usage, ...Object.fromEntries(Object.entries(usage).filter(([, n]) => isCount(n))) };
    const now = {
      cacheReadTokens: asCount(this.usage['cache_read_input_tokens']),
      cacheWriteTokens: asCount(this.usage['cache_creation_input_tokens']),
      outputTokens: asCount(this.usage['output_tokens']),
    };
    const total = {
      ...now,
      inputTokens: asCount(this.usage['input_tokens']) + now.cacheReadTokens + now.cacheWriteTokens,
    };
    const more = (key: keyof TokenUsage): number => Math.max(0, total[key] - this.counted[key]);
    const event = {
      type: 'usage' as const,
      inputTokens: more('inputTokens'),
      outputTokens: more('outputTokens'),
      cacheReadTokens: more('cacheReadTokens'),
      cacheWriteTokens: more('cacheWriteTokens'),
    };
    for (const key of Object.keys(this.counted) as (keyof TokenUsage)[]) {
      this.counted[key] = Math.max(this.counted[key], total[key]);
    }
    yield event;
  }

  private blockAt({ index }: Json): Block {
    const block = typeof index === 'number' ? this.blocks[index] : undefined;
    if (block === undefined || !block.isOpen) throw this.broken('something came for a block that is not open');
    return block;
  }

  private parse(data: string): Json {
    try {
      return asObject(JSON.parse(data === '' ? '{}' : data));
    } catch {
      throw this.broken('an event is no JSON');
    }
  }

  private broken(what: string): ProviderFailed {
    return new ProviderFailed({
      provider: this.provider,
      failure: 'provider_protocol',
      message: `What the API of ${this.provider} sent is not its protocol: ${what}.`,
    });
  }
}

/** An `error` event. Its shape is that of the SDKs' errors, so that one function puts both into words. */
class StreamError extends Error {
  constructor(readonly error: Json) {
    super('The stream ended in an error.');
  }
}

function toCall({ content, json }: Block): ToolCall {
  const call = { id: asText(content['id']), name: asText(content['name']) };
  // Servers that speak this protocol too may send the arguments whole, at the start.
  if (json.trim() === '') return { ...call, args: asObject(content['input']) };
  try {
    const args: unknown = JSON.parse(json);
    if (isObject(args)) return { ...call, args };
  } catch {
    // Said below, as for JSON that is no object.
  }
  return { ...call, args: {}, malformed: json };
}

/** Blank texts, and thinking that nobody signed, are refused when they come back. */
function isSendable({ type, content }: Block): boolean {
  if (type === 'text') return asText(content['text']).trim() !== '';
  return type !== 'thinking' || asText(content['signature']) !== '';
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asObject(value: unknown): Json {
  return isObject(value) ? value : {};
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function asCount(value: unknown): number {
  return isCount(value) ? value : 0;
}
