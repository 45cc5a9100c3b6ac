import { toolDefinitions } from '@coral/tools';
import { converse, type Conversation, type ConversationEvent, type ConverseOptions } from '../conversation.js';
import type { Provider, ToolOutcome, Turn } from '../provider.js';

export const budget = { maxSteps: 10, maxToolCalls: 20, maxSeconds: 60 };

/** A conversation with every tool open; each call answers `results`. */
export async function run(
  provider: Provider,
  { results = '{"p95_ms":450}', ...more }: Partial<ConverseOptions> & { results?: string } = {},
): Promise<{ conversation: Conversation; events: ConversationEvent[] }> {
  const events: ConversationEvent[] = [];
  const conversation = await converse({
    provider,
    question: 'Why is checkout slow?',
    tools: toolDefinitions,
    budget,
    signal: new AbortController().signal,
    callTool: async ({ id, name }) => ({ callId: id, name, text: results, isError: false }),
    ...more,
    onEvent: (event) => {
      events.push(event);
      more.onEvent?.(event);
    },
  });
  return { conversation, events };
}

export function outcomesOf(turns: readonly Turn[]): ToolOutcome[] {
  return turns.flatMap((turn) => (turn.role === 'tool' ? turn.outcomes : []));
}

/** Calls without an outcome, outcomes without a call, ids that stand twice: what an API refuses a history for. */
export function unmatchedIn(turns: readonly Turn[]): string[] {
  const called = turns.flatMap((turn) => (turn.role === 'assistant' ? turn.toolCalls.map(({ id }) => id) : []));
  const answered = outcomesOf(turns).map(({ callId }) => callId);
  return [
    ...called.filter((id, i) => !answered.includes(id) || called.indexOf(id) !== i),
    ...answered.filter((id, i) => !called.includes(id) || answered.indexOf(id) !== i),
  ];
}
