import type { Clock } from '@coral/model';

export interface Rate {
  /** Attempts that may come at once. */
  burst: number;
  /** One more is allowed this often, ms. */
  everyMs: number;
  /** Callers remembered; the one that was idle longest is forgotten first. */
  maxKeys: number;
}

/** A bucket of attempts per key that fills again with time. */
export class RateBound {
  private readonly rate: Rate;
  private readonly clock: Pick<Clock, 'monotonic'>;
  /** Per key: when its bucket will be full again, monotonic ms. Ordered by last use. */
  private readonly fullAt = new Map<string, number>();

  constructor(rate: Rate, clock: Pick<Clock, 'monotonic'>) {
    this.rate = rate;
    this.clock = clock;
  }

  /** 0: go on. Otherwise come back in so many ms; this attempt did not count. */
  take(key: string): number {
    const now = this.clock.monotonic();
    const { burst, everyMs, maxKeys } = this.rate;
    const fullAt = Math.max(this.fullAt.get(key) ?? now, now) + everyMs;
    const tooEarlyMs = fullAt - now - burst * everyMs;
    if (tooEarlyMs > 0) return Math.ceil(tooEarlyMs);
    this.fullAt.delete(key);
    this.fullAt.set(key, fullAt);
    const [oldest] = this.fullAt.keys();
    if (this.fullAt.size > maxKeys && oldest !== undefined) this.fullAt.delete(oldest);
    return 0;
  }
}
