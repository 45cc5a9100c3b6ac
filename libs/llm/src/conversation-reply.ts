import type { Diagnosis, Verdict } from '@coral/diagnosis';
import type { Deadline } from './budget.js';
import { ProviderFailed } from './llm.errors.js';
import type { Alarm } from './retry.js';
import type { ModelEvent, ModelRequest, NativeReply, Provider, TokenUsage, ToolCall } from './provider.js';

/** Characters of text in one reply: some fifty times the longest useful answer. */
export const maxReplyChars = 1_000_000;

/** Tool calls in one reply; budgets answer far fewer. */
export const maxCallsInReply = 1_000;

/** What one try of one request brought. */
export interface Reply {
  text: string;
  toolCalls: ToolCall[];
  stop: 'end' | 'tool_use' | 'max_tokens' | 'refusal';
  native?: NativeReply;
  diagnosis?: Diagnosis;
  verdict?: Verdict;
  /** `over`: the time was up, or the caller aborted, before it ended. */
  ended: 'whole' | 'over' | ProviderFailed;
}

interface Listener {
  deadline: Deadline;
  alarm: Alarm;
  /** Milliseconds without an event after which the provider counts as gone. */
  stallMs: number;
  /** Told each piece of text as it comes, never an empty one. */
  onText: (text: string) => void;
  onUsage: (usage: TokenUsage) => void;
}

/** Reads one reply to its end, whatever that is. Throws only what is no {@link ProviderFailed}. */
export async function readReply(
  provider: Provider,
  request: Omit<ModelRequest, 'signal'>,
  listener: Listener,
): Promise<Reply> {
  const reply: Reply = { text: '', toolCalls: [], stop: 'end', ended: 'whole' };
  const attempt = new AbortController();
  const signal = AbortSignal.any([listener.deadline.signal, attempt.signal]);
  const events = provider.respond({ ...request, signal })[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await nextEvent(events, listener, provider);
      // The provider may hang in its own await: it is told, and not waited for.
      if (next === undefined) return leave(events, attempt, { ...reply, ended: 'over' });
      if (next.done === true) return reply;
      take(next.value, reply, listener);
      const tooMuch = excessOf(reply);
      if (tooMuch !== undefined) throw new TooMuch(provider.name, tooMuch);
    }
  } catch (thrown) {
    if (!(thrown instanceof ProviderFailed)) throw thrown;
    return leave(events, attempt, { ...reply, ended: thrown });
  }
}

function leave(events: AsyncIterator<ModelEvent>, attempt: AbortController, reply: Reply): Reply {
  attempt.abort();
  // Whatever still goes wrong in there is nobody's news any more.
  void events.return?.()?.catch(() => undefined);
  return reply;
}

async function nextEvent(
  events: AsyncIterator<ModelEvent>,
  { alarm, deadline, stallMs }: Listener,
  provider: Provider,
): Promise<IteratorResult<ModelEvent> | undefined> {
  const { promise: stalled, reject } = Promise.withResolvers<never>();
  const cancel = alarm(stallMs, () => reject(new Stalled(provider.name, stallMs)));
  try {
    return await deadline.race(Promise.race([events.next(), stalled]));
  } finally {
    cancel();
  }
}

function take(event: ModelEvent, reply: Reply, { onText, onUsage }: Listener): void {
  switch (event.type) {
    case 'text':
      reply.text += event.text;
      if (event.text !== '') onText(event.text);
      break;
    case 'tool_call':
      reply.toolCalls.push(event.call);
      break;
    case 'usage':
      onUsage(event);
      break;
    case 'native':
      reply.native = event.reply;
      break;
    case 'finding':
      reply.diagnosis = event.diagnosis;
      break;
    case 'verdict':
      reply.verdict = event.verdict;
      break;
    case 'stop':
      reply.stop = event.reason;
      break;
    case 'alive':
      break;
  }
}

function excessOf(reply: Reply): string | undefined {
  if (reply.text.length > maxReplyChars) return `more than ${maxReplyChars} characters`;
  return reply.toolCalls.length > maxCallsInReply ? `more than ${maxCallsInReply} tool calls` : undefined;
}

class TooMuch extends ProviderFailed {
  constructor(provider: string, what: string) {
    super({
      provider,
      failure: 'provider_protocol',
      message: `${provider} sent ${what} in one reply, which no model does by intention.`,
      next: 'Ask again, or use another model with --model.',
    });
  }
}

class Stalled extends ProviderFailed {
  constructor(provider: string, ms: number) {
    super({
      provider,
      failure: 'provider_stalled',
      message: `${provider} gave no sign of life for ${ms / 1_000} s.`,
    });
  }
}
