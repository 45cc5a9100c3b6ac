import type { AuditRow } from '@coral/audit';
import { callTools, say, type HttpFault, type ModelScript, type ScriptedReply, type ScriptStep } from '@coral/testing';
import type { Asked, Wire } from '../support/models.js';

/** What goes wrong at a model's end, and what somebody who asks then sees. */
export interface Row {
  what: string;
  /** The last one is repeated without end. */
  steps: readonly ScriptStep[] | ((wire: Wire) => readonly ScriptStep[]);
  /** It goes wrong before any protocol counts: one of them is enough, another for each row. */
  early?: true;
  budget?: Record<string, number>;
  ai?: object;
  /** That the server saw: one that fails is sent at most three times. */
  requests: number;
  ends: Ending;
  /** How the footer begins: what it took so far. */
  footer: RegExp;
  more?: (seen: Seen) => void;
}

export interface Ending {
  /** 5: the provider's failure, 8: a partial answer, 0: an answer all the same. */
  code: 0 | 5 | 8;
  /** With 5 the error's, with 8 why it is partial. */
  reason?: string;
  /** All that stdout holds, but for the end of the line. */
  answer: string | RegExp;
}

export interface Seen {
  asked: Asked;
  /** The answer as it stands on stdout, as text or in the object. */
  answer: string;
  script: ModelScript;
  /** What the colony's audit has of the tools. */
  calls: AuditRow[];
}

const failures = {
  provider_unauthorized: 'the provider did not accept the key',
  provider_quota: 'the account at the provider is used up',
  provider_rate_limited: 'the provider limits how often it may be asked',
  provider_overloaded: 'the provider is overloaded',
  provider_error: 'the provider had an error',
  provider_refused: 'the provider refused the request',
  provider_unreachable: 'the provider could not be reached',
  provider_stream_cut: 'the provider broke off',
  provider_stalled: 'the provider fell silent',
  provider_protocol: 'the provider sent what is not its protocol',
};

const none = 'There is no answer yet.';

/** `shown`: what had been said before. */
export function fails(reason: keyof typeof failures, shown = none): Ending {
  return { code: 5, reason, answer: `${shown}\n[Not complete: ${failures[reason]}.]` };
}

export function partly(reason: string, words: string, shown = none): Ending {
  return { code: 8, reason, answer: `${shown}\n[Not complete: ${words}.]` };
}

export function answers(answer: string | RegExp = wellAnswer): Ending {
  return { code: 0, answer };
}

/** One good step: 1,000 tokens at $2 a million and 100 at $10. */
export const look: ScriptedReply = { ...callTools(['coral_get_health']), usage: { input: 1_000, output: 100 } };
export const well: ScriptedReply = { ...say('All is well.', '\nVERDICT: LIKELY'), usage: look.usage };
const wellAnswer = 'All is well.\nVERDICT: LIKELY';

export const footers = {
  nothing: /^0 tools · 0 in \/ 0 out tokens · \$0\.00 · /,
  oneLook: /^1 tool · 1\.0k in \/ 100 out tokens · \$0\.0030 · /,
  /** Some protocols tell what the prompt of a broken reply cost. */
  oneLookOrMore: /^1 tool · [1-9]\.\dk in \/ 1\d\d out tokens · \$0\.0[01]\d\d · /,
  twoSteps: /^1 tool · 2\.0k in \/ 200 out tokens · \$0\.0060 · /,
};

/** No wait is worth waiting for but where it is looked at. */
export function status(code: number, more: Partial<HttpFault & { fault: 'status' }> = {}): HttpFault {
  return { fault: 'status', status: code, retryAfterMs: '10', ...more };
}
