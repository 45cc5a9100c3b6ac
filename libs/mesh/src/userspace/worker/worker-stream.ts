import type { TcpConnection, TcpError, TcpHandlers } from '@coral/tcp';
import {
  chunkBytes,
  ownBytes,
  receiveWindowBytes,
  sendWindowBytes,
  type FromWorker,
  type Outbox,
} from '../protocol.js';
import type { WorkerPeer } from './worker-peers.js';

/**
 * Some ten seconds of silence and it is gone: an answer that will never come is not waited for until a deadline, and whoever
 * tries again within a quarter of a minute (libs/mcp-client) has time left to do so.
 */
const keepAlive = { idleMs: 4_000, intervalMs: 1_500, probes: 4 };
/** What a far end may still write to a socket that is closed, before it is cut off. */
export const maxDiscardedBytes = 16 * 1024 * 1024;

/** How a dial ended. `closed`: without an error, which a connection that was never established should not. */
export type DialOutcome = 'connected' | 'gave_up' | 'closed' | TcpError;

/** What a stream needs from its endpoint. */
export interface StreamHost {
  readonly outbox: Outbox<FromWorker>;
  /** It has written what TCP has not sent: look at the end of each turn until that is done. */
  unsettled(stream: WorkerStream): void;
  /** Forget it. */
  gone(stream: WorkerStream): void;
}

/** One TCP connection and its queue to the main thread. */
export class WorkerStream {
  readonly id: number;
  readonly peer: WorkerPeer;
  readonly #host: StreamHost;
  #connection: TcpConnection | undefined;
  #readCredit = receiveWindowBytes;
  #written = 0;
  #credited = 0;
  #released = false;
  #discarded = 0;
  #over = false;
  /** A dial that has not been answered yet. */
  onOutcome: ((outcome: DialOutcome) => void) | undefined;

  constructor(id: number, peer: WorkerPeer, host: StreamHost) {
    this.id = id;
    this.peer = peer;
    this.#host = host;
    peer.streams.add(this);
  }

  readonly handlers: TcpHandlers = {
    connected: () => {
      const onOutcome = this.onOutcome;
      this.onOutcome = undefined;
      onOutcome?.('connected');
    },
    readable: () => this.#deliver(),
    ended: () => {
      if (!this.#over && !this.#released) this.#host.outbox.add({ type: 'ended', id: this.id });
    },
    closed: (error) => this.#closed(error),
  };

  attach(connection: TcpConnection): void {
    this.#connection = connection;
    connection.keepAlive(keepAlive);
  }

  write(bytes: Uint8Array): void {
    if (this.#over || !this.#connection) return;
    this.#written += bytes.length;
    this.#connection.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    this.#host.unsettled(this);
  }

  end(): void {
    if (!this.#over) this.#connection?.end();
  }

  /** The socket has room for so much more. */
  mayRead(bytes: number): void {
    this.#readCredit += bytes;
    this.#deliver();
  }

  /** RST. The main thread hears nothing more of it. */
  reset(): void {
    if (this.#over) return;
    this.#forget();
    this.#connection?.reset();
  }

  /**
   * The socket is closed, after all it had to say: what it wrote and its FIN still go out. What the far end goes on writing is
   * thrown away, up to a bound: a RST at once, as a closed socket gives (RFC 1122 §4.2.2.13), would overtake the last words
   * at whoever is still sending (an HTTP client whose body is refused).
   */
  release(): void {
    if (this.#over) return;
    this.#released = true;
    this.#discard();
  }

  /** A dial that nobody answered in time. */
  giveUp(): void {
    const { onOutcome } = this;
    if (this.#over || !onOutcome) return;
    this.reset();
    onOutcome('gave_up');
  }

  /** Cut from here: RST for the far end, the reason for the main thread. */
  cut(problem: string): void {
    if (this.#over) return;
    const { onOutcome } = this;
    this.reset();
    if (onOutcome) this.#host.outbox.add({ type: 'dial_failed', id: this.id, failure: 'peer_gone', problem });
    else this.#host.outbox.add({ type: 'closed', id: this.id, problem });
  }

  get isReleased(): boolean {
    return this.#released;
  }

  /** All that was written, FIN included, has been acknowledged. */
  get hasLeft(): boolean {
    const { state } = this.#connection ?? { state: 'closed' };
    return state === 'fin_wait_2' || state === 'time_wait' || state === 'closed';
  }

  /** Gives credit for what TCP has sent since. True when there is nothing left to look after. */
  settle(): boolean {
    const unsent = this.#connection?.unsent ?? 0;
    const freed = this.#written - unsent - this.#credited;
    if (this.#over || this.#released) return true;
    if (freed >= sendWindowBytes / 4) {
      this.#credited += freed;
      this.#host.outbox.add({ type: 'credit', id: this.id, bytes: freed });
    }
    return unsent === 0;
  }

  #deliver(): void {
    const connection = this.#connection;
    if (!connection || this.#over) return;
    if (this.#released) return this.#discard();
    while (this.#readCredit > 0) {
      const parts: Buffer[] = [];
      let length = 0;
      while (length < chunkBytes) {
        const part = connection.read();
        if (part === undefined) break;
        parts.push(part);
        length += part.length;
      }
      if (length === 0) return;
      this.#readCredit -= length;
      const bytes = ownBytes(parts, length);
      this.#host.outbox.add({ type: 'bytes', id: this.id, bytes }, bytes);
    }
  }

  #discard(): void {
    for (let part = this.#connection?.read(); part !== undefined; part = this.#connection?.read()) {
      this.#discarded += part.length;
      if (this.#discarded > maxDiscardedBytes) return this.reset();
    }
  }

  #closed(error: TcpError | undefined): void {
    if (this.#over) return;
    const { onOutcome } = this;
    this.#forget();
    if (onOutcome) onOutcome(error ?? 'closed');
    else if (!this.#released) {
      this.#host.outbox.add({ type: 'closed', id: this.id, problem: error === undefined ? undefined : why(error) });
    }
  }

  #forget(): void {
    this.#over = true;
    this.onOutcome = undefined;
    this.peer.streams.delete(this);
    this.#host.gone(this);
  }
}

function why(error: TcpError): string {
  if (error.reason === 'tcp_reset') return 'it cut the connection';
  if (error.reason === 'tcp_timed_out') return 'it does not answer any more';
  return 'the connection broke';
}
