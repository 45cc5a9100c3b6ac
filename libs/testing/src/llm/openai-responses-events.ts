import { newCallId, newId, obfuscation, type Json } from './openai-wire-parts.js';
import { countTokens, cutInPieces, type WireEvent } from './play-reply.js';
import type { Break, ScriptedPart, ScriptedReply } from './scripted-model.js';

/** The events of one reply, numbered. */
export class ResponseEvents {
  readonly output: Json[] = [];
  private sequence = 0;
  private spoken = '';
  private readonly id = newId('resp');
  private readonly created = Math.floor(Date.now() / 1_000);

  constructor(
    private readonly reply: ScriptedReply,
    private readonly body: Json,
  ) {}

  *all(): Generator<WireEvent> {
    const { parts, stop } = this.reply;
    yield this.event('response.created', { response: this.response('in_progress') });
    yield this.event('response.in_progress', { response: this.response('in_progress') });
    for (const [i, part] of parts.entries()) {
      for (let n = 0; n < (this.reply.pings ?? 0); n += 1) yield { text: ping() };
      const isCut = i === parts.length - 1 && (stop === 'max_tokens' || stop === 'context');
      yield* this.part(part, isCut ? 'incomplete' : 'completed');
    }
    const status = stop === 'max_tokens' || stop === 'context' ? 'incomplete' : 'completed';
    yield this.event(`response.${status}`, { response: this.response(status) });
  }

  private part(part: ScriptedPart, status: string): Generator<WireEvent> {
    if ('say' in part) return this.message(pieces(part.say), status);
    if ('call' in part) return this.call(part, status);
    if ('think' in part) return this.think(pieces(part.think));
    return this.think([], part.redacted);
  }

  private *message(said: readonly string[], status: string): Generator<WireEvent> {
    const id = newId('msg');
    const isRefusal = this.reply.stop === 'refusal';
    const text = said.join('');
    const part = (words: string): Json =>
      isRefusal
        ? { type: 'refusal', refusal: words }
        : { type: 'output_text', annotations: [], logprobs: [], text: words };
    const at = { item_id: id, output_index: this.output.length, content_index: 0 };
    const kind = isRefusal ? 'response.refusal' : 'response.output_text';
    yield this.added({ id, type: 'message', status: 'in_progress', content: [], role: 'assistant' });
    yield this.event('response.content_part.added', { ...at, part: part('') });
    for (const delta of said) {
      const more = isRefusal ? {} : { logprobs: [], obfuscation: obfuscation() };
      yield this.event(`${kind}.delta`, { ...at, delta, ...more }, 'text');
    }
    yield this.event(`${kind}.done`, { ...at, ...(isRefusal ? { refusal: text } : { text, logprobs: [] }) });
    yield this.event('response.content_part.done', { ...at, part: part(text) });
    yield this.done({ id, type: 'message', status, content: [part(text)], role: 'assistant' }, text);
  }

  private *call(part: Extract<ScriptedPart, { call: string }>, status: string): Generator<WireEvent> {
    const args = part.json ?? JSON.stringify(part.args ?? {});
    const item = { id: newId('fc'), type: 'function_call', call_id: part.id ?? newCallId(), name: part.call };
    const at = { item_id: item.id, output_index: this.output.length };
    yield this.added({ ...item, status: 'in_progress', arguments: '' });
    for (const delta of cutInPieces(args)) {
      const event = { ...at, delta, obfuscation: obfuscation() };
      yield this.event('response.function_call_arguments.delta', event, 'tool_call');
    }
    yield this.event('response.function_call_arguments.done', { ...at, arguments: args });
    yield this.done({ ...item, status, arguments: args }, args);
  }

  private *think(thoughts: readonly string[], hidden?: string): Generator<WireEvent> {
    const id = newId('rs');
    const text = thoughts.join('');
    const isAsked = Array.isArray(this.body['include']);
    const encrypted = `gAAAAA${Buffer.from(`${id}:${hidden ?? text}`).toString('base64url')}`;
    const at = { item_id: id, output_index: this.output.length, summary_index: 0 };
    // What stands here may not be whole yet; the last word is the one of output_item.done.
    yield this.added({ id, type: 'reasoning', summary: [], ...(isAsked ? { encrypted_content: 'gAAAAA' } : {}) });
    if (text !== '') {
      yield this.event('response.reasoning_summary_part.added', { ...at, part: { type: 'summary_text', text: '' } });
      for (const delta of thoughts) {
        const event = { ...at, delta, obfuscation: obfuscation() };
        yield this.event('response.reasoning_summary_text.delta', event, 'thinking');
      }
      yield this.event('response.reasoning_summary_text.done', { ...at, text });
      yield this.event('response.reasoning_summary_part.done', { ...at, part: { type: 'summary_text', text } });
    }
    const summary = text === '' ? [] : [{ type: 'summary_text', text }];
    yield this.done({ id, type: 'reasoning', summary, ...(isAsked ? { encrypted_content: encrypted } : {}) }, text);
  }

  private added(item: Json): WireEvent {
    return this.event('response.output_item.added', { output_index: this.output.length, item });
  }

  private done(item: Json, said: string): WireEvent {
    const event = this.event('response.output_item.done', { output_index: this.output.length, item });
    this.output.push(item);
    this.spoken += said;
    return event;
  }

  private event(type: string, fields: Json, delta?: Break['in']): WireEvent {
    const text = sse(type, { type, sequence_number: this.sequence++, ...fields });
    return delta === undefined ? { text } : { text, delta };
  }

  private response(status: string): Json {
    const isOver = status !== 'in_progress';
    return {
      id: this.id,
      object: 'response',
      created_at: this.created,
      status,
      background: false,
      completed_at: status === 'completed' ? this.created : null,
      error: null,
      incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      instructions: this.body['instructions'] ?? null,
      max_output_tokens: this.body['max_output_tokens'] ?? null,
      max_tool_calls: null,
      model: this.body['model'],
      output: isOver ? this.output : [],
      parallel_tool_calls: this.body['parallel_tool_calls'] ?? true,
      previous_response_id: null,
      prompt_cache_key: null,
      reasoning: { effort: 'medium', summary: null },
      safety_identifier: null,
      service_tier: isOver ? 'default' : 'auto',
      store: this.body['store'] ?? true,
      temperature: this.body['temperature'] ?? 1,
      text: { format: { type: 'text' }, verbosity: 'medium' },
      tool_choice: 'auto',
      tools: this.body['tools'] ?? [],
      top_logprobs: 0,
      top_p: 1,
      truncation: 'disabled',
      usage: isOver ? this.usage() : null,
      user: null,
      metadata: {},
    };
  }

  private usage(): Json {
    const { usage = {}, parts } = this.reply;
    const input = usage.input ?? countTokens(JSON.stringify(this.body['input']));
    const output = usage.output ?? countTokens(this.spoken);
    const thought = parts.some((part) => 'think' in part || 'redacted' in part) ? Math.ceil(output / 4) : 0;
    return {
      input_tokens: input,
      input_tokens_details: { cached_tokens: usage.cacheRead ?? 0, cache_write_tokens: usage.cacheWrite ?? 0 },
      output_tokens: output,
      output_tokens_details: { reasoning_tokens: thought },
      total_tokens: input + output,
    };
  }
}

function pieces(said: string | readonly string[]): readonly string[] {
  return typeof said === 'string' ? cutInPieces(said) : said;
}

function ping(): string {
  return ': keep-alive\n\n';
}

export function sse(type: string, data: Json): string {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}
