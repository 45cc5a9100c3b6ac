import type { Conversation, ConversationEvent } from '@coral/llm';
import { errorBody } from '../report-error.js';
import { coverageLines } from '../view/envelope-view.js';
import { visible, visibleJson, visibleLine } from '../view/visible.js';
import { count } from '../view/words.js';
import type { AskOutcome } from './ask-session.js';
import { formatCost, formatUsage } from './model-costs.js';

export interface AnswerViewOptions {
  stdout: Output;
  stderr: Output;
  mode: 'stream' | 'whole' | 'json';
}

interface Output {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
}

/**
 * The answer on stdout and nothing else there; what is being done, the gaps and the footer on stderr. Text from models
 * and telemetry is made harmless on its way out.
 */
export class AnswerView {
  #printed = '';

  constructor(private readonly options: AnswerViewOptions) {}

  onEvent(event: ConversationEvent): void {
    if (event.type === 'text') {
      if (this.options.mode === 'stream') this.#print(event.text);
      return;
    }
    if (event.type === 'tool_finished') {
      const size = event.bytes < 1_000 ? `${event.bytes} B` : `${(event.bytes / 1_000).toFixed(1)} kB`;
      const args = Object.entries(event.args).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
      const words = [event.name, ...args].join(' ').slice(0, 100);
      this.say(`  ${words} · ${Math.round(event.ms)} ms · ${event.isError ? 'refused' : size}`);
      return;
    }
    if (event.type === 'retry') {
      const { failure, attempt, of, waitMs } = event;
      this.say(`${failure.reason}: ${failure.message} Trying again in ${seconds(waitMs)} (${attempt} of ${of}).`);
    }
  }

  /** One line for people. Never on stdout. */
  say(line: string): void {
    // On one terminal both streams share the cursor.
    if (this.options.stderr.isTTY && this.options.stdout.isTTY) this.#endLine();
    this.options.stderr.write(`${visibleLine(line)}\n`);
  }

  /** The end of a conversation that was answered, in whole or in part. */
  finish(question: string, outcome: AskOutcome, elapsedMs: number): void {
    const { conversation, coverage, agentId } = outcome;
    if (this.options.mode === 'json') {
      this.options.stdout.write(`${visibleJson(answerJson(question, outcome, elapsedMs))}\n`);
      return;
    }
    // A stream may end before the whole answer was sent, or bring none: what is missing follows.
    if (this.#printed === '') this.#print(conversation.answer);
    this.#endLine();
    coverageLines(coverage).forEach((line) => this.say(line));
    const { unsupported } = conversation;
    if (unsupported.length > 0) this.say(`In no tool result: ${unsupported.join(', ')}`);
    this.say(footer(conversation, agentId, elapsedMs));
  }

  /** The end of one that was not: what was printed stays, on a line of its own. */
  breakOff(): void {
    if (this.options.mode !== 'json') this.#endLine();
  }

  #print(text: string): void {
    const harmless = visible(text);
    this.#printed += harmless;
    this.options.stdout.write(harmless);
  }

  #endLine(): void {
    if (this.#printed !== '' && !this.#printed.endsWith('\n')) this.#print('\n');
  }
}

/** `5 tools · 0 in / 0 out tokens · $0.00 · 1.4 s · lease eph-…` */
export function footer({ toolCalls, usage, costUsd }: Conversation, agentId: string, elapsedMs: number): string {
  return [
    count(toolCalls.length, 'tool'),
    formatUsage(usage),
    formatCost(costUsd),
    seconds(elapsedMs),
    `lease ${agentId}`,
  ].join(' · ');
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

/** The object of `coral ask --json`: names and units are the tools' own. */
export function answerJson(
  question: string,
  { conversation, coverage, agentId }: AskOutcome,
  elapsedMs: number,
): object {
  const { diagnosis } = conversation;
  return {
    question,
    answer: conversation.answer,
    verdict: conversation.verdict,
    cause: wireCause(diagnosis?.cause ?? null),
    evidence: diagnosis?.evidence ?? [],
    tools: conversation.toolCalls.map((call) => ({
      name: call.name,
      args: call.args,
      ms: Math.round(call.ms),
      bytes: call.bytes,
      is_error: call.isError,
    })),
    usage: wireUsage(conversation.usage),
    cost_usd: conversation.costUsd,
    seconds: Math.round(elapsedMs) / 1_000,
    coverage,
    partial: conversation.partial,
    ...(conversation.partialReason ? { partial_reason: conversation.partialReason } : {}),
    ...(conversation.failure ? { error: errorBody(conversation.failure) } : {}),
    unsupported: conversation.unsupported,
    agent_id: agentId,
  };
}

/** The cached ones are part of the input; left out where nothing was. */
export function wireUsage({ inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens }: Conversation['usage']) {
  return {
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    ...(cacheReadTokens ? { cache_read_tokens: cacheReadTokens } : {}),
    ...(cacheWriteTokens ? { cache_write_tokens: cacheWriteTokens } : {}),
  };
}

export function wireCause(cause: NonNullable<Conversation['diagnosis']>['cause']): object | null {
  if (!cause) return null;
  const { previousVersion, ...rest } = cause;
  return { ...rest, ...(previousVersion === undefined ? {} : { previous_version: previousVersion }) };
}
