import type { Duplex } from 'node:stream';
import type { KeyId } from '@coral/model';
import type { WebSocket } from 'ws';
import type { RelayCounters, RelayEnd } from './relay-counters.js';
import type { RelayLimits } from './relay.limits.js';
import { closeCodes, isDatagramSize, minDatagramBytes, type CloseReason } from './relay-wire.js';
import { TokenBucket } from './token-bucket.js';

/** What a connection has to say to the server that holds it. */
export interface ConnectionHost {
  readonly limits: RelayLimits;
  readonly counters: RelayCounters;
  monotonic(): number;
  /** It has datagrams to take, for the first time since they were taken. */
  hasDatagrams(connection: RelayConnection): void;
  /** It broke a rule and must go. */
  offended(connection: RelayConnection, reason: CloseReason): void;
  /** It broke the rules of WebSocket; `ws` is closing it. */
  brokeProtocol(connection: RelayConnection, end: RelayEnd): void;
  /** The other end has gone, in whatever way. */
  left(connection: RelayConnection): void;
}

/** One WebSocket that carries datagrams. Knows nothing of other connections, nor of peers but the name of its own. */
export class RelayConnection {
  readonly id: string;
  readonly remoteAddress: string;
  /** Whom the caps count it for. */
  readonly source: string;
  readonly openedAt: number;
  /** The peer that proved itself over it. */
  peer: KeyId | undefined;
  /** Set when this end is done with it; whatever still comes in is nobody's. */
  over = false;
  overAt = 0;
  readonly #host: ConnectionHost;
  readonly #ws: WebSocket;
  readonly #socket: Duplex;
  readonly #bucket: TokenBucket;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #nextPingAt: number;
  #pingsUnanswered = 0;

  constructor(
    host: ConnectionHost,
    o: { id: string; ws: WebSocket; socket: Duplex; remoteAddress: string; source: string },
  ) {
    const now = host.monotonic();
    this.#host = host;
    this.#ws = o.ws;
    this.#socket = o.socket;
    this.id = o.id;
    this.remoteAddress = o.remoteAddress;
    this.source = o.source;
    this.openedAt = now;
    this.#bucket = new TokenBucket(host.limits.unboundRate, host.limits.unboundBurst, now);
    this.#nextPingAt = now + host.limits.pingEveryMs;
    o.ws.on('message', (data, isBinary) => this.#onMessage(data as Buffer, isBinary));
    o.ws.on('ping', () => this.#onControl());
    o.ws.on('pong', () => {
      this.#pingsUnanswered = 0;
      this.#onControl();
    });
    // `ws` closes by itself, with the code that the error asks for. Errors of the socket come as `close` alone.
    o.ws.on('error', (error: NodeJS.ErrnoException) => {
      const tooLarge = error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH';
      if (!this.over) host.brokeProtocol(this, tooLarge ? 'datagram_too_large' : 'broke_protocol');
    });
    o.ws.on('close', () => host.left(this));
  }

  /** Datagrams since the last call, as views of one ArrayBuffer that nobody else has: it can be transferred. */
  takeDatagrams(): Buffer[] {
    const bytes = Buffer.allocUnsafeSlow(this.#waitingBytes);
    let at = 0;
    const datagrams = this.#waiting.map((datagram) => {
      const start = at;
      at += datagram.copy(bytes, start);
      return bytes.subarray(start, at);
    });
    this.#waiting = [];
    this.#waitingBytes = 0;
    return datagrams;
  }

  bind(peer: KeyId): void {
    const { limits } = this.#host;
    this.peer = peer;
    this.#bucket.widen(limits.boundRate, limits.boundBurst, this.#host.monotonic());
  }

  send(datagrams: readonly Uint8Array[]): void {
    const { counters, limits } = this.#host;
    // One record of TLS for the batch in place of two for each datagram.
    this.#socket.cork();
    for (const datagram of datagrams) {
      if (this.#ws.bufferedAmount + datagram.length > limits.sendQueueBytes) {
        counters.dropped.send_queue_full += 1;
        continue;
      }
      this.#ws.send(datagram, { binary: true, compress: false }, ignoreSendError);
      counters.txDatagrams += 1;
      counters.txBytes += datagram.length;
    }
    this.#socket.uncork();
  }

  /** Asks whether the other end is there, when it is time to. False: it has not answered for too long. */
  ping(now: number): boolean {
    if (now < this.#nextPingAt) return true;
    const { missedPongs, pingEveryMs } = this.#host.limits;
    if (this.#pingsUnanswered >= missedPongs) return false;
    this.#pingsUnanswered += 1;
    this.#nextPingAt = now + pingEveryMs;
    this.#ws.ping(undefined, undefined, ignoreSendError);
    return true;
  }

  /** Nothing more goes in or out; the other end hears why, and is cut off by {@link terminate} if it does not leave. */
  close(reason: CloseReason): void {
    this.stop();
    this.#ws.close(closeCodes[reason], reason);
  }

  /** Nothing more comes in. */
  stop(): void {
    this.over = true;
    this.overAt = this.#host.monotonic();
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  terminate(): void {
    this.#ws.terminate();
  }

  #onMessage(data: Buffer, isBinary: boolean): void {
    if (this.over) return;
    const host = this.#host;
    const { counters } = host;
    if (!isBinary) return host.offended(this, 'text_message');
    if (!isDatagramSize(data.length)) {
      return host.offended(this, data.length < minDatagramBytes ? 'datagram_too_small' : 'datagram_too_large');
    }
    if (!this.#bucket.take(host.monotonic())) {
      counters.dropped.rate_limited += 1;
      return;
    }
    counters.rxDatagrams += 1;
    counters.rxBytes += data.length;
    this.#waiting.push(data);
    this.#waitingBytes += data.length;
    if (this.#waiting.length === 1) host.hasDatagrams(this);
  }

  /** Pings cost us an answer and never reach WireGuard's own limits: they take from the same bucket, and end at its bottom. */
  #onControl(): void {
    if (!this.over && !this.#bucket.take(this.#host.monotonic())) this.#host.offended(this, 'control_flood');
  }
}

/** A datagram that could not be written is lost; the connection's end is told by its `close`. */
function ignoreSendError(): void {
  return undefined;
}
