import type { Clock } from '@coral/model';
import { AllowedIps } from '../allowed-ips.js';
import type { Endpoint } from '../cookie/index.js';
import { localIdentity, type LocalIdentity, type RandomBytes } from '../noise/index.js';
import type { TransportSession } from '../transport/session.js';
import { newCounters, type DeviceCounters, type DropReason } from './counters.js';
import { sameEndpoint } from './endpoint.js';
import { IndexTable } from './index-table.js';
import { defaultDeviceLimits, type DeviceLimits } from './limits.js';
import type { DevicePeer, PeerHost } from './peer.js';
import { TimerHeap } from './timer-heap.js';
import type { DeviceOptions, DeviceOutput } from './types.js';

/** What the rooms of a device share: its key, its tables, its way out. */
export class DeviceCore implements PeerHost {
  readonly local: LocalIdentity;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly limits: DeviceLimits;
  readonly output: DeviceOutput;
  readonly counters: DeviceCounters = newCounters();
  readonly indexes: IndexTable;
  readonly heap = new TimerHeap();
  readonly allowedIps = new AllowedIps<DevicePeer>();
  /** Packets that wait for a session, of all peers. */
  queuedInAll = 0;

  constructor(options: DeviceOptions) {
    this.local = localIdentity(options.privateKey);
    this.clock = options.clock;
    this.random = options.random;
    this.output = options.output;
    this.limits = { ...defaultDeviceLimits, ...options.limits };
    this.indexes = new IndexTable(options.random);
  }

  get publicKey(): Buffer {
    return this.local.publicKey;
  }

  drop(reason: DropReason, count = 1): void {
    this.counters.drops[reason] += count;
  }

  /** Something that only the holder of this end's keys could have made goes out. */
  send(datagram: Buffer, peer: DevicePeer, endpoint: Endpoint): void {
    const { counters } = this;
    const bytes = datagram.length;
    counters.txDatagrams += 1;
    counters.txBytes += bytes;
    peer.txBytes += bytes;
    this.output.send(datagram, endpoint);
  }

  /** The peer proved itself from there: that is where it is now. */
  heardFrom(peer: DevicePeer, from: Endpoint): void {
    const known = peer.endpoint;
    if (known === from) return;
    if (known && sameEndpoint(known, from)) return;
    peer.endpoint = from;
    if (!known) return;
    this.counters.roamed += 1;
    this.output.event({ kind: 'roamed', peer, from: known, to: from });
  }

  /** The session to send on now, if it may still be used. */
  usable(peer: DevicePeer, now: number): TransportSession | undefined {
    const { current } = peer.sessions;
    const { rejectAfterMs, rejectAfterMessages } = this.limits;
    return current && now - current.createdAt < rejectAfterMs && current.sent < rejectAfterMessages
      ? current
      : undefined;
  }

  dropSession(session: TransportSession): void {
    session.wipe();
    this.indexes.delete(session.localIndex);
  }

  dropAttempt(peer: DevicePeer): void {
    if (!peer.attempt) return;
    this.indexes.delete(peer.attempt.localIndex);
    peer.attempt.wipe();
    peer.attempt = undefined;
  }

  /** Returns how many were dropped. */
  dropQueue(peer: DevicePeer, reason: DropReason): number {
    const count = peer.queue.length;
    peer.queue.length = 0;
    this.queuedInAll -= count;
    this.drop(reason, count);
    return count;
  }

  /** No key of the peer's sessions is left, and no index leads to it. */
  wipeSessions(peer: DevicePeer): void {
    peer.sessions.wipe();
    this.dropAttempt(peer);
    peer.jar.wipe();
    peer.timers.stop();
  }

  leaseOver(peer: DevicePeer): void {
    this.wipeSessions(peer);
    this.dropQueue(peer, 'peer_expired');
    peer.timers.stopAll();
    this.heap.remove(peer);
    this.output.event({ kind: 'expired', peer });
  }
}
