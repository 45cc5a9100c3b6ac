import { randomUUID } from 'node:crypto';
import type { Diagnosis, Verdict } from '@coral/diagnosis';
import { systemClock, type Clock } from '@coral/model';
import type { ToolDefinition } from '@coral/tools';
import { findUnsupported } from './answer-check.js';
import { Deadline, wordsFor, type Budget, type PartialReason } from './budget.js';
import { Fence, unfence } from './fence.js';
import type { Provider, ToolCall, ToolOutcome, Turn } from './provider.js';
import { systemPrompt } from './system-prompt.js';
import { runToolCalls, type ToolCallRecord } from './tool-calls.js';

export type ConversationEvent =
  | { type: 'text'; text: string }
  | { type: 'tool_started'; call: ToolCall }
  | ({ type: 'tool_finished'; call: ToolCall } & ToolCallRecord)
  | { type: 'usage'; inputTokens: number; outputTokens: number };

/** One question and all that came of it. */
export interface Conversation {
  /** The last thing said; when `partial` it ends with a line that says why. */
  answer: string;
  /** As the provider saw them: tool results fenced and cut to its window. */
  turns: Turn[];
  toolCalls: ToolCallRecord[];
  usage: { inputTokens: number; outputTokens: number };
  /** US dollars; 0 for a provider on this machine, null when the price is not known. */
  costUsd: number | null;
  verdict: Verdict;
  diagnosis?: Diagnosis;
  partial: boolean;
  partialReason?: PartialReason;
  /** Numbers and names of the answer that no tool result holds. */
  unsupported: string[];
  /** Agents that some tool result names as silent. */
  silentAgents: string[];
}

export interface ConverseOptions {
  provider: Provider;
  question: string;
  tools: readonly ToolDefinition[];
  budget: Budget;
  signal: AbortSignal;
  /** Called at once for each; a throw ends the conversation. */
  onEvent?: (event: ConversationEvent) => void;
  /** Runs one call. What the model can mend comes back with `isError`; a throw ends the conversation. */
  callTool: (call: ToolCall, signal: AbortSignal) => Promise<ToolOutcome>;
  /** Earlier turns of the same conversation. */
  history?: readonly Turn[];
  clock?: Clock;
}

/**
 * Lets a provider ask tools until it has an answer. Ends in an answer, whole or partial, also when the budget runs out or
 * the caller aborts; rejects only when the provider or a tool call throws for another reason.
 */
export async function converse(options: ConverseOptions): Promise<Conversation> {
  return await new Loop(options).run();
}

/** What one turn of the provider brought. */
interface Reply {
  text: string;
  toolCalls: ToolCall[];
  stop: 'end' | 'tool_use' | 'max_tokens' | 'refusal';
  /** The time was up before it ended. */
  broken: boolean;
}

class Loop {
  private readonly turns: Turn[];
  private readonly records: ToolCallRecord[] = [];
  private readonly sources: string[] = [];
  private readonly silent = new Set<string>();
  private readonly usage = { inputTokens: 0, outputTokens: 0 };
  private readonly fence = new Fence(`tool-result-${randomUUID().slice(0, 8)}`);
  private readonly clock: Clock;
  private diagnosis: Diagnosis | undefined;
  private verdict: Verdict | undefined;

  constructor(private readonly options: ConverseOptions) {
    this.clock = options.clock ?? systemClock;
    this.turns = [...(options.history ?? []), { role: 'user', text: options.question }];
    this.sources.push(options.question);
  }

  async run(): Promise<Conversation> {
    using deadline = new Deadline(this.clock, this.options.budget, this.options.signal);
    const { budget } = this.options;
    let said = '';
    for (let step = 1; ; step += 1) {
      const spent = deadline.reason ?? this.overTokens();
      if (spent !== undefined) return this.finish(said, spent);
      // The last step of a budget is for the answer: without tools, so that it is not spent on one more question.
      const last: PartialReason | undefined =
        step >= budget.maxSteps ? 'steps' : this.records.length >= budget.maxToolCalls ? 'tool_calls' : undefined;
      const reply = await this.ask(last === undefined ? this.options.tools : [], deadline);
      if (reply.text !== '') said = reply.text;
      this.turns.push({ role: 'assistant', text: reply.text, toolCalls: reply.toolCalls });
      if (reply.broken) return this.finish(said, deadline.reason ?? 'cancelled');
      if (reply.stop === 'max_tokens' || reply.stop === 'refusal') return this.finish(said, reply.stop);
      // A first step that needs no tool is no forced end, even when the budget is one step.
      if (last !== undefined)
        return this.finish(said, this.records.length > 0 || reply.toolCalls.length > 0 ? last : undefined);
      if (reply.toolCalls.length === 0) return this.finish(said, undefined);
      if (!(await this.callTools(reply.toolCalls, deadline))) return this.finish(said, deadline.reason ?? 'cancelled');
    }
  }

  private overTokens(): 'tokens' | undefined {
    const { maxTokens } = this.options.budget;
    return maxTokens !== undefined && this.usage.inputTokens + this.usage.outputTokens >= maxTokens
      ? 'tokens'
      : undefined;
  }

  private async ask(tools: readonly ToolDefinition[], deadline: Deadline): Promise<Reply> {
    const { provider } = this.options;
    const reply: Reply = { text: '', toolCalls: [], stop: 'end', broken: false };
    const { signal } = deadline;
    const events = provider
      .respond({ system: systemPrompt(tools), turns: [...this.turns], tools, signal })
      [Symbol.asyncIterator]();
    for (;;) {
      const next = await deadline.race(events.next());
      if (next === undefined) {
        // The provider may hang in its own await: it is told, and not waited for.
        void events.return?.()?.catch(() => undefined);
        return { ...reply, broken: true };
      }
      if (next.done === true) return reply;
      const event = next.value;
      switch (event.type) {
        case 'text':
          reply.text += event.text;
          this.emit({ type: 'text', text: event.text });
          break;
        case 'tool_call':
          reply.toolCalls.push(event.call);
          break;
        case 'usage':
          this.usage.inputTokens += event.inputTokens;
          this.usage.outputTokens += event.outputTokens;
          this.emit(event);
          break;
        case 'finding':
          this.diagnosis = event.diagnosis;
          break;
        case 'verdict':
          this.verdict = event.verdict;
          break;
        case 'stop':
          reply.stop = event.reason;
          break;
      }
    }
  }

  /** False when time ran out before all came back; what came back is kept. */
  private async callTools(calls: readonly ToolCall[], deadline: Deadline): Promise<boolean> {
    const { outcomes, records, complete } = await runToolCalls(calls, {
      ...this.options,
      fence: this.fence,
      clock: this.clock,
      deadline,
      callsLeft: this.options.budget.maxToolCalls - this.records.length,
      emit: (event) => this.emit(event),
      onEnvelopeText: (text) => this.readEnvelope(text),
    });
    this.records.push(...records);
    this.turns.push({ role: 'tool', outcomes });
    return complete;
  }

  private readEnvelope(text: string): void {
    this.sources.push(text);
    for (const agent of silentAgentsOf(text)) this.silent.add(agent);
  }

  private emit(event: ConversationEvent): void {
    this.options.onEvent?.(event);
  }

  private finish(said: string, reason: PartialReason | undefined): Conversation {
    const { budget, provider } = this.options;
    const text = said.trimEnd();
    const label = reason === undefined ? '' : `[Not complete: ${wordsFor(reason, budget)}.]`;
    const answer = [text === '' && reason !== undefined ? 'There is no answer yet.' : text, label]
      .filter((part) => part !== '')
      .join('\n');
    if (label !== '') this.emit({ type: 'text', text: text === '' ? answer : `\n${label}` });
    const unsupported = findUnsupported(text, {
      texts: [...this.sources, ...this.earlier(), JSON.stringify(this.diagnosis ?? '')],
    });
    return {
      answer,
      turns: this.turns,
      toolCalls: this.records,
      usage: this.usage,
      costUsd: provider.local ? 0 : null,
      verdict: this.judge(text, unsupported, reason !== undefined),
      ...(this.diagnosis === undefined ? {} : { diagnosis: this.diagnosis }),
      partial: reason !== undefined,
      ...(reason === undefined ? {} : { partialReason: reason }),
      unsupported,
      silentAgents: [...this.silent].toSorted(),
    };
  }

  /** Tool results of earlier questions still hold. */
  private earlier(): string[] {
    return (this.options.history ?? []).flatMap((turn) =>
      turn.role === 'tool' ? turn.outcomes.map((o) => unfence(o.text)) : [],
    );
  }

  private judge(text: string, unsupported: readonly string[], partial: boolean): Verdict {
    const claimed = this.diagnosis?.verdict ?? this.verdict ?? verdictIn(text);
    if (claimed === undefined || text === '') return 'INCONCLUSIVE';
    // A claim that was cut short, or that names what no tool returned, is not confirmed.
    return claimed === 'CONFIRMED' && (unsupported.length > 0 || partial) ? 'LIKELY' : claimed;
  }
}

function verdictIn(text: string): Verdict | undefined {
  const words = [...text.matchAll(/\b(CONFIRMED|LIKELY|INCONCLUSIVE)\b/g)];
  return words.at(-1)?.[1] as Verdict | undefined;
}

function silentAgentsOf(text: string): string[] {
  try {
    const body = JSON.parse(text) as { coverage?: { silent?: unknown } } | null;
    const silent = body?.coverage?.silent;
    return Array.isArray(silent) ? silent.filter((agent) => typeof agent === 'string') : [];
  } catch {
    // Not an envelope: a text of another tool names no agents.
    return [];
  }
}
