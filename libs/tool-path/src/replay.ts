import { createHash } from 'node:crypto';
import { canonicalJson, type JsonValue } from '@coral/audit';
import type { Clock } from '@coral/model';
import type { ToolArgs, ToolName } from '@coral/tools';
import type { ToolOutcome } from './call-record.js';
import type { VerifiedCaller } from './caller.js';
import type { ToolAnswer } from './contract.js';
import { IdempotencyKeyReused } from './tool-path.errors.js';

/** How long a finished answer waits for a retry. */
export const replayMs = 5 * 60_000;
/** Finished answers kept, together; the oldest go first. */
export const maxReplayedAnswers = 1_000;
export const maxReplayedBytes = 32 * 1024 * 1024;

export interface Performed {
  answer: ToolAnswer;
  outcome: ToolOutcome;
  intentSeq: number;
  /** Whether a retry is given this answer rather than a new try. */
  isFinal: boolean;
}

interface Attempt {
  fingerprint: string;
  performed: Promise<Performed>;
  waiting: number;
  nobodyWaits: AbortController;
  /** Set when finished: monotonic ms and size. */
  finished?: { at: number; bytes: number };
}

export interface Shared extends Performed {
  /** True for all but the call that did the work. */
  replayed: boolean;
}

/** Runs a call once for all its retries: they join it while it runs and get the same answer for a while after. */
export class Replays {
  readonly #clock: Clock;
  readonly #attempts = new Map<string, Attempt>();
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * `perform` gets a signal that aborts when every caller that waits has gone away. Throws `idempotency_key_reused` when the
   * caller used the key for another call.
   */
  async share(
    call: { caller: VerifiedCaller; key: string; tool: ToolName; args: ToolArgs; signal: AbortSignal },
    perform: (callers: AbortSignal) => Promise<Performed>,
  ): Promise<Shared> {
    const { caller, key, tool, args, signal } = call;
    this.#forgetOld();
    const name = JSON.stringify([caller.userId, caller.agentId, key]);
    const text = canonicalJson([tool, { ...args } as JsonValue]);
    const fingerprint = createHash('sha256').update(text).digest('hex');
    const earlier = this.#attempts.get(name);
    if (earlier) {
      if (earlier.fingerprint !== fingerprint) throw new IdempotencyKeyReused();
      if (!earlier.nobodyWaits.signal.aborted) {
        join(earlier, signal);
        return { ...(await earlier.performed), replayed: true };
      }
    }
    const nobodyWaits = new AbortController();
    const attempt: Attempt = { fingerprint, nobodyWaits, waiting: 0, performed: perform(nobodyWaits.signal) };
    this.#attempts.set(name, attempt);
    join(attempt, signal);
    try {
      const performed = await attempt.performed;
      if (performed.isFinal) this.#keep(name, attempt, performed);
      else this.#forget(name, attempt);
      return { ...performed, replayed: false };
    } catch (thrown) {
      this.#forget(name, attempt);
      throw thrown;
    }
  }

  #keep(name: string, attempt: Attempt, { answer }: Performed): void {
    // Only the latest attempt under a name counts: one that everybody left may have been followed by another.
    if (this.#attempts.get(name) !== attempt) return;
    // Body and text.
    const bytes = 2 * Buffer.byteLength(answer.text, 'utf8');
    attempt.finished = { at: this.#clock.monotonic(), bytes };
    this.#bytes += bytes;
    // Last in the map: finished attempts stand in the order of finishing.
    this.#attempts.delete(name);
    this.#attempts.set(name, attempt);
    this.#forgetOld();
  }

  #forget(name: string, attempt: Attempt): void {
    if (this.#attempts.get(name) !== attempt) return;
    this.#attempts.delete(name);
    this.#bytes -= attempt.finished?.bytes ?? 0;
  }

  #forgetOld(): void {
    const now = this.#clock.monotonic();
    let finished = [...this.#attempts.values()].filter((attempt) => attempt.finished).length;
    for (const [name, attempt] of this.#attempts) {
      if (!attempt.finished) continue;
      const tooOld = now - attempt.finished.at >= replayMs;
      if (!tooOld && finished <= maxReplayedAnswers && this.#bytes <= maxReplayedBytes) break;
      this.#forget(name, attempt);
      finished -= 1;
    }
  }
}

function join(attempt: Attempt, signal: AbortSignal): void {
  attempt.waiting += 1;
  const leave = (): void => {
    attempt.waiting -= 1;
    if (attempt.waiting === 0 && !attempt.finished) attempt.nobodyWaits.abort();
  };
  if (signal.aborted) leave();
  else signal.addEventListener('abort', leave, { once: true });
}
