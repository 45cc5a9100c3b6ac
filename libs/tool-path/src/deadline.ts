import type { ToolContext, ToolEnvelope } from '@coral/tools';
import { CallCancelled, LeaseExpired, ToolTooSlow } from './tool-path.errors.js';

export interface Limits {
  tool: string;
  deadlineMs: number;
  /** Until the lease ends. */
  leaseMs: number;
  /** Aborts when nobody waits for the answer any more. */
  callers: AbortSignal;
  /** Aborts when the lease is ended before its time. */
  leaseEnd: AbortSignal | undefined;
}

/**
 * Runs the work until it answers, its deadline passes, the lease ends or the callers are gone, whatever comes first. Work
 * that ignores its signal is left behind: its answer, when it comes, goes nowhere.
 */
export async function runWithin(
  limits: Limits,
  context: Omit<ToolContext, 'signal'>,
  work: (context: ToolContext) => Promise<ToolEnvelope>,
): Promise<ToolEnvelope> {
  const { callers, leaseEnd } = limits;
  // First: when a lease ends its streams are cut too, which looks as if the caller had gone away.
  if (limits.leaseMs <= 0 || leaseEnd?.aborted === true) throw new LeaseExpired();
  if (callers.aborted) throw new CallCancelled();
  const leaseEndsFirst = limits.leaseMs < limits.deadlineMs;
  // Wired by hand: AbortSignal.any() would leave a trace of each call at the lease's signal, which outlives thousands.
  const end = new AbortController();
  const { signal } = end;
  const why = (): Error => {
    if (leaseEnd?.aborted === true) return new LeaseExpired();
    if (callers.aborted) return new CallCancelled();
    return leaseEndsFirst ? new LeaseExpired() : new ToolTooSlow(limits.tool, limits.deadlineMs);
  };
  const stopped = Promise.withResolvers<never>();
  const stop = (): void => {
    if (signal.aborted) return;
    stopped.reject(why());
    end.abort();
  };
  const timeout = setTimeout(stop, Math.min(limits.deadlineMs, limits.leaseMs));
  callers.addEventListener('abort', stop);
  leaseEnd?.addEventListener('abort', stop);
  try {
    return await Promise.race([(async () => work({ ...context, signal }))(), stopped.promise]);
  } catch (thrown) {
    // What the work says once it was told to stop is an echo of that.
    throw signal.aborted ? why() : thrown;
  } finally {
    clearTimeout(timeout);
    callers.removeEventListener('abort', stop);
    leaseEnd?.removeEventListener('abort', stop);
  }
}
