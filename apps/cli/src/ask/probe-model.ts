import { randomBytes } from 'node:crypto';
import { CoralError } from '@coral/errors';
import { converse, type Budget, type Conversation, type ModelPrice, type Provider } from '@coral/llm';
import { systemClock, type Clock } from '@coral/model';
import type { ToolDefinition } from '@coral/tools';

/** Enough to call one tool and to answer, with one detour; little enough to cost next to nothing. */
export const probeBudget: Budget = { maxSteps: 4, maxToolCalls: 4, maxSeconds: 60, maxTokens: 50_000, maxUsd: 0.5 };

const echo: string = 'coral_echo';

/** It runs here and touches nothing. */
const echoTool: ToolDefinition = {
  // The only tool that no colony has.
  name: echo as ToolDefinition['name'],
  description: 'Returns a receipt for a word',
  inputSchema: {
    type: 'object',
    properties: { word: { type: 'string', description: 'The word' } },
    required: ['word'],
    additionalProperties: false,
  },
};

export interface ProbeResult {
  conversation: Conversation;
  ms: number;
}

/**
 * One true conversation: the model has to call a tool with a word it was given, and to repeat what came back, which it
 * cannot guess. Errors: the provider's own; provider_failed `model_calls_no_tools`, `model_ignores_tools`.
 */
export async function probeModel(
  provider: Provider,
  price: ModelPrice | undefined,
  signal: AbortSignal,
  { clock = systemClock, word = () => randomBytes(4).toString('hex') }: { clock?: Clock; word?: () => string } = {},
): Promise<ProbeResult> {
  const [given, receipt] = [word(), word()];
  let called = false;
  const started = clock.monotonic();
  const conversation = await converse({
    provider,
    price,
    question: `Call the tool ${echo} with the word ${given}. Then answer with the receipt that it returns, and nothing else.`,
    tools: [echoTool],
    budget: probeBudget,
    signal,
    clock,
    callTool: async (call) => {
      const isRight = call.args['word'] === given;
      called ||= isRight;
      const text = isRight ? JSON.stringify({ receipt }) : `The word is ${given}.`;
      return { callId: call.id, name: call.name, text, isError: !isRight };
    },
  });
  if (conversation.failure) throw conversation.failure;
  if (!called) throw callsNoTools(provider);
  if (!conversation.answer.includes(receipt)) throw ignoresTools(provider, conversation);
  return { conversation, ms: clock.monotonic() - started };
}

function callsNoTools({ name, model }: Provider): CoralError {
  return new CoralError({
    kind: 'provider_failed',
    reason: 'model_calls_no_tools',
    where: name,
    message: `${model} answered, but it did not call the tool it was told to, so it could look at no telemetry.`,
    next: 'Choose a model that can call tools.',
  });
}

function ignoresTools({ name, model }: Provider, { partialReason }: Conversation): CoralError {
  return new CoralError({
    kind: 'provider_failed',
    reason: 'model_ignores_tools',
    where: name,
    message: `${model} called the tool, but its answer does not have what the tool returned${partialReason ? ` (it ended early: ${partialReason})` : ''}.`,
    next: 'Ask again, or choose another model: this one would not answer from telemetry.',
  });
}
