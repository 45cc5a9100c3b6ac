import type { ToolDefinition } from '@coral/tools';
import type { Diagnosis, Verdict } from '@coral/diagnosis';

export interface ToolCall {
  /** Unique within the conversation. */
  id: string;
  name: string;
  args: Record<string, unknown>;
  /** The arguments were no JSON object: the text as the model wrote it. Such a call is answered, never made. */
  malformed?: string;
}

/**
 * A reply in the provider's own form, for what must go back to it unchanged: signed thinking, encrypted reasoning. JSON.
 * Only the provider that made it reads it.
 */
export interface NativeReply {
  provider: string;
  model: string;
  content: unknown;
}

/** What came back of one call: the envelope as JSON text, or the error's body with `isError`. */
export interface ToolOutcome {
  callId: string;
  name: string;
  /** In `turns` this text is fenced: see fence.ts. */
  text: string;
  isError: boolean;
}

export type Turn =
  | { role: 'user'; text: string }
  | { role: 'assistant'; text: string; toolCalls: ToolCall[]; native?: NativeReply }
  | { role: 'tool'; outcomes: ToolOutcome[] };

/** Tokens, as the provider bills them. */
export interface TokenUsage {
  /** All of the prompt, cached or not. */
  inputTokens: number;
  /** Thinking included. */
  outputTokens: number;
  /** Of `inputTokens`: read from the provider's cache. Absent: 0. */
  cacheReadTokens?: number;
  /** Of `inputTokens`: written to it. Absent: 0. */
  cacheWriteTokens?: number;
}

export type ModelEvent =
  | { type: 'text'; text: string }
  | { type: 'tool_call'; call: ToolCall }
  /** Adds to what was reported before. */
  | ({ type: 'usage' } & TokenUsage)
  /** It works, and has nothing to show: a ping, a piece of thinking. */
  | { type: 'alive' }
  /** At most once, before `stop`. */
  | { type: 'native'; reply: NativeReply }
  /** Only from providers that reason in structures (`builtin`). */
  | { type: 'finding'; diagnosis: Diagnosis }
  /** How sure an answer without a finding is, from providers that know; else it is read from the text. */
  | { type: 'verdict'; verdict: Verdict }
  | { type: 'stop'; reason: 'end' | 'tool_use' | 'max_tokens' | 'refusal' };

export interface ModelRequest {
  system: string;
  turns: readonly Turn[];
  /** Those that may be called now. */
  tools: readonly ToolDefinition[];
  /**
   * In the last step of a budget, when `tools` is empty: the tools of the turns before. APIs that want every tool of the
   * history declared are told these, and that none may be called (`tool_choice: none`); so their cache holds, too.
   */
  withheld?: readonly ToolDefinition[];
  signal: AbortSignal;
}

/** One model behind one API. Errors are {@link ProviderFailed}, or CoralError of kind `cancelled`. It tries once: the loop retries. */
export interface Provider {
  /** `builtin`, `anthropic`, … */
  readonly name: string;
  readonly model: string;
  /** False when questions and telemetry leave this machine. */
  readonly local: boolean;
  /** Tokens that prompt and answer may have together. Absent: unknown. */
  readonly contextTokens?: number;
  /** Characters of one tool result that it can take; longer ones are cut. Absent: {@link defaultResultChars}. */
  readonly resultChars?: number;
  respond(request: ModelRequest): AsyncIterable<ModelEvent>;
}
