import { INITIATION_BYTES, MESSAGE_COOKIE_REPLY, MESSAGE_INITIATION } from '../constants.js';
import type { Endpoint } from '../cookie/index.js';
import {
  answerInitiation,
  InitiatorHandshake,
  isLater,
  openInitiation,
  Tai64n,
  type OpenedInitiation,
} from '../noise/index.js';
import { TransportSession } from '../transport/session.js';
import type { DeviceCore } from './core.js';
import type { DevicePeer } from './peer.js';
import { SharedKeyWatch } from './shared-key-watch.js';
import type { RefusedEvent } from './types.js';

const jitterSteps = 2 ** 16;
/** A timestamp serves every peer once while it is no older than this: a little less than its resolution. */
const timestampMs = 16;
/** Who is turned away is told this often, however many they are. */
const refusalEveryMs = 1_000;

/** How sessions come to be (whitepaper §5.4 and §6): asking, answering, trying again, giving up. */
export class Handshakes {
  readonly #core: DeviceCore;
  readonly #lookup: (publicKey: Buffer) => DevicePeer | undefined;
  readonly #ready: (peer: DevicePeer) => void;
  readonly #timestamps: Tai64n;
  #timestamp: Buffer | undefined;
  #timestampAt = 0;
  #refusalToldAt = Number.NEGATIVE_INFINITY;
  #refusedSince = 0;

  /** `ready`: the peer has a new session to send on. */
  constructor(
    core: DeviceCore,
    o: { lookup: (publicKey: Buffer) => DevicePeer | undefined; ready: (peer: DevicePeer) => void },
  ) {
    this.#core = core;
    this.#lookup = o.lookup;
    this.#ready = o.ready;
    this.#timestamps = new Tai64n(core.clock);
  }

  /** A message that passed the intake. */
  read(message: Buffer, from: Endpoint): void {
    const type = message[0];
    if (type === MESSAGE_INITIATION) this.#onInitiation(message, from);
    else if (type === MESSAGE_COOKIE_REPLY) this.#onCookieReply(message);
    else this.#onResponse(message, from);
  }

  /** Asks for a session, unless one is being asked for. False when nobody knows where the peer is. */
  initiate(peer: DevicePeer): boolean {
    if (peer.isOver()) return false;
    if (!peer.endpoint) return peer.attempt !== undefined;
    const { timers } = peer;
    const now = this.#core.clock.monotonic();
    const earliest = peer.handshakeSentAt + this.#core.limits.rekeyTimeoutMs;
    if (now >= earliest) {
      if (!Number.isFinite(timers.retryAt)) this.#newRound(peer, now);
      this.#sendInitiation(peer, peer.endpoint, now);
    } else if (!Number.isFinite(timers.retryAt) && !this.#core.usable(peer, now)) {
      // Just answered one that may still be confirmed: that gets its time.
      this.#newRound(peer, now);
      timers.retryAt = earliest + this.#jitter();
      this.#core.heap.wake(peer);
    }
    return true;
  }

  /**
   * What the attempt in progress was made for has changed: the next one is due now, or as soon as it is sure to be answered.
   * Twice the gap, since on its way it may come closer to the one before.
   */
  hasten(peer: DevicePeer): void {
    const core = this.#core;
    const earliest = peer.handshakeSentAt + 2 * core.limits.initiationGapMs;
    peer.timers.retryAt = Math.max(core.clock.monotonic(), earliest);
    core.heap.wake(peer);
  }

  /** `retryAt` has come. */
  retry(peer: DevicePeer, now: number): void {
    peer.timers.retryAt = Number.POSITIVE_INFINITY;
    if (now - peer.attemptsSince >= this.#core.limits.rekeyAttemptMs) this.#giveUp(peer);
    else if (peer.endpoint) this.#sendInitiation(peer, peer.endpoint, now);
  }

  #newRound(peer: DevicePeer, now: number): void {
    peer.attemptsSince = now;
    peer.attempts = 0;
    peer.cookieRetried = false;
  }

  #sendInitiation(peer: DevicePeer, endpoint: Endpoint, now: number): void {
    const core = this.#core;
    core.dropAttempt(peer);
    const { local, random } = core;
    const localIndex = core.indexes.draw();
    const timestamp = this.#timestampFor(peer, now);
    const attempt = new InitiatorHandshake(local, peer.remote, { localIndex, timestamp, random });
    core.indexes.set(localIndex, { peer, attempt, session: undefined });
    peer.attempt = attempt;
    peer.jar.stamp(attempt.message);
    core.counters.initiationsSent += 1;
    this.#sent(peer, now);
    peer.timers.retryAt = now + this.#retryIn(peer, now);
    peer.attempts += 1;
    core.heap.wake(peer);
    core.send(attempt.message, peer, endpoint);
  }

  #retryIn(peer: DevicePeer, now: number): number {
    const { limits } = this.#core;
    const eager = limits.eagerRetriesMs[peer.attempts];
    if (eager === undefined || this.#core.usable(peer, now)) return limits.rekeyTimeoutMs + peer.timers.jitter;
    return eager * (1 + this.#fraction() / 4);
  }

  /**
   * Greater than all that this peer was sent, and not ahead of the clock: were each initiation given a greater one, a colony
   * that asks thousands at once would, once restarted, be taken for a replay until the clock has caught up.
   */
  #timestampFor(peer: DevicePeer, now: number): Buffer {
    if (!this.#timestamp || peer.sentTimestamp === this.#timestamp || now - this.#timestampAt >= timestampMs) {
      this.#timestamp = this.#timestamps.next();
      this.#timestampAt = now;
    }
    peer.sentTimestamp = this.#timestamp;
    return this.#timestamp;
  }

  #sent(peer: DevicePeer, now: number): void {
    peer.handshakeSentAt = now;
    peer.timers.jitter = this.#jitter();
    peer.timers.sent(now);
  }

  #giveUp(peer: DevicePeer): void {
    const core = this.#core;
    core.dropAttempt(peer);
    peer.timers.keepaliveAt = Number.POSITIVE_INFINITY;
    const droppedPackets = core.dropQueue(peer, 'handshake_failed');
    core.output.event({ kind: 'gave_up', peer, droppedPackets });
  }

  #onInitiation(message: Buffer, from: Endpoint): void {
    const core = this.#core;
    let peer: DevicePeer | undefined;
    let claimed: Buffer | undefined;
    const opened = openInitiation(core.local, message, (publicKey) => {
      claimed = publicKey;
      peer = this.#lookup(publicKey);
      return peer?.remote;
    });
    if (!peer) return claimed ? this.#refuse('unknown_peer', claimed, from) : core.drop('bad_handshake');
    if (!opened) return core.drop('bad_handshake');
    if (peer.isOver()) {
      opened.wipe();
      return this.#refuse('peer_expired', peer.publicKey, from);
    }
    const now = core.clock.monotonic();
    if (!this.#isFresh(peer, opened, from, now)) return opened.wipe();
    this.#answer(peer, opened, from, now);
  }

  #refuse(reason: RefusedEvent['reason'], publicKey: Buffer, endpoint: Endpoint): void {
    const core = this.#core;
    core.drop(reason);
    const now = core.clock.monotonic();
    if (now - this.#refusalToldAt < refusalEveryMs) {
      this.#refusedSince += 1;
      return;
    }
    const more = this.#refusedSince;
    this.#refusalToldAt = now;
    this.#refusedSince = 0;
    core.output.event({ kind: 'refused', publicKey: Buffer.from(publicKey), endpoint, reason, more });
  }

  /** Not an old initiation played again, and not one too many. */
  #isFresh(peer: DevicePeer, opened: OpenedInitiation, from: Endpoint, now: number): boolean {
    const core = this.#core;
    if (peer.greatestTimestamp && !isLater(opened.timestamp, peer.greatestTimestamp)) {
      core.drop('stale_initiation');
      peer.keyWatch ??= new SharedKeyWatch();
      const endpoints = peer.keyWatch.stale(opened.timestamp, from, peer.endpoint, now);
      if (endpoints) core.output.event({ kind: 'key_shared', peer, endpoints });
      return false;
    }
    if (now - peer.initiationAt < core.limits.initiationGapMs) {
      core.drop('initiation_flood');
      return false;
    }
    peer.greatestTimestamp = opened.timestamp;
    peer.initiationAt = now;
    return true;
  }

  #answer(peer: DevicePeer, opened: OpenedInitiation, from: Endpoint, now: number): void {
    const core = this.#core;
    const answer = answerInitiation(opened, { localIndex: core.indexes.draw(), random: core.random });
    if (!answer) return core.drop('bad_handshake');
    const session = new TransportSession(answer.keys, now);
    peer.sessions.peerAsked(session);
    core.indexes.set(session.localIndex, { peer, attempt: undefined, session });
    peer.jar.stamp(answer.message);
    core.counters.responsesSent += 1;
    peer.rxBytes += INITIATION_BYTES;
    peer.timers.received(now);
    peer.timers.sessionMade(now);
    this.#sent(peer, now);
    core.heap.wake(peer);
    core.send(answer.message, peer, from);
    core.heardFrom(peer, from);
  }

  #onResponse(message: Buffer, from: Endpoint): void {
    const core = this.#core;
    const slot = core.indexes.get(message.readInt32LE(8));
    // It may have been answered, or given up, while this message waited.
    if (!slot?.attempt) return core.drop('unknown_index');
    const { peer, attempt } = slot;
    if (peer.isOver()) return core.drop('peer_expired');
    const keys = attempt.finish(message);
    if (!keys) return core.drop('bad_handshake');
    const now = core.clock.monotonic();
    const session = new TransportSession(keys, now);
    slot.attempt = undefined;
    slot.session = session;
    peer.attempt = undefined;
    peer.sessions.weAsked(session);
    peer.rxBytes += message.length;
    peer.timers.received(now);
    peer.timers.sessionMade(now);
    core.heap.wake(peer);
    core.heardFrom(peer, from);
    if (!peer.isOver()) this.#completed(peer, true);
  }

  /** The first packet on a session that the peer asked for. */
  confirmed(peer: DevicePeer, from: Endpoint): void {
    const core = this.#core;
    core.dropAttempt(peer);
    peer.keyWatch ??= new SharedKeyWatch();
    const endpoints = peer.keyWatch.confirmed(from, core.clock.monotonic());
    if (endpoints) core.output.event({ kind: 'key_shared', peer, endpoints });
    this.#completed(peer, false);
  }

  #completed(peer: DevicePeer, initiator: boolean): void {
    const core = this.#core;
    peer.timers.retryAt = Number.POSITIVE_INFINITY;
    peer.lastMinuteAsked = false;
    peer.lastHandshakeAt = core.clock.now();
    core.counters.handshakes += 1;
    core.output.event({ kind: 'handshake', peer, initiator });
    if (!peer.isOver()) this.#ready(peer);
  }

  #onCookieReply(message: Buffer): void {
    const core = this.#core;
    const slot = core.indexes.get(message.readInt32LE(4));
    if (!slot) return core.drop('unknown_index');
    const { peer } = slot;
    if (peer.isOver()) return core.drop('peer_expired');
    if (!peer.jar.take(message)) return core.drop('bad_cookie_reply');
    core.counters.cookieRepliesTaken += 1;
    const { cookieRetryMs } = core.limits;
    if (!slot.attempt || peer.cookieRetried || !Number.isFinite(cookieRetryMs)) return;
    // Once per round: somebody on the path can make cookie replies too, and must not make us send more than twice.
    peer.cookieRetried = true;
    const now = core.clock.monotonic();
    const soon = cookieRetryMs * (1 + this.#fraction());
    peer.timers.retryAt = Math.min(peer.timers.retryAt, now + soon);
    core.heap.wake(peer);
  }

  #jitter(): number {
    return Math.floor(this.#fraction() * this.#core.limits.rekeyJitterMs);
  }

  #fraction(): number {
    return this.#core.random(2).readUInt16LE(0) / jitterSteps;
  }
}
