import type { ToolData, ToolEnvelope, ToolErrorBody, ToolName } from '@coral/tools';
import { unfence } from '../fence.js';
import type { Turn } from '../provider.js';

/** A call that the walk wants answered. */
export interface Wanted {
  name: ToolName;
  args: Record<string, unknown>;
}

export type Answer =
  | { is: 'data'; envelope: ToolEnvelope }
  | { is: 'refused'; kind: string; reason: string; message: string; next?: string };

/** What is on the table for the question asked last: its text, and the answers so far. */
export class Board {
  readonly question: string;
  private readonly answers = new Map<string, Answer>();

  constructor(turns: readonly Turn[]) {
    const asked = turns.findLastIndex((turn) => turn.role === 'user');
    const opening = turns[asked];
    this.question = opening?.role === 'user' ? opening.text : '';
    const calls = new Map<string, Wanted>();
    for (const turn of turns.slice(asked + 1)) {
      if (turn.role === 'assistant')
        for (const call of turn.toolCalls) calls.set(call.id, { name: call.name as ToolName, args: call.args });
      if (turn.role !== 'tool') continue;
      for (const outcome of turn.outcomes) {
        const call = calls.get(outcome.callId);
        if (call !== undefined) this.answers.set(keyOf(call), readAnswer(unfence(outcome.text), outcome.isError));
      }
    }
  }

  /** How many calls were answered; also makes the ids of new ones unique within the question. */
  get size(): number {
    return this.answers.size;
  }

  answerTo(wanted: Wanted): Answer | undefined {
    return this.answers.get(keyOf(wanted));
  }

  /** Names of the tools that were asked. */
  askedTools(): Set<string> {
    return new Set([...this.answers.keys()].map((key) => (JSON.parse(key) as [string])[0]));
  }

  all(): Answer[] {
    return [...this.answers.values()];
  }
}

function keyOf({ name, args }: Wanted): string {
  return JSON.stringify([name, Object.entries(args).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
}

function readAnswer(text: string, isError: boolean): Answer {
  const body = parse(text);
  if (!isError && isEnvelope(body)) return { is: 'data', envelope: body };
  if (isErrorBody(body)) return { is: 'refused', ...body.error };
  return { is: 'refused', kind: 'internal', reason: 'unreadable_answer', message: text.slice(0, 300) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Becomes `unreadable_answer`, with the text in it.
    return undefined;
  }
}

function isEnvelope(body: unknown): body is ToolEnvelope<ToolData> {
  return typeof body === 'object' && body !== null && 'data' in body && 'status' in body && 'coverage' in body;
}

function isErrorBody(body: unknown): body is ToolErrorBody {
  if (typeof body !== 'object' || body === null || !('error' in body)) return false;
  const { error } = body;
  return typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string';
}
