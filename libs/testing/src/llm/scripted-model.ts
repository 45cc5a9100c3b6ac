import type { HttpFault } from './http-faults.js';

/** One result of a tool, as the model got it: fenced. */
export interface ScriptedResult {
  callId: string;
  /** Of the call it answers. */
  name: string;
  text: string;
  isError: boolean;
}

/** What a request asked, whatever the protocol. */
export interface ScriptedRequest {
  /** 0 for the first that took a step of the script. */
  index: number;
  model: string;
  system: string;
  /** The newest text of the user. */
  question: string;
  /** Names of the tools that may be called now. */
  tools: string[];
  /** Results that came with the newest message. */
  results: ScriptedResult[];
  /** Results of the whole conversation, oldest first. */
  allResults: ScriptedResult[];
  /** As it came over the wire, parsed. */
  body: Record<string, unknown>;
}

/** A piece of a reply. Parts follow each other in the stream as they stand in the script. */
export type ScriptedPart =
  /** Each string is one delta. */
  | { say: string | readonly string[] }
  /** `json` instead of `args`: the arguments as text, for JSON that is none. */
  | { call: string; args?: Record<string, unknown>; json?: string; id?: string }
  /** Thinking that comes back signed (or encrypted); it has to be returned unchanged. */
  | { think: string | readonly string[] }
  /** Thinking that is not shown at all. */
  | { redacted: string };

/** Where a reply breaks, and how: after the first delta of the first part of that kind. */
export interface Break {
  in: 'text' | 'tool_call' | 'thinking';
  /** The connection is reset; the body ends as if all were said; nothing more comes; or an error event of that type. */
  by: 'reset' | 'end' | 'silence' | { error: string; message?: string };
}

export interface ScriptedReply {
  parts: readonly ScriptedPart[];
  /** Absent: `tool_use` when a call is among the parts, else `end`. */
  stop?: 'end' | 'tool_use' | 'max_tokens' | 'refusal' | 'pause' | 'context' | 'stop_sequence';
  /** Tokens. Absent: counted from the characters. */
  usage?: { input?: number; output?: number; cacheRead?: number; cacheWrite?: number };
  break?: Break;
  /** After the first delta of the first part of that kind nothing more comes until the promise is settled. */
  hold?: { in: Break['in']; until: Promise<unknown> };
  /** Each byte in a write of its own: no reader may count on events, lines or characters coming whole. */
  byteByByte?: boolean;
  /** Signs of life between the parts, where the protocol has them. */
  pings?: number;
}

export type ScriptedAnswer = ScriptedReply | HttpFault;

/** A function is a model that reads: it sees the request, so that it can answer from real tool results. */
export type ScriptStep = ScriptedAnswer | ((request: ScriptedRequest) => ScriptedAnswer | Promise<ScriptedAnswer>);

/** A model that says what it was told to, one step for each request. */
export class ModelScript {
  /** Requests that took a step. */
  readonly seen: ScriptedRequest[] = [];

  /** `repeatLast`: the last step answers all that follow; else they are a defect of the test and get status 500. */
  constructor(
    private readonly steps: readonly ScriptStep[],
    private readonly repeatLast = false,
  ) {}

  async next(request: Omit<ScriptedRequest, 'index'>): Promise<ScriptedAnswer> {
    const numbered = { ...request, index: this.seen.length };
    this.seen.push(numbered);
    const step = this.steps[numbered.index] ?? (this.repeatLast ? this.steps.at(-1) : undefined);
    if (step === undefined) {
      return { fault: 'status', status: 500, message: `The script has ${this.steps.length} steps, this is one more.` };
    }
    return typeof step === 'function' ? await step(numbered) : step;
  }
}

export function isFault(answer: ScriptedAnswer): answer is HttpFault {
  return 'fault' in answer;
}

/** A reply of text only. */
export function say(...pieces: string[]): ScriptedReply {
  return { parts: [{ say: pieces }] };
}

/** A reply of calls only, all at once: `[name, args]`. */
export function callTools(...calls: [name: string, args?: Record<string, unknown>][]): ScriptedReply {
  return { parts: calls.map(([call, args]) => ({ call, args: args ?? {} })) };
}
