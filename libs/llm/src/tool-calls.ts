import type { Clock } from '@coral/model';
import type { ToolDefinition } from '@coral/tools';
import { defaultParallelCalls, type Budget, type Deadline } from './budget.js';
import { defaultResultChars, makeVisible, trimResult, type Fence } from './fence.js';
import type { Provider, ToolCall, ToolOutcome } from './provider.js';

/** What a call was and what it cost. */
export interface ToolCallRecord {
  name: string;
  args: Record<string, unknown>;
  ms: number;
  isError: boolean;
  /** Of the answer's text as it came, UTF-8. */
  bytes: number;
}

export type ToolCallEvent =
  | { type: 'tool_started'; call: ToolCall }
  | ({ type: 'tool_finished'; call: ToolCall } & ToolCallRecord);

interface Context {
  provider: Provider;
  tools: readonly ToolDefinition[];
  budget: Budget;
  callTool: (call: ToolCall, signal: AbortSignal) => Promise<ToolOutcome>;
  fence: Fence;
  clock: Clock;
  deadline: Deadline;
  callsLeft: number;
  emit: (event: ToolCallEvent) => void;
  /** Told every real answer, uncut. */
  onEnvelopeText: (text: string) => void;
}

export interface ToolRound {
  /** One per call, in the order of the calls: models insist. */
  outcomes: ToolOutcome[];
  /** Of the calls that were really made. */
  records: ToolCallRecord[];
  /** False when time ran out. */
  complete: boolean;
}

/** Runs the calls of one turn, a few at a time. Unknown tools and calls beyond the budget are answered without a call. */
export async function runToolCalls(calls: readonly ToolCall[], context: Context): Promise<ToolRound> {
  const outcomes = new Map<string, ToolOutcome>();
  const records: ToolCallRecord[] = [];
  const queue: ToolCall[] = [];
  for (const call of calls) {
    const refusal = refusalOf(call, queue.length, context);
    if (refusal === undefined) queue.push(call);
    else outcomes.set(call.id, { callId: call.id, name: call.name, text: refusal, isError: true });
  }
  let complete = true;
  const worker = async (): Promise<void> => {
    for (let call = queue.shift(); call !== undefined; call = queue.shift()) {
      const done = await runOne(call, context);
      if (done === undefined) {
        complete = false;
        outcomes.set(call.id, {
          callId: call.id,
          name: call.name,
          text: 'There was no time left for this call.',
          isError: true,
        });
        continue;
      }
      records.push(done.record);
      outcomes.set(call.id, done.outcome);
    }
  };
  const width = Math.max(1, context.budget.maxParallel ?? defaultParallelCalls);
  await Promise.all(Array.from({ length: Math.min(width, queue.length) }, worker));
  return { outcomes: calls.map((call) => outcomes.get(call.id) as ToolOutcome), records, complete };
}

function refusalOf(call: ToolCall, queued: number, { tools, callsLeft }: Context): string | undefined {
  if (!tools.some((tool) => tool.name === call.name)) {
    return `There is no tool ${JSON.stringify(makeVisible(call.name).slice(0, 80))}. Tools: ${tools.map((tool) => tool.name).join(', ')}.`;
  }
  return queued >= callsLeft ? 'The budget of tool calls is used up. Answer now from what is known.' : undefined;
}

async function runOne(
  call: ToolCall,
  context: Context,
): Promise<{ outcome: ToolOutcome; record: ToolCallRecord } | undefined> {
  const { clock, deadline, emit, fence, provider } = context;
  if (deadline.reason !== undefined) return undefined;
  emit({ type: 'tool_started', call });
  const started = clock.monotonic();
  const answer = await deadline.race(context.callTool(call, deadline.signal));
  if (answer === undefined) return undefined;
  const { name, args } = call;
  const bytes = Buffer.byteLength(answer.text);
  const record: ToolCallRecord = { name, args, ms: clock.monotonic() - started, isError: answer.isError, bytes };
  emit({ type: 'tool_finished', call, ...record });
  context.onEnvelopeText(answer.text);
  const text = trimResult(makeVisible(answer.text), provider.resultChars ?? defaultResultChars);
  return { outcome: { callId: call.id, name, text: fence.wrap(name, text), isError: answer.isError }, record };
}
