import type { CarrierKind } from './carrier-race.types.js';
import { RoundTrip } from './round-trip.js';

/** Answers that come later than this are not waited for any more. */
const lifeMs = 10_000;
const never = Number.POSITIVE_INFINITY;

/** What the peer has been asked over each carrier, and how long its answers take. */
export class Questions {
  readonly #trips = { udp: new RoundTrip(), ws: new RoundTrip() };
  readonly #probes = new Map<number, { carrier: CarrierKind; at: number }>();
  #last = 0;
  #initiatedAt = { udp: never, ws: never };

  /** Of a carrier that has not answered yet, the other's times are the best guess. */
  trip(carrier: CarrierKind): RoundTrip {
    const own = this.#trips[carrier];
    return own.known ? own : this.#trips[carrier === 'udp' ? 'ws' : 'udp'];
  }

  /** Opening a connection took so long: TCP, TLS and the upgrade are a round trip each. */
  opened(ms: number): void {
    if (!this.#trips.ws.known) this.#trips.ws.sample(ms / 3);
  }

  /** The number of a new probe. */
  probed(carrier: CarrierKind, now: number): number {
    for (const [old, { at }] of this.#probes) if (now - at > lifeMs) this.#probes.delete(old);
    this.#last += 1;
    this.#probes.set(this.#last, { carrier, at: now });
    return this.#last;
  }

  /** False unless the probe went out over the carrier that its reply came over, lately, and has had none. */
  answered(probe: number, carrier: CarrierKind, now: number): boolean {
    const asked = this.#probes.get(probe);
    if (asked?.carrier !== carrier) return false;
    this.#probes.delete(probe);
    this.#trips[carrier].sample(now - asked.at);
    return true;
  }

  /** A new initiation makes those before it void. */
  initiated(carrier: CarrierKind, now: number): void {
    this.#initiatedAt = { udp: never, ws: never, [carrier]: now };
  }

  /** The same initiation goes over another carrier too. */
  copied(carrier: CarrierKind, now: number): void {
    this.#initiatedAt[carrier] = now;
  }

  /** An initiation has had no answer, and has not gone over this carrier. */
  mayCopyInitiation(carrier: CarrierKind): boolean {
    return this.#initiatedAt[carrier] === never && this.#initiatedAt[carrier === 'udp' ? 'ws' : 'udp'] !== never;
  }

  sessionMade(carrier: CarrierKind, now: number): void {
    if (this.#initiatedAt[carrier] !== never) this.#trips[carrier].sample(now - this.#initiatedAt[carrier]);
    this.#initiatedAt = { udp: never, ws: never };
  }

  clear(): void {
    this.#probes.clear();
    this.#initiatedAt = { udp: never, ws: never };
  }
}
