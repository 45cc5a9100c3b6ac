import type { Clock } from '@coral/model';
import { RateLimiter, sourceKey, type Endpoint } from '../cookie/index.js';
import type { DeviceLimits } from './limits.js';

/**
 * Cookie replies a second for a source that has used up its share at once: 10,000 sources that do so stay below what all may
 * have (`limits.cookieReplies`), so a newcomer still gets its one.
 */
const cookieRefillPerSecond = 1;

/** What each source may still have while the device is under load. Made when load begins, thrown away after it. */
export class SourceLimits {
  readonly #handshakes: RateLimiter;
  readonly #repliesPerSource: RateLimiter;
  readonly #replies: RateLimiter;

  constructor(clock: Clock, limits: DeviceLimits) {
    this.#handshakes = new RateLimiter(clock);
    const burst = limits.cookieRepliesPerSource;
    this.#repliesPerSource = new RateLimiter(clock, { perSecond: cookieRefillPerSecond, burst });
    const all = limits.cookieReplies;
    this.#replies = new RateLimiter(clock, { perSecond: all, burst: all, sources: 1 });
  }

  /** Sources remembered. */
  get size(): number {
    return this.#handshakes.size + this.#repliesPerSource.size;
  }

  allowsHandshake(from: Endpoint): boolean {
    return this.#handshakes.allows(sourceKey(from));
  }

  /** The source's own share first: one loud source does not use up what all have. */
  allowsCookieReply(from: Endpoint): boolean {
    return this.#repliesPerSource.allows(sourceKey(from)) && this.#replies.allows('all');
  }
}
