import type { Clock } from '@coral/model';
import type { IpStack } from '@coral/tcp';
import type { DeviceEvent, WireGuardDevice } from '@coral/wireguard';
import type { ForwardingPolicy } from '../../hub/forwarding.js';
import type { RevocationView } from '../peer-slots.js';
import type { FromWorker, Outbox, PeerMessage, WorkerEvent, WorkerPeerStatus } from '../protocol.js';
import { formatEndpoint } from './carrier.js';
import { Names } from './names.js';
import type { RelayCarrier } from './relay-carrier.js';
import type { WorkerPeer, WorkerPeers } from './worker-peers.js';

/** The device is a second line behind the gates here: this long after the end, so that RSTs still go out. */
export const lastWordsMs = 1_000;

export interface PeerLifeParts {
  outbox: Outbox<FromWorker>;
  clock: Clock;
  peers: WorkerPeers;
  revocations: RevocationView;
  device: WireGuardDevice;
  stack: IpStack;
  policy: ForwardingPolicy | undefined;
  relay: RelayCarrier;
  /** Reads what has been said of peers and not been delivered yet. */
  lookAhead(): void;
  /** Dials may have waited for it. */
  endpointFound(peer: WorkerPeer): void;
  /** Something is to be sent: a turn has to follow. */
  wake(): void;
}

/** How peers come to and go from the worker: added, moved, renewed, revoked, over. */
export class PeerLife {
  readonly #parts: PeerLifeParts;
  readonly #names: Names;

  constructor(parts: PeerLifeParts) {
    this.#parts = parts;
    this.#names = new Names({
      found: (peer, address, port) => this.#setEndpoint(peer, address, port),
      unresolved: (peer, host, problem) => {
        this.#event({ kind: 'endpoint_unresolved', slot: peer.slot, host, problem });
        parts.wake();
      },
    });
  }

  /** Ends whoever has been revoked or is over. Asked before every packet and message, so it costs two comparisons. */
  check(): void {
    const { peers } = this.#parts;
    this.checkRevoked();
    if (!peers.anyOver()) return;
    this.#parts.lookAhead();
    const problem = 'its time on the mesh is over';
    for (const peer of peers.over()) {
      this.#end(peer, problem);
      this.#parts.outbox.add({ type: 'peer_ended', slot: peer.slot, problem });
    }
  }

  checkRevoked(): void {
    const { peers, revocations } = this.#parts;
    if (!revocations.hasNews()) return;
    for (const peer of peers.all()) {
      if (revocations.isRevoked(peer.slot)) this.#end(peer, 'it was removed from the mesh');
    }
  }

  put(message: PeerMessage): void {
    const { device, outbox, peers, policy, revocations } = this.#parts;
    const { slot } = message;
    const known = peers.atSlot(slot);
    // Revoked while this was on its way: its removal follows.
    if (revocations.isRevoked(slot)) return;
    try {
      const added = device.addPeer({
        publicKey: message.publicKey,
        presharedKey: message.presharedKey,
        allowedIps: message.allowedIps ?? message.addresses,
        persistentKeepaliveSeconds: message.keepaliveSeconds,
        expiresAt: Number.isFinite(message.expiresAt) ? message.expiresAt + lastWordsMs : undefined,
      });
      const peer = peers.put(message, added);
      policy?.addPeer(slot, message.addresses);
      this.#names.use(peer);
    } catch (error) {
      if (known) this.#end(known, 'its new settings cannot be used');
      outbox.add({ type: 'peer_refused', slot, problem: error instanceof Error ? error.message : String(error) });
    }
  }

  remove(slot: number): void {
    const peer = this.#parts.peers.atSlot(slot);
    if (peer) this.#end(peer, 'it was removed from the mesh');
    this.#parts.outbox.add({ type: 'slot_free', slot });
  }

  /** It did not answer where it was looked for. */
  silent(peer: WorkerPeer): void {
    this.#names.next(peer);
  }

  onDeviceEvent(event: DeviceEvent): void {
    if (event.kind === 'refused') return this.#event({ ...event, endpoint: formatEndpoint(event.endpoint) });
    const peer = this.#parts.peers.ofDevice(event.peer);
    if (!peer) return;
    const { slot } = peer;
    const { endpoint } = peer.device;
    if ((event.kind === 'handshake' || event.kind === 'roamed') && endpoint?.carrier === 'ws') {
      this.#parts.outbox.add({ type: 'relay_bound', id: endpoint.address, slot });
    }
    if (event.kind === 'handshake') {
      // Perhaps it is its next life that shook hands, and knows none of the streams: it will say so.
      for (const address of peer.settings.addresses) this.#parts.stack.probePeer(address);
      this.#event({ kind: 'handshake', slot, endpoint: endpoint && formatEndpoint(endpoint) });
    } else if (event.kind === 'roamed') {
      this.#event({
        kind: 'roamed',
        slot,
        from: event.from && formatEndpoint(event.from),
        to: formatEndpoint(event.to),
      });
    } else if (event.kind === 'gave_up') {
      this.#names.next(peer);
      this.#event({ kind: 'gave_up', slot });
    } else if (event.kind === 'key_shared') {
      const [one, other] = event.endpoints;
      this.#event({ kind: 'key_shared', slot, endpoints: [formatEndpoint(one), formatEndpoint(other)] });
    }
  }

  status(): WorkerPeerStatus[] {
    return [...this.#parts.peers.all()].map(({ slot, device, streams }) => ({
      slot,
      carrier: device.endpoint?.carrier,
      endpoint: device.endpoint && formatEndpoint(device.endpoint),
      lastHandshakeAt: device.lastHandshakeAt,
      rxBytes: device.rxBytes,
      txBytes: device.txBytes,
      streams: streams.size,
    }));
  }

  /** RSTs for its streams, then nothing: keys wiped, addresses and forwarding gone. */
  #end(peer: WorkerPeer, problem: string): void {
    const { clock, device, peers, policy, relay, stack } = this.#parts;
    peers.remove(peer);
    policy?.removePeer(peer.slot);
    const { endpoint } = peer.device;
    if (peer.streams.size > 0) {
      // After a jump of the clock the device would take it for long gone.
      peer.device.renew(clock.now() + lastWordsMs);
      for (const stream of peer.streams) stream.cut(problem);
      stack.endOfTurn();
    }
    for (const address of peer.settings.addresses) stack.cutPeer(address, { goodbye: true });
    device.removePeer(peer.publicKey);
    if (endpoint?.carrier === 'ws') relay.cut(endpoint.address);
  }

  #setEndpoint(peer: WorkerPeer, address: string, port: number): void {
    const { device, endpointFound, peers, wake } = this.#parts;
    if (peers.atSlot(peer.slot) !== peer) return;
    device.setEndpoint(peer.device, { carrier: 'udp', address, port });
    // At once: who dials it next finds a session, and who waits for it does not wait for a timer besides.
    device.initiate(peer.device);
    endpointFound(peer);
    wake();
  }

  #event(event: WorkerEvent): void {
    this.#parts.outbox.add({ type: 'event', event });
  }
}
