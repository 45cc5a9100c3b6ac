import { TRANSPORT_MIN_BYTES } from '../constants.js';
import type { Endpoint } from '../cookie/index.js';
import { innerPacketLength } from '../transport/inner-packet.js';
import type { TransportSession } from '../transport/session.js';
import type { DeviceCore } from './core.js';
import type { Handshakes } from './handshakes.js';
import type { DevicePeer } from './peer.js';
import type { SendResult } from './types.js';

const nothing = Buffer.alloc(0);

/** Packets in both directions (whitepaper §3 and §6.2). The hot path: no closures, no objects and no strings per packet. */
export class DataPath {
  readonly #core: DeviceCore;
  readonly #handshakes: Handshakes;
  /** At this age of a session a packet received on it asks for the next one. */
  readonly #rekeyOnReceiveMs: number;

  constructor(core: DeviceCore, handshakes: Handshakes) {
    this.#core = core;
    this.#handshakes = handshakes;
    const { rejectAfterMs, keepaliveMs, rekeyTimeoutMs } = core.limits;
    this.#rekeyOnReceiveMs = rejectAfterMs - keepaliveMs - rekeyTimeoutMs;
  }

  sendPacket(packet: Buffer): SendResult {
    const core = this.#core;
    const length = innerPacketLength(packet);
    const peer = length > 0 ? core.allowedIps.ofDestination(packet) : undefined;
    if (!peer) {
      core.drop('no_route');
      return 'no_route';
    }
    if (packet.length > core.limits.mtu) {
      core.drop('too_large');
      return 'too_large';
    }
    if (peer.isOver()) {
      core.drop('peer_expired');
      return 'expired';
    }
    const now = core.clock.monotonic();
    const session = core.usable(peer, now);
    if (!session || !peer.endpoint) return this.#wait(peer, packet);
    this.#transmit(peer, session, packet, now, peer.endpoint);
    return 'sent';
  }

  /** A datagram of type 4. */
  onTransport(datagram: Buffer, from: Endpoint): void {
    const core = this.#core;
    if (datagram.length < TRANSPORT_MIN_BYTES) return core.drop('malformed');
    const slot = core.indexes.get(datagram.readInt32LE(4));
    const session = slot?.session;
    if (!slot || !session) return core.drop('unknown_index');
    const { peer } = slot;
    if (peer.isOver()) return core.drop('peer_expired');
    const now = core.clock.monotonic();
    const { limits, counters } = core;
    if (now - session.createdAt >= limits.rejectAfterMs) return core.drop('session_over');
    const newest = session.window.newest;
    const packet = session.open(datagram, limits.rejectAfterMessages);
    if (typeof packet === 'string') return core.drop(packet);

    peer.rxBytes += datagram.length;
    peer.timers.received(now);
    if (session === peer.sessions.next && peer.sessions.confirm()) {
      this.#handshakes.confirmed(peer, from);
      if (peer.isOver()) return core.drop('peer_expired');
    }
    // Late packets, and those of a session that is on its way out, say where the peer was.
    if (from !== peer.endpoint && session === peer.sessions.current && session.window.newest > newest) {
      core.heardFrom(peer, from);
      if (peer.isOver()) return core.drop('peer_expired');
    }
    if (packet.length === 0) counters.rxKeepalives += 1;
    else peer.timers.dataReceived(now);
    this.#refreshOnReceive(peer, now);
    core.heap.wake(peer);
    if (packet.length > 0) this.#handUp(packet, peer);
  }

  /** The peer has a new session: what waited goes out; with nothing to say, the initiator shows that it has the keys. */
  ready(peer: DevicePeer): void {
    this.#flush(peer);
    const { current } = peer.sessions;
    if (current?.initiator && current.sent === 0) this.keepalive(peer);
  }

  /** An empty message, or a handshake when there is no session for it. */
  keepalive(peer: DevicePeer): void {
    const core = this.#core;
    const now = core.clock.monotonic();
    const session = this.#core.usable(peer, now);
    if (!session || !peer.endpoint) {
      this.#handshakes.initiate(peer);
      return;
    }
    core.counters.txKeepalives += 1;
    this.#seal(peer, session, nothing, now, peer.endpoint);
  }

  #transmit(peer: DevicePeer, session: TransportSession, packet: Buffer, now: number, endpoint: Endpoint): void {
    this.#core.counters.txPackets += 1;
    peer.timers.dataSent(now);
    this.#seal(peer, session, packet, now, endpoint);
  }

  #seal(peer: DevicePeer, session: TransportSession, packet: Buffer, now: number, endpoint: Endpoint): void {
    const core = this.#core;
    const { limits } = core;
    const datagram = session.seal(packet, limits.mtu);
    if (!datagram) return;
    peer.timers.sent(now);
    core.heap.wake(peer);
    core.send(datagram, peer, endpoint);
    const old = session.initiator && now - session.createdAt >= limits.rekeyAfterMs;
    if (old || session.sent >= limits.rekeyAfterMessages) this.#handshakes.initiate(peer);
  }

  /** Only who asked for the session asks again, and early enough that what is being received does not stop at its end. */
  #refreshOnReceive(peer: DevicePeer, now: number): void {
    const { current } = peer.sessions;
    if (!current?.initiator || peer.lastMinuteAsked || now - current.createdAt < this.#rekeyOnReceiveMs) return;
    peer.lastMinuteAsked = true;
    this.#handshakes.initiate(peer);
  }

  #handUp(packet: Buffer, peer: DevicePeer): void {
    const core = this.#core;
    const length = innerPacketLength(packet);
    if (length === 0) return core.drop('bad_inner_packet');
    if (core.allowedIps.ofSource(packet) !== peer) return core.drop('source_not_allowed');
    core.counters.rxPackets += 1;
    core.output.receive(length === packet.length ? packet : packet.subarray(0, length), peer);
  }

  #wait(peer: DevicePeer, packet: Buffer): SendResult {
    const core = this.#core;
    if (!this.#handshakes.initiate(peer)) {
      core.drop('no_endpoint');
      return 'no_endpoint';
    }
    const { queue } = peer;
    if (queue.length >= core.limits.queuedPackets) {
      // The oldest: TCP above has most likely given it up already.
      queue.shift();
      core.queuedInAll -= 1;
      core.drop('queue_full');
    } else if (core.queuedInAll >= core.limits.queuedPacketsInAll) {
      core.drop('queue_full');
      return 'queued';
    }
    queue.push(packet);
    core.queuedInAll += 1;
    return 'queued';
  }

  #flush(peer: DevicePeer): void {
    const { queue } = peer;
    const now = this.#core.clock.monotonic();
    while (queue.length > 0) {
      const session = this.#core.usable(peer, now);
      if (!session || !peer.endpoint) {
        this.#handshakes.initiate(peer);
        return;
      }
      const packet = queue.shift() as Buffer;
      this.#core.queuedInAll -= 1;
      this.#transmit(peer, session, packet, now, peer.endpoint);
    }
  }
}
