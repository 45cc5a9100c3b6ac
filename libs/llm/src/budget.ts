import type { Clock } from '@coral/model';
import { systemAlarm, type Alarm } from './retry.js';

/** What one question may cost. Each limit ends in the best answer so far, labelled as partial. */
export interface Budget {
  /** Times the model is asked. */
  maxSteps: number;
  /** Calls that are not made, for an unknown tool or with broken arguments, count too. */
  maxToolCalls: number;
  /** Wall time of the whole conversation. */
  maxSeconds: number;
  /** Input and output together, as the provider reports them. Absent: no limit. */
  maxTokens?: number;
  /** US dollars. Absent, or with a price that is not known: no limit. */
  maxUsd?: number;
  /** How long a provider may be silent before its reply counts as failed. Absent: {@link defaultStallSeconds}. */
  maxStallSeconds?: number;
  /** Tool calls under way at once. */
  maxParallel?: number;
}

export const defaultParallelCalls = 4;

/** Models think for a minute without a word; the APIs send pings meanwhile. */
export const defaultStallSeconds = 90;

/** Aborts at the end of the time budget and when the caller does; `reason` says which came first. */
export class Deadline implements Disposable {
  readonly signal: AbortSignal;
  private readonly ends: number;
  private readonly time = new AbortController();
  private readonly cancelAlarm: () => void;

  constructor(
    private readonly clock: Clock,
    budget: Budget,
    private readonly outer: AbortSignal,
    alarm: Alarm = systemAlarm,
  ) {
    this.ends = clock.monotonic() + budget.maxSeconds * 1_000;
    this.cancelAlarm = alarm(budget.maxSeconds * 1_000, () => this.time.abort());
    this.signal = AbortSignal.any([outer, this.time.signal]);
  }

  /** Undefined while there is time. */
  get reason(): 'seconds' | 'cancelled' | undefined {
    if (this.outer.aborted) return 'cancelled';
    return this.time.signal.aborted || this.clock.monotonic() >= this.ends ? 'seconds' : undefined;
  }

  get msLeft(): number {
    return this.reason === undefined ? this.ends - this.clock.monotonic() : 0;
  }

  /** The work's result, or undefined as soon as time is up, whether the work notices or not. */
  async race<T>(work: Promise<T>): Promise<T | undefined> {
    const { signal } = this;
    const { promise: over, resolve } = Promise.withResolvers<undefined>();
    const listener = (): void => resolve(undefined);
    if (signal.aborted) listener();
    signal.addEventListener('abort', listener, { once: true });
    try {
      return await Promise.race([work, over]);
    } catch (thrown) {
      // What fails because it was aborted has not failed.
      if (signal.aborted) return undefined;
      throw thrown;
    } finally {
      signal.removeEventListener('abort', listener);
      // It goes on without us; its failure is nobody's news any more.
      work.catch(() => undefined);
    }
  }

  [Symbol.dispose](): void {
    this.cancelAlarm();
  }
}
