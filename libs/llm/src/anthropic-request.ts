import type {
  CacheControlEphemeral,
  ContentBlockParam,
  MessageCreateParamsStreaming,
  MessageParam,
  Tool,
  ToolResultBlockParam,
  ToolUseBlockParam,
} from '@anthropic-ai/sdk/resources/messages';
import type { ModelRequest, ToolCall, Turn } from './provider.js';

type AssistantTurn = Extract<Turn, { role: 'assistant' }>;

/** What one provider asks in every request. */
export interface AnthropicModel {
  name: string;
  model: string;
  maxTokens: number;
  temperature: number | undefined;
}

const cached: CacheControlEphemeral = { type: 'ephemeral' };

/**
 * A conversation as a request of the Messages API. It is cached up to its newest message: the next step of the same question
 * begins with all of this one.
 */
export function toParams(request: ModelRequest, o: AnthropicModel): MessageCreateParamsStreaming {
  const { system, turns } = request;
  const { tools, isShut } = toTools(request);
  const params: MessageCreateParamsStreaming = {
    model: o.model,
    max_tokens: o.maxTokens,
    stream: true,
    // In the API's order the tools come before it, so that this marks both.
    system: [{ type: 'text', text: system, cache_control: cached }],
    messages: cacheLast(merge(turns.flatMap((turn, i) => toMessages(turn, turns[i + 1], o)))),
    ...(tools.length === 0 ? {} : { tools, ...(isShut ? { tool_choice: { type: 'none' as const } } : {}) }),
  };
  // Of the API's versions only the first knows it, the SDK's types do not: see anthropic.ts.
  return o.temperature === undefined ? params : Object.assign(params, { temperature: o.temperature });
}

/** A history with calls in it is refused unless the tools are declared, even when none may be called any more. */
function toTools({ tools, withheld, turns }: ModelRequest): { tools: Tool[]; isShut: boolean } {
  if (tools.length > 0) return { tools: tools.map(toTool), isShut: false };
  if (withheld !== undefined && withheld.length > 0) return { tools: withheld.map(toTool), isShut: true };
  const called = new Set(turns.flatMap((turn) => (turn.role === 'assistant' ? turn.toolCalls.map(toName) : [])));
  const declared = [...called].map((name): Tool => ({ name, input_schema: { type: 'object' } }));
  return { tools: declared, isShut: true };
}

function toTool({ name, description, inputSchema }: ModelRequest['tools'][number]): Tool {
  return { name, description, input_schema: { ...inputSchema, type: 'object' } };
}

function toMessages(turn: Turn, next: Turn | undefined, o: AnthropicModel): MessageParam[] {
  if (turn.role === 'user') return [{ role: 'user', content: textBlocks(turn.text) }];
  // They stand with the calls they answer, below.
  if (turn.role === 'tool') return [];
  return [
    { role: 'assistant', content: nativeOf(turn, o) ?? [...textBlocks(turn.text), ...turn.toolCalls.map(toToolUse)] },
    { role: 'user', content: answersTo(turn.toolCalls, next) },
  ];
}

/** What this model wrote goes back as it came: signed thinking is refused when anything of it has changed. */
function nativeOf({ native }: AssistantTurn, o: AnthropicModel): ContentBlockParam[] | undefined {
  if (native?.provider !== o.name || native.model !== o.model || !Array.isArray(native.content)) return undefined;
  return native.content as ContentBlockParam[];
}

/** One for each call, first in its message; a conversation may have been cut off before a call was made. */
function answersTo(calls: readonly ToolCall[], next: Turn | undefined): ToolResultBlockParam[] {
  const outcomes = new Map(next?.role === 'tool' ? next.outcomes.map((outcome) => [outcome.callId, outcome]) : []);
  return calls.map((call) => {
    const { text, isError } = outcomes.get(call.id) ?? notMade;
    return { type: 'tool_result', tool_use_id: toId(call.id), content: text, ...(isError ? { is_error: true } : {}) };
  });
}

const notMade = { text: 'This call was not made: the conversation was interrupted.', isError: true };

function toToolUse(call: ToolCall): ToolUseBlockParam {
  return { type: 'tool_use', id: toId(call.id), name: toName(call), input: inputOf(call) };
}

/** The form that Anthropic's documentation on tool streaming names for arguments that are no JSON. */
export function inputOf({ args, malformed }: Pick<ToolCall, 'args' | 'malformed'>): Record<string, unknown> {
  return malformed === undefined ? args : { INVALID_JSON: malformed };
}

/** Ids of other providers may hold what this API refuses. */
function toId(id: string): string {
  return /^[\w-]+$/.test(id) ? id : `call_${Buffer.from(id).toString('hex')}`;
}

function toName({ name }: ToolCall): string {
  return name.replaceAll(/[^\w-]/g, '_').slice(0, 128) || 'unnamed';
}

/** A blank text is refused. */
function textBlocks(text: string): ContentBlockParam[] {
  return text.trim() === '' ? [] : [{ type: 'text', text }];
}

/** One message for each change of the speaker, none without content. */
function merge(messages: readonly MessageParam[]): BlockMessage[] {
  const merged: BlockMessage[] = [];
  for (const { role, content } of messages as BlockMessage[]) {
    if (content.length === 0) continue;
    const last = merged.at(-1);
    if (last?.role === role) last.content.push(...content);
    else merged.push({ role, content: [...content] });
  }
  return merged;
}

interface BlockMessage {
  role: 'user' | 'assistant';
  content: ContentBlockParam[];
}

function cacheLast(messages: BlockMessage[]): BlockMessage[] {
  const content = messages.at(-1)?.content;
  const block = content?.at(-1);
  if (content !== undefined && (block?.type === 'text' || block?.type === 'tool_result')) {
    content[content.length - 1] = { ...block, cache_control: cached };
  }
  return messages;
}
