import { randomUUID } from 'node:crypto';
import type { Diagnosis, Verdict } from '@coral/diagnosis';
import { systemClock, type Clock } from '@coral/model';
import type { ToolDefinition } from '@coral/tools';
import { findUnsupported } from './answer-check.js';
import { Deadline, defaultStallSeconds, type Budget } from './budget.js';
import { Meter } from './budget-meter.js';
import { wordsFor, type PartialReason } from './budget-words.js';
import { readReply, type Reply } from './conversation-reply.js';
import { fitWindow } from './conversation-window.js';
import { Fence, unfence } from './fence.js';
import { ProviderFailed } from './llm.errors.js';
import type { ModelPrice } from './prices.js';
import type { ModelRequest, Provider, TokenUsage, ToolCall, ToolOutcome, Turn } from './provider.js';
import { maxTries, nextTry, sleepBy, systemAlarm, type Alarm, type Sleep } from './retry.js';
import { systemPrompt } from './system-prompt.js';
import { callIdsIn, runToolCalls, tidyCalls, type ToolCallRecord } from './tool-calls.js';

export type ConversationEvent =
  | { type: 'text'; text: string }
  | { type: 'tool_started'; call: ToolCall }
  | ({ type: 'tool_finished'; call: ToolCall } & ToolCallRecord)
  | ({ type: 'usage' } & TokenUsage)
  /** A request failed and is sent again after `waitMs`: try `attempt` of `of`. */
  | { type: 'retry'; failure: ProviderFailed; attempt: number; of: number; waitMs: number };

/** One question and all that came of it. */
export interface Conversation {
  /** The last thing said; when `partial` it ends with a line that says why. */
  answer: string;
  /** As the provider saw them: tool results fenced and cut to its window. Each call in them has its outcome. */
  turns: Turn[];
  toolCalls: ToolCallRecord[];
  /** Of failed tries too. */
  usage: TokenUsage;
  /** US dollars; 0 for a provider on this machine, null when the price is not known. */
  costUsd: number | null;
  verdict: Verdict;
  diagnosis?: Diagnosis;
  partial: boolean;
  partialReason?: PartialReason;
  /** With `provider_failed`: what remained after the last try. */
  failure?: ProviderFailed;
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
  /** Of the provider's model. Absent: not known, and `budget.maxUsd` cannot be held. */
  price?: ModelPrice | undefined;
  /** Called at once for each; a throw ends the conversation. */
  onEvent?: (event: ConversationEvent) => void;
  /** Runs one call. What the model can mend comes back with `isError`; a throw ends the conversation. */
  callTool: (call: ToolCall, signal: AbortSignal) => Promise<ToolOutcome>;
  /** Earlier turns of the same conversation. */
  history?: readonly Turn[];
  clock?: Clock;
  /** For the time budget and the stall watch. */
  alarm?: Alarm;
  /** Between tries. Default: by `alarm`. */
  sleep?: Sleep;
  /** 0 to 1. */
  random?: () => number;
}

/**
 * Lets a provider ask tools until it has an answer. Ends in an answer, whole or partial, also when the budget runs out,
 * the provider fails or the caller aborts; rejects only when a tool call throws, or the provider with something that is
 * no {@link ProviderFailed}.
 */
export async function converse(options: ConverseOptions): Promise<Conversation> {
  return await new Loop(options).run();
}

class Loop {
  private turns: Turn[];
  private readonly records: ToolCallRecord[] = [];
  private readonly sources: string[] = [];
  private readonly silent = new Set<string>();
  private readonly fence = new Fence(`tool-result-${randomUUID().slice(0, 8)}`);
  private readonly clock: Clock;
  private readonly alarm: Alarm;
  private readonly meter: Meter;
  /** Made, refused and malformed ones. */
  private callsWanted = 0;
  private diagnosis: Diagnosis | undefined;
  private verdict: Verdict | undefined;

  constructor(private readonly options: ConverseOptions) {
    this.clock = options.clock ?? systemClock;
    this.alarm = options.alarm ?? systemAlarm;
    this.meter = new Meter(options.price, options.provider.local);
    const question = options.question.toWellFormed();
    this.turns = [...(options.history ?? []), { role: 'user', text: question }];
    this.sources.push(question);
  }

  async run(): Promise<Conversation> {
    const { budget, signal } = this.options;
    using deadline = new Deadline(this.clock, budget, signal, this.alarm);
    let said = '';
    for (let step = 1; ; step += 1) {
      const spent = deadline.reason ?? this.meter.spent(budget);
      if (spent !== undefined) return this.finish(said, spent);
      const last = this.lastStep(step);
      const reply = await this.ask(last !== undefined, deadline);
      if (reply.text !== '') said = reply.text;
      this.diagnosis = reply.diagnosis ?? this.diagnosis;
      this.verdict = reply.verdict ?? this.verdict;
      const stopped = reply.stop === 'max_tokens' || reply.stop === 'refusal' ? reply.stop : undefined;
      const calls = reply.ended === 'whole' && stopped === undefined && last === undefined ? reply.toolCalls : [];
      const complete = await this.answerCalls(reply, calls, deadline);
      if (reply.ended instanceof ProviderFailed) return this.finish(said, 'provider_failed', reply.ended);
      if (reply.ended === 'over') return this.finish(said, deadline.reason ?? 'cancelled');
      if (stopped !== undefined) return this.finish(said, stopped);
      // A first step that needs no tool is no forced end, even when the budget is one step.
      if (last !== undefined)
        return this.finish(said, this.callsWanted > 0 || reply.toolCalls.length > 0 ? last : undefined);
      if (reply.toolCalls.length === 0) return this.finish(said, undefined);
      if (!complete) return this.finish(said, deadline.reason ?? 'cancelled');
    }
  }

  /** The last step of a budget is for the answer: without tools, so that it is not spent on one more question. */
  private lastStep(step: number): PartialReason | undefined {
    const { budget } = this.options;
    if (step >= budget.maxSteps) return 'steps';
    return this.callsWanted >= budget.maxToolCalls ? 'tool_calls' : this.meter.nearlySpent(budget);
  }

  /** One request, sent again while it fails in a way that may pass and nothing of its reply was shown. */
  private async ask(last: boolean, deadline: Deadline): Promise<Reply> {
    const { budget, provider, random = Math.random, sleep = sleepBy(this.alarm) } = this.options;
    const request = this.request(last);
    for (let tried = 1; ; tried += 1) {
      this.meter.startRequest();
      const reply = await readReply(provider, request, {
        deadline,
        alarm: this.alarm,
        stallMs: (budget.maxStallSeconds ?? defaultStallSeconds) * 1_000,
        onText: (text) => this.emit({ type: 'text', text }),
        onUsage: (usage) => {
          this.meter.add(usage);
          this.emit({ ...usage, type: 'usage' });
        },
      });
      const failure = reply.ended;
      if (!(failure instanceof ProviderFailed) || reply.text !== '') return reply;
      const next = nextTry(failure, { tried, msLeft: deadline.msLeft, random: random() });
      if ('giveUp' in next) return { ...reply, ended: next.giveUp };
      if (this.meter.spent(budget) !== undefined) return reply;
      this.emit({ type: 'retry', failure, attempt: tried + 1, of: maxTries, waitMs: next.wait });
      await deadline.race(sleep(next.wait, deadline.signal));
      if (deadline.reason !== undefined) return { ...reply, ended: 'over' };
    }
  }

  private request(last: boolean): Omit<ModelRequest, 'signal'> {
    const { tools, provider } = this.options;
    const system = systemPrompt(tools);
    this.turns = fitWindow(this.turns, { system, tools, window: provider.contextTokens });
    return { system, turns: [...this.turns], tools: last ? [] : tools, ...(last ? { withheld: tools } : {}) };
  }

  /**
   * Keeps what was said, and the answers to `calls`, the ones of the reply that may be made. Others are not kept, nor the
   * native form that holds them: an API refuses a history with a call that has no outcome. False when time ran out.
   */
  private async answerCalls(reply: Reply, calls: readonly ToolCall[], deadline: Deadline): Promise<boolean> {
    const { budget } = this.options;
    const { calls: tidy, changed } = tidyCalls(calls, callIdsIn(this.turns));
    const whole = reply.ended === 'whole' && (reply.stop === 'end' || reply.stop === 'tool_use');
    const asSaid = whole && calls.length === reply.toolCalls.length && !changed;
    const native = asSaid && reply.native !== undefined ? { native: reply.native } : {};
    if (reply.text === '' && tidy.length === 0) return true;
    this.turns.push({ role: 'assistant', text: reply.text, toolCalls: tidy, ...native });
    if (tidy.length === 0) return true;
    const { outcomes, records, complete } = await runToolCalls(tidy, {
      ...this.options,
      fence: this.fence,
      clock: this.clock,
      deadline,
      callsLeft: budget.maxToolCalls - this.callsWanted,
      emit: (event) => this.emit(event),
      onEnvelopeText: (text) => this.readEnvelope(text),
    });
    this.callsWanted += tidy.length;
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

  private finish(said: string, reason: PartialReason | undefined, failure?: ProviderFailed): Conversation {
    const { budget } = this.options;
    const text = said.trimEnd();
    const label = reason === undefined ? '' : `[Not complete: ${wordsFor(reason, budget, failure?.failure)}.]`;
    const nothing = reason === undefined ? 'The model said nothing.' : 'There is no answer yet.';
    const answer = `${text === '' ? nothing : text}${label === '' ? '' : `\n${label}`}`;
    const unshown = text === '' ? answer : answer.slice(text.length);
    if (unshown !== '') this.emit({ type: 'text', text: unshown });
    const unsupported = findUnsupported(text, {
      texts: [...this.sources, ...this.earlier(), JSON.stringify(this.diagnosis ?? '')],
      words: this.options.tools.flatMap(wordsOf),
    });
    return {
      answer,
      turns: this.turns,
      toolCalls: this.records,
      usage: this.meter.usage,
      costUsd: this.meter.costUsd,
      verdict: this.judge(text, unsupported, reason !== undefined),
      ...(this.diagnosis === undefined ? {} : { diagnosis: this.diagnosis }),
      partial: reason !== undefined,
      ...(reason === undefined ? {} : { partialReason: reason }),
      ...(failure === undefined ? {} : { failure }),
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

function wordsOf({ name, inputSchema: { properties } }: ToolDefinition): string[] {
  return [name, ...Object.keys(typeof properties === 'object' && properties !== null ? properties : {})];
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
