import { ResponseEvents } from './openai-responses-events.js';
import type { WireEvent } from './play-reply.js';
import {
  asArray,
  asObject,
  asText,
  onlyKnown,
  Refused,
  toolsOf,
  type Json,
  type Understood,
} from './openai-wire-parts.js';
import type { ScriptedReply, ScriptedResult } from './scripted-model.js';

const known = [
  'model',
  'input',
  'instructions',
  'stream',
  'store',
  'include',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
];
const knownToo = [
  'max_output_tokens',
  'temperature',
  'top_p',
  'reasoning',
  'text',
  'truncation',
  'metadata',
  'service_tier',
];

/** Models of the scripted server that do not reason, by the beginning of their names. */
const plainModels = /^(gpt-4|plain)/;

/** The Responses API as far as function calls and reasoning go; it keeps nothing but what it must recognise again. */
export class ResponsesWire {
  /** Reasoning that was given out: its item's JSON by id. */
  private readonly reasoning = new Map<string, string>();
  /** Ids of the reasoning items that must stand before a call. */
  private readonly before = new Map<string, string[]>();

  /** Throws {@link Refused}. */
  understand(body: Json): Understood {
    onlyKnown(body, [...known, ...knownToo]);
    const model = asText(body['model'], 'model');
    if (body['stream'] !== true) throw new Refused('This server streams only.', 'stream');
    for (const wanted of asArray(body['include'] ?? [], 'include')) {
      if (wanted !== 'reasoning.encrypted_content')
        throw new Refused(`Invalid value: '${String(wanted)}'.`, 'include[0]');
      if (plainModels.test(model)) throw new Refused('Encrypted content is not supported with this model.', 'include');
    }
    const items = asArray(body['input'], 'input').map((item, i) => asObject(item, `input[${i}]`));
    const { results, newest } = this.check(items);
    return {
      model,
      system: body['instructions'] === undefined ? '' : asText(body['instructions'], 'instructions'),
      question: items.findLast((item) => item['role'] === 'user')?.['content'] as string,
      tools: toolsOf(body, true),
      results: results.slice(newest),
      allResults: results,
      body,
    };
  }

  /** Every event of the stream, in the API's order; what is given out is remembered. */
  *events(reply: ScriptedReply, body: Json): Generator<WireEvent> {
    const stream = new ResponseEvents(reply, body);
    yield* stream.all();
    const ids: string[] = [];
    for (const item of stream.output) {
      if (item['type'] === 'reasoning') {
        ids.push(item['id'] as string);
        this.reasoning.set(item['id'] as string, JSON.stringify(item));
      }
      if (item['type'] === 'function_call') this.before.set(item['call_id'] as string, [...ids]);
    }
  }

  private check(items: readonly Json[]): { results: ScriptedResult[]; newest: number } {
    const calls = new Map<string, string>();
    const seen = new Set<string>();
    const results: ScriptedResult[] = [];
    let newest = 0;
    for (const [i, item] of items.entries()) {
      const where = `input[${i}]`;
      const type = item['type'] ?? 'message';
      if (type === 'message') {
        this.checkMessage(item, where);
        newest = results.length;
      } else if (type === 'reasoning') seen.add(this.checkReasoning(item, items[i + 1], where));
      else if (type === 'function_call') {
        onlyKnown(item, ['type', 'id', 'call_id', 'name', 'arguments', 'status'], `${where}.`);
        const id = asText(item['call_id'], `${where}.call_id`);
        if (calls.has(id)) throw new Refused(`Duplicate call_id ${id}.`, where);
        const lost = this.before.get(id)?.find((reasoning) => !seen.has(reasoning));
        if (lost !== undefined) {
          throw new Refused(
            `Item '${id}' of type 'function_call' was provided without its required 'reasoning' item: '${lost}'.`,
            'input',
          );
        }
        asText(item['arguments'], `${where}.arguments`);
        calls.set(id, asText(item['name'], `${where}.name`));
        newest = results.length;
      } else if (type === 'function_call_output') {
        onlyKnown(item, ['type', 'call_id', 'output'], `${where}.`);
        const callId = asText(item['call_id'], `${where}.call_id`);
        const name = calls.get(callId);
        if (name === undefined) {
          throw new Refused(`No tool call found for function call output with call_id ${callId}.`, 'input');
        }
        if (results.some((result) => result.callId === callId))
          throw new Refused(`Duplicate output for ${callId}.`, 'input');
        // This API has no word for a call that failed.
        results.push({ callId, name, text: asText(item['output'], `${where}.output`), isError: false });
      } else throw new Refused(`Invalid value: '${String(type)}'.`, `${where}.type`, 400, 'invalid_value');
    }
    const open = [...calls.keys()].find((id) => !results.some((result) => result.callId === id));
    if (open !== undefined) throw new Refused(`No tool output found for function call ${open}.`, 'input');
    return { results, newest };
  }

  private checkMessage(item: Json, where: string): void {
    onlyKnown(item, ['type', 'role', 'content', 'id', 'status', 'phase'], `${where}.`);
    if (!['user', 'assistant', 'system', 'developer'].includes(asText(item['role'], `${where}.role`))) {
      throw new Refused(`Invalid value: '${String(item['role'])}'.`, `${where}.role`);
    }
    if (typeof item['content'] === 'string') return;
    for (const [j, part] of asArray(item['content'], `${where}.content`).entries()) {
      const type = asObject(part, `${where}.content[${j}]`)['type'];
      const fits = item['role'] === 'assistant' ? ['output_text', 'refusal'] : ['input_text'];
      if (!fits.includes(String(type)))
        throw new Refused(`Invalid value: '${String(type)}'.`, `${where}.content[${j}]`);
    }
  }

  /** As it was given out, byte by byte, and with what it led to. */
  private checkReasoning(item: Json, next: Json | undefined, where: string): string {
    const id = asText(item['id'], `${where}.id`);
    if (typeof item['encrypted_content'] !== 'string') {
      throw new Refused(
        `Item with id '${id}' not found. Items are not persisted when \`store\` is set to false.`,
        'input',
        404,
      );
    }
    if (this.reasoning.get(id) !== JSON.stringify(item)) {
      throw new Refused('The encrypted content could not be verified.', 'input', 400, 'invalid_encrypted_content');
    }
    if (next === undefined || next['type'] === 'function_call_output' || next['role'] === 'user') {
      throw new Refused(`Item '${id}' of type 'reasoning' was provided without its required following item.`, 'input');
    }
    return id;
  }
}
