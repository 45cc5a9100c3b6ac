import type { IpStack, TcpConnection, TcpHandlers, TcpListener } from '@coral/tcp';
import type { DialFailure, FromWorker, Outbox, ToWorker } from '../protocol.js';
import { formatEndpoint } from './carrier.js';
import type { WorkerPeer, WorkerPeers } from './worker-peers.js';
import { WorkerStream, type DialOutcome, type StreamHost } from './worker-stream.js';

type Dial = Extract<ToWorker, { type: 'dial' }>;

/** The streams of an endpoint: who dials, who accepts, and what each still owes the main thread. */
export class Streams implements StreamHost {
  readonly outbox: Outbox<FromWorker>;
  readonly #stack: IpStack;
  readonly #peers: WorkerPeers;
  /** A dial came to nothing without a word from the far end. */
  readonly #onSilence: (peer: WorkerPeer) => void;
  readonly #listeners = new Map<number, TcpListener>();
  readonly #streams = new Map<number, WorkerStream>();
  readonly #unsettled = new Set<WorkerStream>();
  /** Dials to peers whose name is being looked up. */
  readonly #waiting = new Map<number, Dial>();
  #nextAcceptedId = -1;
  #closing = false;

  constructor(o: {
    outbox: Outbox<FromWorker>;
    stack: IpStack;
    peers: WorkerPeers;
    onSilence(peer: WorkerPeer): void;
  }) {
    this.outbox = o.outbox;
    this.#stack = o.stack;
    this.#peers = o.peers;
    this.#onSilence = o.onSilence;
  }

  get size(): number {
    return this.#streams.size;
  }

  get(id: number): WorkerStream | undefined {
    return this.#streams.get(id);
  }

  unsettled(stream: WorkerStream): void {
    this.#unsettled.add(stream);
  }

  gone(stream: WorkerStream): void {
    this.#streams.delete(stream.id);
    this.#unsettled.delete(stream);
  }

  /** Once per turn, after TCP has sent what it could. */
  settle(): void {
    for (const stream of this.#unsettled) if (stream.settle()) this.#unsettled.delete(stream);
  }

  dial(message: Dial): void {
    const { id, slot, address, port } = message;
    const peer = this.#peers.atSlot(slot);
    if (!peer) return this.#failed(id, 'peer_gone', 'it is not on the mesh any more');
    if (!peer.device.endpoint) {
      if (peer.settings.endpoint) return void this.#waiting.set(id, message);
      return this.#failed(id, 'unreachable', 'it has not called in yet, and nobody said where it is');
    }
    const stream = new WorkerStream(id, peer, this);
    const heardBefore = peer.rxPackets;
    stream.onOutcome = (outcome) => {
      if (outcome === 'connected') return this.outbox.add({ type: 'dialled', id });
      const silent = peer.rxPackets === heardBefore;
      if (silent) this.#onSilence(peer);
      this.#failed(id, failureOf(outcome, silent), problemOf(outcome, silent, peer));
    };
    try {
      stream.attach(this.#stack.connect({ address, port, handlers: stream.handlers }));
      this.#streams.set(id, stream);
    } catch (error) {
      peer.streams.delete(stream);
      this.#failed(id, 'unreachable', error instanceof Error ? error.message : String(error));
    }
  }

  /** The name of the peer's endpoint has been found. */
  endpointFound(peer: WorkerPeer): void {
    for (const [id, dial] of this.#waiting) {
      if (dial.slot !== peer.slot) continue;
      this.#waiting.delete(id);
      this.dial(dial);
    }
  }

  /** Nobody answered the dial in time. */
  giveUp(id: number): void {
    if (this.#waiting.delete(id)) this.#failed(id, 'unreachable', 'the name of its endpoint could not be found');
    this.#streams.get(id)?.giveUp();
  }

  /** The main thread has forgotten it. */
  reset(id: number): void {
    this.#waiting.delete(id);
    this.#streams.get(id)?.reset();
  }

  listen(port: number, forwarded: boolean): void {
    this.#listeners.set(
      port,
      this.#stack.listen(port, (connection) => this.#accept(connection, port, forwarded)),
    );
  }

  unlisten(port: number): void {
    this.#listeners.get(port)?.close();
    this.#listeners.delete(port);
  }

  /** Cuts what is open; what was closed in order may go on until {@link isQuiet}. */
  close(): void {
    this.#closing = true;
    for (const port of this.#listeners.keys()) this.unlisten(port);
    for (const stream of this.#streams.values()) if (!stream.isReleased) stream.reset();
  }

  /** Nobody has anything left to say. */
  get isQuiet(): boolean {
    for (const stream of this.#streams.values()) if (!stream.hasLeft) return false;
    return true;
  }

  #accept(connection: TcpConnection, port: number, takesForwarded: boolean): TcpHandlers | undefined {
    const { address, port: remotePort } = connection.remote;
    const owner = this.#peers.owner(address);
    const peer = owner ?? (takesForwarded ? this.#peers.route(address) : undefined);
    if (!peer || this.#closing) return undefined;
    const id = (this.#nextAcceptedId += 2);
    const stream = new WorkerStream(id, peer, this);
    stream.attach(connection);
    this.#streams.set(id, stream);
    const from = { remoteAddress: address, remotePort, forwarded: owner === undefined };
    this.outbox.add({ type: 'accepted', id, slot: peer.slot, port, ...from });
    return stream.handlers;
  }

  #failed(id: number, failure: DialFailure, problem: string): void {
    this.outbox.add({ type: 'dial_failed', id, failure, problem });
  }
}

type Failed = Exclude<DialOutcome, 'connected'>;

function failureOf(outcome: Failed, silent: boolean): DialFailure {
  switch (reasonOf(outcome)) {
    case 'tcp_refused':
    case 'tcp_reset':
      return 'refused';
    case 'tcp_unreachable':
      return 'unreachable';
    case 'peer_gone':
      return 'peer_gone';
    default:
      return silent ? 'silent' : 'slow';
  }
}

function problemOf(outcome: Failed, silent: boolean, { device }: WorkerPeer): string {
  if (failureOf(outcome, silent) === 'refused') return 'nothing listens on that port';
  if (silent) {
    const where = device.endpoint ? formatEndpoint(device.endpoint) : 'its endpoint';
    const over = device.endpoint?.carrier === 'ws' ? 'the WebSocket' : 'UDP';
    return `no answer over ${over} from ${where}; datagrams do not get through, or it does not know this key (any more)`;
  }
  return typeof outcome === 'object' ? outcome.message : 'it did not accept the connection in time';
}

function reasonOf(outcome: Failed): string {
  return typeof outcome === 'object' ? outcome.reason : outcome;
}
