import type { ToolDefinition } from '@coral/tools';
import type { Diagnosis, Verdict } from '@coral/diagnosis';

export interface ToolCall {
  /** Unique within the conversation. */
  id: string;
  name: string;
  args: Record<string, unknown>;
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
  | { role: 'assistant'; text: string; toolCalls: ToolCall[] }
  | { role: 'tool'; outcomes: ToolOutcome[] };

export type ModelEvent =
  | { type: 'text'; text: string }
  | { type: 'tool_call'; call: ToolCall }
  /** Adds to what was reported before. */
  | { type: 'usage'; inputTokens: number; outputTokens: number }
  /** Only from providers that reason in structures (`builtin`). */
  | { type: 'finding'; diagnosis: Diagnosis }
  /** How sure an answer without a finding is, from providers that know; else it is read from the text. */
  | { type: 'verdict'; verdict: Verdict }
  | { type: 'stop'; reason: 'end' | 'tool_use' | 'max_tokens' | 'refusal' };

export interface ModelRequest {
  system: string;
  turns: readonly Turn[];
  tools: readonly ToolDefinition[];
  signal: AbortSignal;
}

/** One model behind one API. Errors are CoralError of kind `provider_failed` or `cancelled`. */
export interface Provider {
  /** `builtin`, `anthropic`, … */
  readonly name: string;
  readonly model: string;
  /** False when questions and telemetry leave this machine. */
  readonly local: boolean;
  /** Characters of one tool result that it can take; longer ones are cut. Absent: {@link defaultResultChars}. */
  readonly resultChars?: number;
  respond(request: ModelRequest): AsyncIterable<ModelEvent>;
}
