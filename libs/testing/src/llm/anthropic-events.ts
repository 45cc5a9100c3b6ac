import { randomBytes } from 'node:crypto';
import { countTokens, cutInPieces, type WireEvent } from './play-reply.js';
import type { ScriptedPart, ScriptedReply } from './scripted-model.js';

/** A block of a message, whole, as a later request has to return it. */
export type IssuedBlock = Record<string, unknown> & { type: string };

export interface IssuedMessage {
  content: IssuedBlock[];
  events: WireEvent[];
  stopReason: string;
}

const stopReasons = {
  end: 'end_turn',
  tool_use: 'tool_use',
  max_tokens: 'max_tokens',
  refusal: 'refusal',
  pause: 'pause_turn',
  context: 'model_context_window_exceeded',
  stop_sequence: 'stop_sequence',
} as const;

export function newId(prefix: string): string {
  return `${prefix}_01${randomBytes(11).toString('hex')}`;
}

/** `event: …\ndata: …\n\n`, as the API writes it. */
export function sse(event: string, body: Record<string, unknown>): string {
  return `event: ${event}\ndata: ${JSON.stringify({ type: event, ...body })}\n\n`;
}

/** A reply as the stream of one message: https://platform.claude.com/docs/en/build-with-claude/streaming. */
export function issue(reply: ScriptedReply, o: { model: string; promptChars: number }): IssuedMessage {
  const hasCalls = reply.parts.some((part) => 'call' in part);
  const stopReason = stopReasons[reply.stop ?? (hasCalls ? 'tool_use' : 'end')];
  const content: IssuedBlock[] = [];
  const events: WireEvent[] = [{ text: messageStart(reply, o) }];
  for (let i = 0; i < (reply.pings ?? 1); i += 1) events.push({ text: sse('ping', {}) });
  for (const [index, part] of reply.parts.entries()) {
    const block = blockOf(part);
    content.push(block.whole);
    events.push({ text: sse('content_block_start', { index, content_block: block.start }) });
    for (const { delta, of } of block.deltas) {
      events.push({ text: sse('content_block_delta', { index, delta }), ...(of === undefined ? {} : { delta: of }) });
    }
    events.push({ text: sse('content_block_stop', { index }) });
  }
  const output = reply.usage?.output ?? countTokens(JSON.stringify(content));
  events.push({
    text: sse('message_delta', {
      delta: {
        stop_reason: stopReason,
        stop_sequence: stopReason === 'stop_sequence' ? 'END' : null,
        stop_details: null,
      },
      usage: { ...promptUsage(reply, o), output_tokens: output },
    }),
  });
  events.push({ text: sse('message_stop', {}) });
  return { content, events, stopReason };
}

function promptUsage({ usage }: ScriptedReply, { promptChars }: { promptChars: number }): Record<string, number> {
  return {
    input_tokens: usage?.input ?? Math.max(1, Math.ceil(promptChars / 4)),
    cache_creation_input_tokens: usage?.cacheWrite ?? 0,
    cache_read_input_tokens: usage?.cacheRead ?? 0,
  };
}

function messageStart(reply: ScriptedReply, o: { model: string; promptChars: number }): string {
  const prompt = promptUsage(reply, o);
  return sse('message_start', {
    message: {
      id: newId('msg'),
      type: 'message',
      role: 'assistant',
      model: o.model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      stop_details: null,
      usage: {
        ...prompt,
        cache_creation: {
          ephemeral_5m_input_tokens: prompt['cache_creation_input_tokens'],
          ephemeral_1h_input_tokens: 0,
        },
        output_tokens: 1,
        service_tier: 'standard',
        inference_geo: 'not_available',
      },
    },
  });
}

interface WireBlock {
  start: IssuedBlock;
  deltas: { delta: Record<string, unknown>; of?: WireEvent['delta'] & string }[];
  whole: IssuedBlock;
}

function blockOf(part: ScriptedPart): WireBlock {
  if ('say' in part) {
    const pieces = typeof part.say === 'string' ? cutInPieces(part.say) : part.say;
    return {
      start: { type: 'text', text: '' },
      deltas: pieces.map((text) => ({ delta: { type: 'text_delta', text }, of: 'text' })),
      whole: { type: 'text', text: pieces.join('') },
    };
  }
  if ('think' in part) {
    const pieces = typeof part.think === 'string' ? cutInPieces(part.think) : part.think;
    const signature = randomBytes(96).toString('base64');
    return {
      start: { type: 'thinking', thinking: '', signature: '' },
      deltas: [
        ...pieces.map((thinking) => ({ delta: { type: 'thinking_delta', thinking }, of: 'thinking' as const })),
        { delta: { type: 'signature_delta', signature } },
      ],
      whole: { type: 'thinking', thinking: pieces.join(''), signature },
    };
  }
  if ('redacted' in part) {
    const block = { type: 'redacted_thinking', data: Buffer.from(part.redacted).toString('base64') };
    return { start: block, deltas: [], whole: block };
  }
  const use = { type: 'tool_use', id: part.id ?? newId('toolu'), name: part.call };
  const json = part.json ?? (part.args === undefined ? '' : JSON.stringify(part.args));
  return {
    start: { ...use, input: {} },
    // The API begins with an empty piece.
    deltas: [
      { delta: { type: 'input_json_delta', partial_json: '' } },
      ...cutInPieces(json).map((piece) => ({
        delta: { type: 'input_json_delta', partial_json: piece },
        of: 'tool_call' as const,
      })),
    ],
    whole: { ...use, input: part.args ?? {} },
  };
}
