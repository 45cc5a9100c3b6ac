import { isLater } from '../noise/index.js';
import type { Endpoint } from '../cookie/index.js';
import { sameEndpoint } from './endpoint.js';

/** Handshakes that came in turns from two endpoints before it counts as two machines; one that roams changes sides once. */
export const SHARED_KEY_TURNS = 3;
/** A change of sides counts while the handshake before it is younger than this: well before a lone machine would rekey. */
const turnWithinMs = 60_000;
/** Not said again within. */
const silentMs = 180_000;

/**
 * Notices two machines with one private key. The protocol cannot tell them apart: each handshake takes the session from the
 * other machine, which is deaf until it asks again, and the one whose clock is behind is refused. So: sessions that change
 * sides again and again although they are young, or initiations that are authentic, old, and go on with a clock of their own.
 * Somebody who recorded initiations and plays them back in order looks the same; the event is a hint and nothing acts on it.
 */
export class SharedKeyWatch {
  #last: Endpoint | undefined;
  #lastAt = 0;
  #turns = 0;
  #staleTimestamp: Buffer | undefined;
  #staleTurns = 0;
  #silentUntil = Number.NEGATIVE_INFINITY;

  /** A handshake of the peer's own was confirmed from there. Returns the two endpoints when it is time to say so. */
  confirmed(from: Endpoint, now: number): readonly [Endpoint, Endpoint] | undefined {
    const before = this.#last;
    const elsewhere = before !== undefined && !sameEndpoint(before, from);
    if (!elsewhere || now - this.#lastAt > turnWithinMs) this.#turns = 0;
    else this.#turns += 1;
    this.#last = from;
    this.#lastAt = now;
    return before && this.#turns >= SHARED_KEY_TURNS ? this.#say(before, from, now) : undefined;
  }

  /** An authentic initiation with an old timestamp came from there; `endpoint` is where the peer is known to be. */
  stale(
    timestamp: Buffer,
    from: Endpoint,
    endpoint: Endpoint | undefined,
    now: number,
  ): readonly [Endpoint, Endpoint] | undefined {
    if (!endpoint || sameEndpoint(endpoint, from)) return undefined;
    if (this.#staleTimestamp && !isLater(timestamp, this.#staleTimestamp)) return undefined;
    this.#staleTimestamp = timestamp;
    this.#staleTurns += 1;
    return this.#staleTurns >= SHARED_KEY_TURNS ? this.#say(endpoint, from, now) : undefined;
  }

  #say(one: Endpoint, other: Endpoint, now: number): readonly [Endpoint, Endpoint] | undefined {
    this.#turns = 0;
    this.#staleTurns = 0;
    if (now < this.#silentUntil) return undefined;
    this.#silentUntil = now + silentMs;
    return [one, other];
  }
}
