import { randomUUID } from 'node:crypto';
import type OpenAI from 'openai';
import type { ModelEvent, ModelRequest, ToolCall, Turn } from './provider.js';

/** One of the two protocols: how a request is sent, and how its stream is read. */
export interface WireApi {
  open(client: OpenAI, request: ModelRequest): Promise<AsyncIterable<unknown>>;
  read(request: ModelRequest): ReplyReader;
}

export interface ReplyReader {
  /** One event of the stream as it came. Throws for an error among them. */
  take(event: unknown): Iterable<ModelEvent>;
  /** The end of the reply was said. */
  readonly isWhole: boolean;
  /** Nothing more is expected but the end of the stream. */
  readonly isDone: boolean;
  /** The stream is over. Throws unless the reply is whole. */
  end(): Iterable<ModelEvent>;
}

export interface OpenAiModel {
  model: string;
  maxTokens: number | undefined;
  temperature: number | undefined;
}

export type AssistantTurn = Extract<Turn, { role: 'assistant' }>;

/** What comes over the wire is JSON of a stranger, whatever the SDK's types say of it. */
export type Json = Record<string, unknown>;

export function asObject(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

export function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Tokens, indexes: undefined for what counts nothing. */
export function asCount(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** Keeps ids of calls unique within a conversation: compatible servers send none, an empty one, or `call_0` each turn. */
export class CallIds {
  private readonly taken: Set<string>;

  constructor(turns: readonly Turn[]) {
    this.taken = new Set(turns.flatMap((turn) => (turn.role === 'assistant' ? turn.toolCalls.map((c) => c.id) : [])));
  }

  /** The id as it came when it can stand, else a new one. */
  take(asked: unknown): string {
    let id = asText(asked);
    if (id === '' || this.taken.has(id)) id = `call_${randomUUID().replaceAll('-', '')}`;
    this.taken.add(id);
    return id;
  }
}

/** Levels of arguments; no tool has more than three. Beyond some thousands they could not be written out again. */
export const maxArgsDepth = 32;

/** Arguments are JSON text; some servers send the object itself, or no text for a call without arguments. */
export function toToolCall(id: string, name: string, sent: unknown): ToolCall {
  if (sent === undefined || sent === null || (typeof sent === 'string' && sent.trim() === ''))
    return { id, name, args: {} };
  const args = typeof sent === 'string' ? parseObject(sent) : asObject(sent);
  if (args !== undefined && isWithin(args, maxArgsDepth)) return { id, name, args };
  const malformed = typeof sent === 'string' ? sent : isWithin(sent, maxArgsDepth) ? JSON.stringify(sent) : 'too deep';
  return { id, name, args: {}, malformed };
}

function isWithin(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((part) => isWithin(part, levels - 1));
}

export function parseObject(text: string): Json | undefined {
  try {
    return asObject(JSON.parse(text) as unknown);
  } catch {
    // No JSON: that is the answer.
    return undefined;
  }
}

/** A turn as both APIs want it: each call of a reply is followed by exactly one answer. */
export type Step =
  | { role: 'user'; text: string }
  | { role: 'assistant'; turn: AssistantTurn; answer: (callId: string) => string };

/** A conversation may be cut off between call and answer, and be taken up again: both APIs refuse such a gap. */
const notMade = 'This call was not made: the conversation was interrupted.';

/** Replies with what came back for their calls. An answer to nothing is left out. */
export function stepsOf(turns: readonly Turn[]): Step[] {
  return turns.flatMap((turn, i): Step[] => {
    if (turn.role === 'user') return [{ role: 'user', text: turn.text }];
    if (turn.role === 'tool') return [];
    const next = turns[i + 1];
    const texts = new Map(next?.role === 'tool' ? next.outcomes.map((outcome) => [outcome.callId, outcome.text]) : []);
    return [{ role: 'assistant', turn, answer: (id) => texts.get(id) ?? notMade }];
  });
}

/** The native form of a reply, when this model made it through this API. */
export function nativeOf({ native }: AssistantTurn, model: string, api: 'responses' | 'chat'): Json | undefined {
  if (native?.provider !== 'openai' || native.model !== model) return undefined;
  const content = asObject(native.content);
  return content?.['api'] === api ? content : undefined;
}
