import { Duplex } from 'node:stream';
import type { TcpConnection, TcpHandlers } from '@coral/tcp';

/** A connection of the TCP core as a Node stream, in one event loop with it: half-open, and with backpressure both ways. */
export class CoreSocket extends Duplex {
  readonly connected: Promise<void>;
  #connection: TcpConnection | undefined;
  #turn: () => void;
  #wantsBytes = false;
  #onWritable: (() => void) | undefined;
  /** FIN received, FIN sent or about to be: the core finishes by itself. */
  #hasEnded = false;
  #hasFinished = false;
  #isConnected = false;
  #isOver = false;
  #resolveConnected!: () => void;
  #rejectConnected!: (error: Error) => void;

  /** `turn` is called after every call into the connection, so that what it caused is sent. */
  constructor(turn: () => void) {
    super({ allowHalfOpen: true, highWaterMark: 256 * 1024 });
    this.#turn = turn;
    this.connected = new Promise((resolve, reject) => {
      this.#resolveConnected = resolve;
      this.#rejectConnected = reject;
    });
    // Whoever waits for it hears of it; the stream's own 'error' tells the rest.
    this.connected.catch(() => undefined);
  }

  readonly handlers: TcpHandlers = {
    connected: () => {
      this.#isConnected = true;
      this.#resolveConnected();
    },
    readable: () => {
      if (this.#wantsBytes) this.#pump();
    },
    writable: () => {
      const next = this.#onWritable;
      this.#onWritable = undefined;
      next?.();
    },
    ended: () => {
      this.#hasEnded = true;
      this.push(null);
    },
    closed: (error) => {
      this.#isOver = true;
      if (!error) return; // In order: the reader may still have to take what lies in the stream.
      // Who awaits `connected` hears it there, and who reset it knows: neither needs an 'error' event.
      const isNews = this.#isConnected && error.reason !== 'tcp_aborted';
      this.destroy(isNews ? error : undefined);
      this.#rejectConnected(error);
    },
  };

  attach(connection: TcpConnection): this {
    this.#connection = connection;
    this.#isConnected = connection.state === 'established';
    if (this.#isConnected) this.#resolveConnected();
    return this;
  }

  get connection(): TcpConnection {
    if (!this.#connection) throw new Error('the socket is not attached yet');
    return this.#connection;
  }

  get localPort(): number {
    return this.connection.local.port;
  }

  /** As a kernel's socket has it: RST, not FIN. */
  resetAndDestroy(): void {
    this.destroy();
  }

  override _read(): void {
    this.#wantsBytes = true;
    this.#pump();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.connection.write(chunk)) done();
    else this.#onWritable = done;
    this.#turn();
  }

  override _final(done: () => void): void {
    this.#hasFinished = true;
    this.connection.end();
    this.#turn();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const isInOrder = this.#hasEnded && this.#hasFinished && !error;
    if (!this.#isOver && !isInOrder && this.#connection) {
      this.#isOver = true;
      this.#connection.reset();
      this.#turn();
    }
    done(error);
  }

  #pump(): void {
    const connection = this.#connection;
    if (!connection || this.#isOver) return;
    while (this.#wantsBytes) {
      const bytes = connection.read();
      if (!bytes) break;
      this.#wantsBytes = this.push(bytes);
    }
    this.#turn();
  }
}
