import type { Clock } from '@coral/model';
import type { ToolDefinition } from '@coral/tools';
import { defaultParallelCalls, type Budget, type Deadline } from './budget.js';
import { defaultResultChars, makeVisible, trimResult, type Fence } from './fence.js';
import type { Provider, ToolCall, ToolOutcome, Turn } from './provider.js';

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

/** Characters of broken arguments that are shown to the model again. */
export const maxEchoedArguments = 300;

/** What the APIs take as a tool's name. A history with another one is refused as a whole. */
const sendableName = /^[\w-]{1,64}$/;

/**
 * Calls as they can stand in a history: ids that none before has, since each call needs an outcome of its own, and names
 * that an API takes back. `changed`: some call is not as the model wrote it.
 */
export function tidyCalls(
  calls: readonly ToolCall[],
  taken: ReadonlySet<string>,
): { calls: ToolCall[]; changed: boolean } {
  const ids = new Set(taken);
  let changed = false;
  const tidy = calls.map((call) => {
    const base = call.id === '' ? 'call' : call.id;
    let id = base;
    for (let n = 2; ids.has(id); n += 1) id = `${base}_${n}`;
    ids.add(id);
    const name = sendableName.test(call.name)
      ? call.name
      : `unknown_${call.name.replaceAll(/[^\w-]/g, '_')}`.slice(0, 64);
    if (id === call.id && name === call.name) return call;
    changed = true;
    return { ...call, id, name };
  });
  return { calls: tidy, changed };
}

export function callIdsIn(turns: readonly Turn[]): Set<string> {
  return new Set(turns.flatMap((turn) => (turn.role === 'assistant' ? turn.toolCalls.map(({ id }) => id) : [])));
}

/**
 * Runs the calls of one turn, a few at a time; their ids differ. Unknown tools, broken arguments and calls beyond the
 * budget are answered without a call.
 */
export async function runToolCalls(calls: readonly ToolCall[], context: Context): Promise<ToolRound> {
  const outcomes = new Map<string, ToolOutcome>();
  const records: ToolCallRecord[] = [];
  const queue: ToolCall[] = [];
  for (const [i, call] of calls.entries()) {
    const refusal = i < context.callsLeft ? refusalOf(call, context) : 'Not made: the budget of tool calls is used up.';
    if (refusal === undefined) queue.push(call);
    else outcomes.set(call.id, failed(call, refusal));
  }
  let complete = true;
  const worker = async (): Promise<void> => {
    for (let call = queue.shift(); call !== undefined; call = queue.shift()) {
      const done = await runOne(call, context);
      if (done === undefined) {
        complete = false;
        outcomes.set(call.id, failed(call, 'There was no time left for this call.'));
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

function failed(call: ToolCall, text: string): ToolOutcome {
  return { callId: call.id, name: call.name, text, isError: true };
}

function refusalOf(call: ToolCall, { tools }: Context): string | undefined {
  if (!tools.some((tool) => tool.name === call.name)) {
    return `There is no tool ${JSON.stringify(call.name)}. Tools: ${tools.map((tool) => tool.name).join(', ')}.`;
  }
  if (call.malformed === undefined) return undefined;
  const { malformed } = call;
  const cut = malformed.length > maxEchoedArguments ? `… (${malformed.length} characters)` : '';
  const echoed = makeVisible(malformed.slice(0, maxEchoedArguments));
  return `Not made: the arguments of ${call.name} were no JSON object. They were: ${echoed}${cut}`;
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
