import type { IpStack, TcpConnection, TcpError, TcpHandlers, TcpListener } from '@coral/tcp';
import type { DialFailure, FromWorker, Outbox, ToWorker } from '../protocol.js';
import type { WorkerPeer, WorkerPeers } from './worker-peers.js';
import { WorkerStream, type StreamHost } from './worker-stream.js';

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

  dial({ id, slot, address, port }: Extract<ToWorker, { type: 'dial' }>): void {
    const peer = this.#peers.atSlot(slot);
    if (!peer) return this.#failed(id, 'peer_gone', 'it is not on the mesh any more');
    if (!peer.device.endpoint && !peer.settings.endpoint) {
      return this.#failed(id, 'unreachable', 'it has not called in yet, and nobody said where it is');
    }
    const stream = new WorkerStream(id, peer, this);
    const heardBefore = peer.device.rxBytes;
    stream.onOutcome = (error) => {
      if (!error) return this.outbox.add({ type: 'dialled', id });
      const silent = peer.device.rxBytes === heardBefore;
      if (silent) this.#onSilence(peer);
      this.#failed(id, failureOf(error, silent), problemOf(error, silent));
    };
    try {
      stream.attach(this.#stack.connect({ address, port, handlers: stream.handlers }));
      this.#streams.set(id, stream);
    } catch (error) {
      peer.streams.delete(stream);
      this.#failed(id, 'unreachable', error instanceof Error ? error.message : String(error));
    }
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
    for (const port of [...this.#listeners.keys()]) this.unlisten(port);
    for (const stream of [...this.#streams.values()]) if (!stream.isReleased) stream.reset();
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

function failureOf(error: TcpError, silent: boolean): DialFailure {
  if (error.reason === 'tcp_refused' || error.reason === 'tcp_reset') return 'refused';
  if (error.reason === 'tcp_unreachable') return 'unreachable';
  if (error.reason === 'peer_gone') return 'peer_gone';
  return silent ? 'silent' : 'slow';
}

function problemOf(error: TcpError, silent: boolean): string {
  if (error.reason === 'tcp_refused' || error.reason === 'tcp_reset') return 'nothing listens on that port';
  if (error.reason === 'tcp_unreachable' || !silent) return error.message;
  return 'nothing was heard of it; either datagrams do not get through, or it does not know this key any more';
}
