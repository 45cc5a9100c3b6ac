import type { Clock } from '@coral/model';

/** What one question may cost. Each limit ends in the best answer so far, labelled as partial. */
export interface Budget {
  /** Times the model is asked. */
  maxSteps: number;
  maxToolCalls: number;
  /** Wall time of the whole conversation. */
  maxSeconds: number;
  /** Input and output together, as the provider reports them. Absent: no limit. */
  maxTokens?: number;
  /** Tool calls under way at once. */
  maxParallel?: number;
}

export const defaultParallelCalls = 4;

/** Why an answer is partial. */
export type PartialReason = 'steps' | 'tool_calls' | 'seconds' | 'tokens' | 'cancelled' | 'max_tokens' | 'refusal';

export function wordsFor(reason: PartialReason, { maxSteps, maxToolCalls, maxSeconds, maxTokens }: Budget): string {
  switch (reason) {
    case 'steps':
      return `the limit of ${maxSteps} steps was reached`;
    case 'tool_calls':
      return `the limit of ${maxToolCalls} tool calls was reached`;
    case 'seconds':
      return `the limit of ${maxSeconds} s was reached`;
    case 'tokens':
      return `the limit of ${maxTokens ?? 0} tokens was reached`;
    case 'cancelled':
      return 'it was cancelled';
    case 'max_tokens':
      return 'the model stopped at its output limit';
    case 'refusal':
      return 'the model refused to go on';
  }
}

/** Aborts at the end of the time budget and when the caller does; `reason` says which came first. */
export class Deadline implements Disposable {
  readonly signal: AbortSignal;
  private readonly ends: number;
  private readonly time = new AbortController();
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly clock: Clock,
    budget: Budget,
    private readonly outer: AbortSignal,
  ) {
    this.ends = clock.monotonic() + budget.maxSeconds * 1_000;
    this.timer = setTimeout(() => this.time.abort(), budget.maxSeconds * 1_000);
    this.signal = AbortSignal.any([outer, this.time.signal]);
  }

  /** Undefined while there is time. */
  get reason(): 'seconds' | 'cancelled' | undefined {
    if (this.outer.aborted) return 'cancelled';
    return this.time.signal.aborted || this.clock.monotonic() >= this.ends ? 'seconds' : undefined;
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
    clearTimeout(this.timer);
  }
}
