import { setTimeout as wait } from 'node:timers/promises';
import { systemClock, type Clock } from '@coral/model';

/** How long one tool call may take, and how a broken connection is tried again. All times in milliseconds. */
export interface CallPolicy {
  /** From the first attempt to the answer, retries and pauses included. */
  deadlineMs: number;
  /** After this long of broken connections only, the call fails as `unavailable`; long enough for a colony to restart. */
  retryWindowMs: number;
  firstDelayMs: number;
  maxDelayMs: number;
  clock: Clock;
  /** True when no retry can help: the lease that paid for the connection is over. */
  isOver(): boolean;
  sleep(ms: number, signal: AbortSignal | undefined): Promise<void>;
  /** 0 ≤ n < 1, as Math.random. */
  random(): number;
}

export const defaultCallPolicy: CallPolicy = {
  deadlineMs: 60_000,
  retryWindowMs: 15_000,
  firstDelayMs: 100,
  maxDelayMs: 2_000,
  clock: systemClock,
  isOver: () => false,
  sleep: async (ms, signal) => {
    await wait(ms, undefined, signal ? { signal } : {});
  },
  random: Math.random,
};

/**
 * Half fixed, half random, doubling: many clients of one restarting colony spread out, and none comes back at once.
 * `attempt` counts from 0.
 */
export function delayBefore(attempt: number, policy: CallPolicy): number {
  const full = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** Math.min(attempt, 16));
  return full / 2 + (full / 2) * policy.random();
}
