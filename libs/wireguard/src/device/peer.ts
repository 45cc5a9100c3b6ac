import type { Clock } from '@coral/model';
import type { Prefix } from '../allowed-ips.js';
import { CookieJar, type Endpoint } from '../cookie/index.js';
import type { InitiatorHandshake, RemoteIdentity } from '../noise/index.js';
import type { TransportSession } from '../transport/session.js';
import type { DeviceLimits } from './limits.js';
import { PeerSessions } from './peer-sessions.js';
import { PeerTimers } from './peer-timers.js';
import type { SharedKeyWatch } from './shared-key-watch.js';

/** What the device does for its peers. */
export interface PeerHost {
  readonly clock: Clock;
  readonly limits: DeviceLimits;
  /** This end's public key: the smaller of the two keeps its session when both ask at once. */
  readonly publicKey: Buffer;
  dropSession(session: TransportSession): void;
  /** Called once, when the peer's lease is found to be over. */
  leaseOver(peer: DevicePeer): void;
}

/**
 * A peer of a device: made by `addPeer`, of no use after `removePeer`. For the owner of the device to read; what is written
 * here is the device's, but for `slot`.
 */
export class DevicePeer {
  /** A number for the owner of the device: an index into its own table, -1 until it says otherwise. */
  slot = -1;
  /** Where packets to the peer go; undefined until it is told or heard. */
  endpoint: Endpoint | undefined;
  /** Wall clock ms of the last handshake that made a usable session; undefined before the first. */
  lastHandshakeAt: number | undefined;
  /** Bytes of datagrams, as `wg show` counts them. */
  rxBytes = 0;
  txBytes = 0;

  remote: RemoteIdentity;
  prefixes: readonly Prefix[] = [];
  readonly sessions: PeerSessions;
  readonly timers: PeerTimers;
  readonly jar: CookieJar;
  /** Packets that wait for a session. */
  readonly queue: Buffer[] = [];
  /** Our handshake in progress, and since when we have been trying. */
  attempt: InitiatorHandshake | undefined;
  attemptsSince = 0;
  /** Initiations sent in this round. */
  attempts = 0;
  /** This round of attempts has used the retry that a cookie gives. */
  cookieRetried = false;
  /** When we last sent an initiation or a response. */
  handshakeSentAt = Number.NEGATIVE_INFINITY;
  /** The timestamp of our last initiation. */
  sentTimestamp: Buffer | undefined;
  /** The greatest timestamp of its initiations, and when the last good one came. */
  greatestTimestamp: Buffer | undefined;
  initiationAt = Number.NEGATIVE_INFINITY;
  /** The rekey on receive has been asked for in this session. */
  lastMinuteAsked = false;
  keyWatch: SharedKeyWatch | undefined;
  removed = false;

  readonly #host: PeerHost;
  #expiresAt: number | undefined;
  #monotonicEnd = Number.POSITIVE_INFINITY;
  #over = false;

  constructor(remote: RemoteIdentity, host: PeerHost) {
    this.#host = host;
    this.remote = remote;
    const wins = host.publicKey.compare(remote.publicKey) < 0;
    this.sessions = new PeerSessions(wins, (session) => host.dropSession(session));
    this.timers = new PeerTimers(host.limits);
    this.jar = new CookieJar(remote, host.clock);
  }

  get publicKey(): Buffer {
    return this.remote.publicKey;
  }

  /** Wall clock ms, undefined for a permanent peer. */
  get expiresAt(): number | undefined {
    return this.#expiresAt;
  }

  /** A new end for the same peer. Does not revive one that is over. */
  renew(expiresAt: number | undefined): void {
    const { clock, limits } = this.#host;
    this.#expiresAt = expiresAt;
    this.#monotonicEnd =
      expiresAt === undefined ? Number.POSITIVE_INFINITY : clock.monotonic() + (expiresAt - clock.now());
    this.timers.leaseAt =
      expiresAt === undefined
        ? Number.POSITIVE_INFINITY
        : Math.min(this.#monotonicEnd, clock.monotonic() + limits.leaseCheckMs);
  }

  /**
   * Whether nothing may pass any more: removed, or its lease is over. Asked on every packet both ways. Both clocks count: a
   * wall clock that steps back does not lengthen a lease, one that steps forward shortens it; over stays over.
   */
  isOver(): boolean {
    if (this.#over || this.removed) return true;
    if (this.#expiresAt === undefined) return false;
    const { clock } = this.#host;
    if (clock.now() < this.#expiresAt && clock.monotonic() < this.#monotonicEnd) return false;
    this.#over = true;
    this.#host.leaseOver(this);
    return true;
  }

  /** Looks at the lease, and sets when to look again. */
  checkLease(now: number): void {
    if (!this.isOver()) this.timers.leaseAt = Math.min(this.#monotonicEnd, now + this.#host.limits.leaseCheckMs);
  }
}
