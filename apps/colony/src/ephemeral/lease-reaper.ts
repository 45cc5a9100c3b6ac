import type { JsonLogger } from '../edge/json-logger.js';
import type { LeaseEnds } from './lease-ends.js';

/** A lease is over when its time is, whether or not this has run: calls and connections are checked against the clock. */
export const sweepEveryMs = 250;

/** Tidies up after leases that were not given back. */
export class LeaseReaper implements Disposable {
  private readonly timer: NodeJS.Timeout;
  private sweeping = false;

  constructor(ends: LeaseEnds, logger: JsonLogger) {
    const sweep = async (): Promise<void> => {
      // One at a time: a slow disk must not pile up sweeps.
      if (this.sweeping) return;
      this.sweeping = true;
      try {
        await ends.sweep();
      } catch (thrown) {
        logger.failure('leases that ended could not all be recorded; trying again', thrown);
      } finally {
        this.sweeping = false;
      }
    };
    this.timer = setInterval(() => void sweep(), sweepEveryMs);
    this.timer.unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
  }
}
