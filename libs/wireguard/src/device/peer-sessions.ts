import type { TransportSession } from '../transport/session.js';

/**
 * The sessions of a peer (whitepaper §6.3). One is sent on; the others are still listened to, since packets overtake each
 * other and the two ends do not switch at the same instant.
 *
 *   we asked:   attempt ──response──► current,  the old current ► previous, the old previous dropped
 *   peer asked: initiation ─────────► next  ──its first packet──► current, and so on as above
 *
 * `next` is never sent on: until its first packet the peer may not have got our response.
 *
 * When both asked at once, both handshakes end well and each end has two new sessions. Each would send on its own, and at
 * the next rekey both would ask again. So one of them gives way: the end that `wins` stays on its own session, the other goes
 * over to it. Both sessions are listened to throughout, so nothing is lost whichever the far end prefers.
 */
export class PeerSessions {
  previous: TransportSession | undefined;
  current: TransportSession | undefined;
  next: TransportSession | undefined;
  /** Our own handshake came to its end while `next` waited for its first packet. */
  #crossed = false;
  readonly #wins: boolean;
  readonly #drop: (session: TransportSession) => void;

  /** `drop` wipes a session and frees its index. */
  constructor(wins: boolean, drop: (session: TransportSession) => void) {
    this.#wins = wins;
    this.#drop = drop;
  }

  weAsked(session: TransportSession): void {
    this.#forget(this.previous);
    this.previous = this.current;
    this.current = session;
    this.#crossed = this.next !== undefined;
  }

  peerAsked(session: TransportSession): void {
    this.#forget(this.next);
    this.next = session;
    this.#crossed = false;
  }

  /** An authenticated packet came in on `next`. True when it is now the one to send on. */
  confirm(): boolean {
    if (!this.next || (this.#crossed && this.#wins)) return false;
    this.#forget(this.previous);
    this.previous = this.current;
    this.current = this.next;
    this.next = undefined;
    this.#crossed = false;
    return true;
  }

  /** Drops sessions made at or before `made`; tells when the oldest of the rest was made, Infinity when none is left. */
  dropUntil(made: number): number {
    let oldest = Number.POSITIVE_INFINITY;
    const kept = (session: TransportSession | undefined): TransportSession | undefined => {
      if (session && session.createdAt > made) {
        oldest = Math.min(oldest, session.createdAt);
        return session;
      }
      this.#forget(session);
      return undefined;
    };
    this.previous = kept(this.previous);
    this.current = kept(this.current);
    this.next = kept(this.next);
    return oldest;
  }

  wipe(): void {
    this.dropUntil(Number.POSITIVE_INFINITY);
  }

  #forget(session: TransportSession | undefined): void {
    if (session) this.#drop(session);
  }
}
