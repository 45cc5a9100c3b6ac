import type { ToolDefinition } from '@coral/tools';
import { CoralError } from '@coral/errors';
import { Board, type Wanted } from './builtin/board.js';
import { intentOf } from './builtin/intent.js';
import { readOut } from './builtin/readouts.js';
import { missingTools, Walk } from './builtin/walk.js';
import type { ModelEvent, ModelRequest, Provider } from './provider.js';

/**
 * No model at all: the deterministic diagnosis of libs/diagnosis walks the same tools a model would. It remembers nothing;
 * each step is read from the turns, so that the loop, the budget and the transcript are those of every provider.
 */
export class BuiltinProvider implements Provider {
  readonly name = 'builtin';
  readonly model = 'diagnosis';
  readonly local = true;
  readonly resultChars = Number.POSITIVE_INFINITY;

  // oxlint-disable-next-line typescript/require-await -- the port is asynchronous, this provider never waits
  async *respond({ turns, tools, signal }: ModelRequest): AsyncGenerator<ModelEvent> {
    if (signal.aborted)
      throw new CoralError({ kind: 'cancelled', reason: 'cancelled', message: 'The question was cancelled.' });
    const board = new Board(turns);
    yield { type: 'usage', inputTokens: 0, outputTokens: 0 };
    if (isShut(board, tools)) {
      yield { type: 'verdict', verdict: 'INCONCLUSIVE' };
      yield* speak(shutText(board, tools));
      return;
    }
    const intent = intentOf(board.question);
    if (intent !== 'diagnosis') {
      const readout = readOut(intent, board, tools);
      if (readout.do === 'call') yield* ask(board, readout.calls);
      else {
        yield { type: 'verdict', verdict: readout.sure ? 'CONFIRMED' : 'INCONCLUSIVE' };
        yield* speak(readout.text);
      }
      return;
    }
    const move = new Walk(board, tools).next();
    if (move.do === 'call') {
      yield* ask(board, move.calls);
      return;
    }
    yield { type: 'finding', diagnosis: move.diagnosis };
    yield* speak(move.diagnosis.text);
  }
}

function* ask(board: Board, calls: readonly Wanted[]): Generator<ModelEvent> {
  for (const [i, { name, args }] of calls.entries()) {
    yield { type: 'tool_call', call: { id: `call-${board.size + i + 1}`, name, args } };
  }
  yield { type: 'stop', reason: 'tool_use' };
}

/** Sentence by sentence: what is there can be read while the rest comes. */
function* speak(text: string): Generator<ModelEvent> {
  for (const piece of text.match(/[^]*?(?:[.!?](?:\s+|$)|\n|$)/g) ?? [])
    if (piece !== '') yield { type: 'text', text: piece };
  yield { type: 'stop', reason: 'end' };
}

/** True when nothing was and nothing can be looked at. */
function isShut(board: Board, tools: readonly ToolDefinition[]): boolean {
  const answers = board.all();
  if (answers.some((answer) => answer.is === 'data')) return false;
  return tools.length === 0 || isRefusedThroughout(board, tools);
}

/** Every tool that the walk uses and that is open was asked, and each said no. */
function isRefusedThroughout(board: Board, tools: readonly ToolDefinition[]): boolean {
  const used = ['coral_get_health', 'coral_get_topology', 'coral_query', 'coral_query_events'];
  const open = tools.filter((tool) => used.includes(tool.name)).length;
  return board.askedTools().size >= open;
}

function shutText(board: Board, tools: readonly ToolDefinition[]): string {
  const refusals = missingTools(board, tools);
  if (refusals.length > 0) return `Nothing could be looked at. ${refusals.map((refusal) => `${refusal}.`).join(' ')}`;
  return 'Nothing could be looked at: no tool is open to you. Ask whoever keeps the policy for read:health, read:topology, read:metrics and read:events.';
}
