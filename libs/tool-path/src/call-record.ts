import type { AuditEntry, JsonValue } from '@coral/audit';
import type { CoralError, ErrorKind } from '@coral/errors';
import type { Clock } from '@coral/model';
import type { ClaimedCaller, Verification, VerifiedCaller } from './caller.js';
import type { MalformedRequest } from './contract.js';
import type { Verdict } from './permission.js';
import type { Redactor } from './redact.js';
import type { Performed } from './replay.js';

export type ToolOutcome = 'ok' | 'denied' | 'invalid' | 'error' | 'cancelled' | 'deadline' | 'unauthenticated';

type Payload = Record<string, JsonValue | undefined>;

/** Texts of clients are recorded up to this length. */
const maxClientText = 256;

const outcomes: Partial<Record<ErrorKind, ToolOutcome>> = {
  invalid_argument: 'invalid',
  permission_denied: 'denied',
  unauthenticated: 'unauthenticated',
  cancelled: 'cancelled',
  deadline_exceeded: 'deadline',
};

export function outcomeOf(error: CoralError): ToolOutcome {
  return error.reason === 'unknown_tool' ? 'invalid' : (outcomes[error.kind] ?? 'error');
}

export interface Finished {
  outcome: ToolOutcome;
  error?: CoralError | undefined;
  /** The answer's text; undefined when none leaves. */
  text?: string | undefined;
  /** The envelope's coverage: which agents were asked and which answered. */
  coverage?: JsonValue | undefined;
  intentSeq?: number;
  /** Intent of the call whose answer this one was given. */
  replayOf?: number;
}

/** What is known of one call so far, and the rows that say it. */
export class CallRecord {
  #caller: VerifiedCaller | undefined;
  #claimed: ClaimedCaller | undefined;
  verdict: Verdict | undefined;
  /** The canonical arguments once there are any; until then what came in. */
  args: unknown;
  /** Set once the rest of the path writes the rows of this call itself. */
  leavesItsRows = false;
  /** Set with the first row, from which on nothing of it changes. */
  #common: Payload | undefined;
  /** Wall clock ms. */
  readonly startedAt: number;
  readonly #startedMonotonic: number;
  readonly #request: MalformedRequest;
  readonly #redactor: Redactor;
  readonly #clock: Clock;

  constructor(request: MalformedRequest, redactor: Redactor, clock: Clock) {
    this.#request = request;
    this.#redactor = redactor;
    this.#clock = clock;
    this.args = request.args;
    this.startedAt = clock.now();
    this.#startedMonotonic = clock.monotonic();
  }

  identify(verification: Verification): void {
    if (verification.caller) {
      this.#caller = verification.caller;
    } else {
      this.#caller = verification.known;
      this.#claimed = verification.claimed;
    }
  }

  intent(): AuditEntry {
    return this.#entry('tool_call.intent', {});
  }

  /** A call that ended before its intent. */
  refusal(error: CoralError, text: string | undefined): AuditEntry {
    return this.outcome({ outcome: outcomeOf(error), error, text });
  }

  /** A retry that was given the answer of an earlier call. */
  replay({ outcome, answer, intentSeq }: Performed): AuditEntry {
    return this.outcome({ outcome, text: answer.text, replayOf: intentSeq });
  }

  outcome({ outcome, error, text, coverage, intentSeq, replayOf }: Finished): AuditEntry {
    return this.#entry('tool_call.outcome', {
      outcome,
      error_reason: error?.reason,
      error_message: error && this.#redactor.redactText(error.message),
      response_size_bytes: text === undefined ? undefined : Buffer.byteLength(text, 'utf8'),
      execution_time_ms: Math.round(this.#clock.monotonic() - this.#startedMonotonic),
      agents: coverage,
      intent_seq: intentSeq,
      replay_of: replayOf,
    });
  }

  #entry(kind: AuditEntry['kind'], more: Payload): AuditEntry {
    const caller = this.#caller;
    // Both rows of a call begin alike. What is not known is undefined: the log leaves it out.
    const payload = { ...(this.#common ??= this.#told()), ...more } as AuditEntry['payload'];
    return { kind, user_id: caller?.userId ?? null, agent_id: caller?.agentId ?? null, payload };
  }

  #told(): Payload {
    const { name, door, audience, remoteAddress, peer, idempotencyKey, clientInfo } = this.#request;
    const caller = this.#caller;
    return {
      tool_name: name?.slice(0, maxClientText) ?? '',
      // Of a caller that nobody knows the arguments are not kept: the colony's disk is not for strangers to fill.
      tool_args: caller ? this.#redactor.redact(this.args) : undefined,
      door,
      audience,
      remote_address: remoteAddress,
      peer,
      token_id: caller?.tokenId,
      ...this.#claimed,
      idempotency_key: idempotencyKey?.slice(0, maxClientText),
      client_info: clientInfo?.slice(0, maxClientText),
      decision: this.verdict && { ...this.verdict.decision },
      policy_revision: this.verdict?.policyRevision,
    };
  }
}
