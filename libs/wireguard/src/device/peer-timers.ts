import type { DeviceLimits } from './limits.js';

const never = Number.POSITIVE_INFINITY;

/**
 * The clocks of a peer (whitepaper §6.2 to §6.5), as monotonic ms at which each is due. Written on the packet path, so plain
 * fields; nobody is woken when one moves further off: the device looks at the time it was told first, finds nothing due, and
 * asks again.
 */
export class PeerTimers {
  /** The handshake has had no answer: try again. */
  retryAt = never;
  /** Something came and nothing went back: say that we live. */
  keepaliveAt = never;
  /** Something went and nothing came back: the session may be dead at the far end. */
  silenceAt = never;
  persistentAt = never;
  /** A session reaches REJECT_AFTER_TIME. */
  sessionEndAt = never;
  /** Nothing has happened for three times REJECT_AFTER_TIME: what is left is wiped. */
  wipeAt = never;
  leaseAt = never;
  /** Set by the device: when it looks at this peer again. */
  wakeAt = never;
  heapPlace = -1;
  persistentMs = 0;
  /** Of the silence timer and retries, renewed by each handshake. */
  jitter = 0;
  #anotherKeepalive = false;
  readonly #limits: DeviceLimits;

  constructor(limits: DeviceLimits) {
    this.#limits = limits;
  }

  due(): number {
    return Math.min(
      this.retryAt,
      this.keepaliveAt,
      this.silenceAt,
      this.persistentAt,
      this.sessionEndAt,
      this.wipeAt,
      this.leaseAt,
    );
  }

  /** A transport message with a packet inside went out. */
  dataSent(now: number): void {
    if (this.silenceAt === never) {
      this.silenceAt = now + this.#limits.keepaliveMs + this.#limits.rekeyTimeoutMs + this.jitter;
    }
  }

  dataReceived(now: number): void {
    if (this.keepaliveAt === never) this.keepaliveAt = now + this.#limits.keepaliveMs;
    else this.#anotherKeepalive = true;
  }

  /** Anything that the peer can authenticate went out. */
  sent(now: number): void {
    this.keepaliveAt = never;
    this.#traversed(now);
  }

  /** Anything authenticated came in. */
  received(now: number): void {
    this.silenceAt = never;
    this.#traversed(now);
  }

  /** The keepalive is about to go out. */
  keepaliveDue(now: number): void {
    this.keepaliveAt = this.#anotherKeepalive ? now + this.#limits.keepaliveMs : never;
    this.#anotherKeepalive = false;
  }

  sessionMade(now: number): void {
    this.wipeAt = now + 3 * this.#limits.rejectAfterMs;
    this.sessionEndAt = Math.min(this.sessionEndAt, now + this.#limits.rejectAfterMs);
  }

  /** Neither session nor attempt is left. */
  stop(): void {
    this.retryAt = never;
    this.keepaliveAt = never;
    this.silenceAt = never;
    this.sessionEndAt = never;
    this.wipeAt = never;
    this.#anotherKeepalive = false;
  }

  stopAll(): void {
    this.stop();
    this.persistentAt = never;
    this.leaseAt = never;
  }

  #traversed(now: number): void {
    if (this.persistentMs > 0) this.persistentAt = now + this.persistentMs;
  }
}
