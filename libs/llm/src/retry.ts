import { ProviderFailed } from './llm.errors.js';

/** Times that one request is sent, the first included. */
export const maxTries = 3;

/** Before the second try; doubled before each one after. */
export const firstDelayMs = 1_000;

/** A provider that wants us to wait longer than this is told goodbye: nobody watches a cursor for minutes. */
export const maxRetryAfterMs = 60_000;

/** Rings once after `ms`, unless the returned function is called before. */
export type Alarm = (ms: number, ring: () => void) => () => void;

/** Beyond this setTimeout rings at once. */
const longestTimerMs = 2 ** 31 - 1;

export const systemAlarm: Alarm = (ms, ring) => {
  const timer = setTimeout(ring, Math.min(ms, longestTimerMs));
  return () => clearTimeout(timer);
};

/** Resolves after `ms`, or as soon as the signal aborts. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

export function sleepBy(alarm: Alarm): Sleep {
  return async (ms, signal) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (signal.aborted) return;
    const cancel = alarm(ms, resolve);
    const over = (): void => resolve();
    signal.addEventListener('abort', over, { once: true });
    try {
      await promise;
    } finally {
      cancel();
      signal.removeEventListener('abort', over);
    }
  };
}

export type NextTry = { wait: number } | { giveUp: ProviderFailed };

/**
 * Whether a request that failed is sent again, and after how many milliseconds. `tried`: how often it was sent, 1 or more.
 * `msLeft`: of the whole conversation. `random`: 0 to 1; clients that failed together shall not come back together.
 */
export function nextTry(failure: ProviderFailed, o: { tried: number; msLeft: number; random: number }): NextTry {
  if (!failure.mayPass) return { giveUp: failure };
  if (o.tried >= maxTries) return { giveUp: failure };
  const asked = failure.retryAfterMs;
  if (asked === undefined || !(asked >= 0)) {
    const wait = Math.round(firstDelayMs * 2 ** (o.tried - 1) * (0.75 + 0.5 * o.random));
    return wait < o.msLeft ? { wait } : { giveUp: failure };
  }
  if (asked > maxRetryAfterMs) return { giveUp: tooLong(failure, asked, `more than ${maxRetryAfterMs / 1_000} s`) };
  if (asked >= o.msLeft) return { giveUp: tooLong(failure, asked, 'more time than this question has left') };
  return { wait: asked };
}

function tooLong(failure: ProviderFailed, askedMs: number, why: string): ProviderFailed {
  const seconds = Math.ceil(askedMs / 1_000);
  return new ProviderFailed({
    provider: failure.where ?? 'provider',
    failure: failure.failure,
    message: `${failure.message} It asked to wait ${seconds} s, which is ${why}.`,
    next: `Ask again in ${seconds} s, or use another model with --model.`,
    retryAfterMs: askedMs,
    cause: failure,
  });
}
