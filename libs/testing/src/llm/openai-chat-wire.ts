import { cutInPieces, countTokens, type WireEvent } from './play-reply.js';
import {
  asArray,
  asObject,
  asText,
  newCallId,
  obfuscation,
  onlyKnown,
  Refused,
  toolsOf,
  type Json,
  type Understood,
} from './openai-wire-parts.js';
import { randomBytes } from 'node:crypto';
import type { Break, ScriptedReply, ScriptedResult } from './scripted-model.js';

const known = [
  'model',
  'messages',
  'stream',
  'stream_options',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'temperature',
];
const knownToo = ['max_tokens', 'max_completion_tokens', 'top_p', 'stop', 'n', 'seed', 'store'];

/** Chat Completions as OpenAI has it, with `reasoning_content` as DeepSeek and others stream it: what comes with a call has to be sent back. */
export class ChatWire {
  /** What was thought before a call, by the call's id. */
  private readonly thoughts = new Map<string, string>();

  /** Throws {@link Refused}. */
  understand(body: Json): Understood {
    onlyKnown(body, [...known, ...knownToo]);
    const model = asText(body['model'], 'model');
    if (body['stream'] !== true) throw new Refused('This server streams only.', 'stream');
    if (body['max_tokens'] !== undefined && body['max_completion_tokens'] !== undefined) {
      throw new Refused("Set either 'max_tokens' or 'max_completion_tokens', not both.", 'max_tokens');
    }
    const messages = asArray(body['messages'], 'messages').map((m, i) => asObject(m, `messages[${i}]`));
    const { results, newest } = this.check(messages);
    const system = messages.filter((message) => message['role'] === 'system');
    return {
      model,
      system: system.map((message) => message['content']).join('\n'),
      question: messages.findLast((message) => message['role'] === 'user')?.['content'] as string,
      tools: toolsOf(body, false),
      results: results.slice(newest),
      allResults: results,
      body,
    };
  }

  *events(reply: ScriptedReply, body: Json): Generator<WireEvent> {
    const chunks = new ChatChunks(reply, body);
    yield* chunks.all();
    if (chunks.thought !== '') for (const id of chunks.callIds) this.thoughts.set(id, chunks.thought);
  }

  private check(messages: readonly Json[]): { results: ScriptedResult[]; newest: number } {
    let open = new Map<string, string>();
    const results: ScriptedResult[] = [];
    let newest = 0;
    for (const [i, message] of messages.entries()) {
      const where = `messages[${i}]`;
      if (message['role'] === 'tool') {
        onlyKnown(message, ['role', 'content', 'tool_call_id'], `${where}.`);
        const callId = asText(message['tool_call_id'], `${where}.tool_call_id`);
        const name = open.get(callId);
        if (name === undefined) {
          throw new Refused(
            "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
            `${where}.role`,
          );
        }
        open.delete(callId);
        // This API has no word for a call that failed.
        results.push({ callId, name, text: asText(message['content'], `${where}.content`), isError: false });
        continue;
      }
      this.checkAnswered(open);
      newest = results.length;
      if (message['role'] === 'assistant') open = this.callsOf(message, where);
      else if (message['role'] === 'user' || message['role'] === 'system') {
        onlyKnown(message, ['role', 'content'], `${where}.`);
        asText(message['content'], `${where}.content`);
      } else throw new Refused(`Invalid value: '${String(message['role'])}'.`, `${where}.role`);
    }
    this.checkAnswered(open);
    return { results, newest };
  }

  private checkAnswered(open: ReadonlyMap<string, string>): void {
    if (open.size === 0) return;
    throw new Refused(
      `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${[...open.keys()].join(', ')}`,
      'messages',
    );
  }

  private callsOf(message: Json, where: string): Map<string, string> {
    onlyKnown(message, ['role', 'content', 'tool_calls', 'reasoning_content'], `${where}.`);
    const calls = new Map<string, string>();
    for (const [j, sent] of asArray(message['tool_calls'] ?? [], `${where}.tool_calls`).entries()) {
      const at = `${where}.tool_calls[${j}]`;
      const call = asObject(sent, at);
      onlyKnown(call, ['id', 'type', 'function'], `${at}.`);
      const fn = asObject(call['function'], `${at}.function`);
      const id = asText(call['id'], `${at}.id`);
      if (id === '' || calls.has(id)) throw new Refused(`Duplicate or empty value for '${at}.id'.`, at);
      this.checkArguments(asText(fn['arguments'], `${at}.function.arguments`), at);
      calls.set(id, asText(fn['name'], `${at}.function.name`));
      const thought = this.thoughts.get(id);
      if (thought !== undefined && message['reasoning_content'] !== thought) {
        throw new Refused('The `reasoning_content` in the thinking mode must be passed back to the API.', 'messages');
      }
    }
    if (calls.size === 0) asText(message['content'], `${where}.content`);
    return calls;
  }

  /** vLLM and llama.cpp parse them again to fill the model's template. */
  private checkArguments(text: string, at: string): void {
    try {
      asObject(JSON.parse(text), at);
    } catch {
      throw new Refused(`Invalid '${at}.function.arguments': expected a JSON object.`, at, 500);
    }
  }
}

/** The chunks of one reply. */
class ChatChunks {
  thought = '';
  readonly callIds: string[] = [];
  private spoken = '';
  private readonly id = `chatcmpl-${randomBytes(12).toString('hex')}`;
  private readonly created = Math.floor(Date.now() / 1_000);
  private readonly wantsUsage: boolean;

  constructor(
    private readonly reply: ScriptedReply,
    private readonly body: Json,
  ) {
    const options = body['stream_options'] as { include_usage?: unknown } | undefined;
    this.wantsUsage = options?.include_usage === true;
  }

  *all(): Generator<WireEvent> {
    yield this.delta({ role: 'assistant', content: '', refusal: null });
    for (const part of this.reply.parts) {
      for (let n = 0; n < (this.reply.pings ?? 0); n += 1) yield { text: ': keep-alive\n\n' };
      if ('say' in part) {
        const name = this.reply.stop === 'refusal' ? 'refusal' : 'content';
        for (const piece of pieces(part.say)) yield this.delta({ [name]: piece }, 'text', piece);
      } else if ('call' in part) yield* this.call(part.call, part.json ?? JSON.stringify(part.args ?? {}), part.id);
      else if ('think' in part) {
        for (const piece of pieces(part.think)) {
          this.thought += piece;
          yield this.delta({ reasoning_content: piece }, 'thinking', piece);
        }
      }
      // Thinking that is not shown has no form here: nothing is sent.
    }
    yield this.chunk([{ index: 0, delta: {}, logprobs: null, finish_reason: this.finish() }]);
    if (this.wantsUsage) yield this.chunk([], this.usage());
    yield { text: 'data: [DONE]\n\n' };
  }

  private *call(name: string, args: string, asked: string | undefined): Generator<WireEvent> {
    const id = asked ?? newCallId();
    const index = this.callIds.push(id) - 1;
    yield this.delta({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] });
    for (const piece of cutInPieces(args)) {
      yield this.delta({ tool_calls: [{ index, function: { arguments: piece } }] }, 'tool_call', piece);
    }
  }

  private delta(delta: Json, kind?: Break['in'], said = ''): WireEvent {
    this.spoken += said;
    const event = this.chunk([{ index: 0, delta, logprobs: null, finish_reason: null }]);
    return kind === undefined ? event : { ...event, delta: kind };
  }

  private chunk(choices: Json[], usage: Json | null = null): WireEvent {
    const chunk = {
      id: this.id,
      object: 'chat.completion.chunk',
      created: this.created,
      model: this.body['model'],
      service_tier: 'default',
      system_fingerprint: null,
      choices,
      ...(this.wantsUsage ? { usage } : {}),
      obfuscation: obfuscation(),
    };
    return { text: `data: ${JSON.stringify(chunk)}\n\n` };
  }

  private finish(): string {
    switch (this.reply.stop) {
      case 'max_tokens':
      case 'context':
        return 'length';
      case 'tool_use':
        return 'tool_calls';
      case undefined:
        return this.callIds.length > 0 ? 'tool_calls' : 'stop';
      default:
        return 'stop';
    }
  }

  private usage(): Json {
    const { usage = {} } = this.reply;
    const input = usage.input ?? countTokens(JSON.stringify(this.body['messages']));
    const output = usage.output ?? countTokens(this.spoken);
    return {
      prompt_tokens: input,
      completion_tokens: output,
      total_tokens: input + output,
      prompt_tokens_details: {
        cached_tokens: usage.cacheRead ?? 0,
        cache_write_tokens: usage.cacheWrite ?? 0,
        audio_tokens: 0,
      },
      completion_tokens_details: { reasoning_tokens: countTokens(this.thought), audio_tokens: 0 },
    };
  }
}

function pieces(said: string | readonly string[]): readonly string[] {
  return typeof said === 'string' ? cutInPieces(said) : said;
}
