// The client's end of the WebSocket carrier, inside the worker of its mesh. Carries datagrams while it is open, loses them
// while it is not, as UDP would.
//
//   idle ──start──▶ connecting ──▶ open ──lost──▶ waiting ──backoff──▶ connecting …      stop ──▶ idle (from anywhere)
//                       └──failed──▶ waiting
import { randomBytes } from 'node:crypto';
import { toCoralError, type CoralError } from '@coral/errors';
import type { Clock } from '@coral/model';
import type { TLSSocket } from 'node:tls';
import type { WebSocket } from 'ws';
import { dialRelay, type RelayTarget } from './relay-dial.js';
import { relayBrokeRules, relayLost } from './relay.errors.js';
import { isDatagramSize } from './relay-wire.js';

export interface RelayClientLimits {
  /** TCP, proxy, TLS and upgrade together, ms. */
  readonly handshakeMs: number;
  /** Without a word of the server, its pings included, the connection is dead, ms. More than twice its ping interval. */
  readonly silenceMs: number;
  /** Between attempts, ms: the first, doubled each time up to the last; each is shortened by up to half, by chance. */
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** A connection that lasted this long starts the backoff anew, ms. */
  readonly stableMs: number;
  /** Bytes that wait for the network; beyond, the newest datagram is lost. */
  readonly sendQueueBytes: number;
}

export const defaultRelayClientLimits: RelayClientLimits = {
  handshakeMs: 10_000,
  silenceMs: 40_000,
  firstRetryMs: 250,
  lastRetryMs: 15_000,
  stableMs: 10_000,
  sendQueueBytes: 262_144,
};

export type RelayState = 'idle' | 'connecting' | 'open' | 'waiting';

/** Where the far end is, to WireGuard: the same for every connection of one client. */
export interface RelayEndpoint {
  readonly carrier: 'ws';
  readonly address: string;
  readonly port: 0;
}

export interface RelayClientOptions {
  target: RelayTarget;
  clock: Clock;
  /** The buffer is given away. */
  onDatagram(datagram: Buffer, from: RelayEndpoint): void;
  /** `error`: why it is `waiting`. */
  onState(state: RelayState, error: CoralError | undefined): void;
  /** From 0 up to 1, for the jitter. */
  random?: () => number;
  limits?: Partial<RelayClientLimits>;
}

export interface RelayClientCounters {
  rxDatagrams: number;
  rxBytes: number;
  txDatagrams: number;
  txBytes: number;
  connections: number;
  failures: number;
  dropped: { not_connected: number; send_queue_full: number };
}

/** One WebSocket to the colony, opened again and again while it is wanted. Fits the `Carrier` of the mesh's worker. */
export class RelayClient {
  readonly kind = 'ws';
  readonly endpoint: RelayEndpoint = { carrier: 'ws', address: randomBytes(16).toString('hex'), port: 0 };
  readonly #o: RelayClientOptions;
  readonly #limits: RelayClientLimits;
  readonly #random: () => number;
  readonly #counters: RelayClientCounters = {
    rxDatagrams: 0,
    rxBytes: 0,
    txDatagrams: 0,
    txBytes: 0,
    connections: 0,
    failures: 0,
    dropped: { not_connected: 0, send_queue_full: 0 },
  };
  #state: RelayState = 'idle';
  #open: { ws: WebSocket; socket: TLSSocket; since: number } | undefined;
  #dialling: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempts = 0;
  #corked = false;
  #lastError: CoralError | undefined;
  /** Attempts and connections that are not over, wanted or not: `close` waits for them, and cuts them off. */
  readonly #running = new Set<{ over: Promise<void>; cut(): void }>();

  constructor(options: RelayClientOptions) {
    this.#o = options;
    this.#limits = { ...defaultRelayClientLimits, ...options.limits };
    this.#random = options.random ?? Math.random;
  }

  get state(): RelayState {
    return this.#state;
  }

  /** Why there is no connection, or why the last one ended. */
  get lastError(): CoralError | undefined {
    return this.#lastError;
  }

  /** From now on it is wanted. */
  start(): void {
    if (this.#state === 'idle') this.#dial();
  }

  /** It is not wanted any more: the connection is closed, attempts are given up. */
  stop(): void {
    if (this.#state === 'idle') return;
    this.#dialling?.abort();
    this.#dialling = undefined;
    clearTimeout(this.#timer);
    this.#attempts = 0;
    const open = this.#open;
    this.#open = undefined;
    open?.ws.close(1000);
    this.#turnTo('idle', undefined);
  }

  /** The buffer is given away. False when it was dropped: no connection, or too much waits. */
  send(datagram: Buffer): boolean {
    const open = this.#open;
    const { dropped } = this.#counters;
    if (!open) {
      dropped.not_connected += 1;
      return false;
    }
    if (open.ws.bufferedAmount + datagram.length > this.#limits.sendQueueBytes) {
      dropped.send_queue_full += 1;
      return false;
    }
    this.#cork(open.socket);
    open.ws.send(datagram, { binary: true, compress: false }, ignoreSendError);
    this.#counters.txDatagrams += 1;
    this.#counters.txBytes += datagram.length;
    return true;
  }

  counters(): RelayClientCounters {
    return { ...this.#counters, dropped: { ...this.#counters.dropped } };
  }

  /** Nothing is left open when it resolves; it can be started again. */
  async close(): Promise<void> {
    this.stop();
    const late = setTimeout(() => {
      for (const one of this.#running) one.cut();
    }, closeGraceMs);
    while (this.#running.size > 0) await Promise.all([...this.#running].map(({ over }) => over));
    clearTimeout(late);
  }

  #dial(): void {
    const dialling = new AbortController();
    this.#dialling = dialling;
    this.#turnTo('connecting', undefined);
    const { target } = this.#o;
    const attempt = dialRelay(target, { timeoutMs: this.#limits.handshakeMs, signal: dialling.signal }).then(
      ({ ws, socket }) => {
        if (this.#dialling !== dialling) return ws.terminate();
        this.#dialling = undefined;
        this.#opened(ws, socket);
      },
      (error: unknown) => {
        if (this.#dialling !== dialling) return;
        this.#dialling = undefined;
        this.#counters.failures += 1;
        this.#retryLater(toCoralError(error));
      },
    );
    this.#track(attempt, () => dialling.abort());
  }

  #opened(ws: WebSocket, socket: TLSSocket): void {
    const now = this.#o.clock.monotonic();
    this.#open = { ws, socket, since: now };
    this.#counters.connections += 1;
    let broken: CoralError | undefined;
    const silence = setTimeout(() => ws.terminate(), this.#limits.silenceMs);
    ws.on('ping', () => silence.refresh());
    ws.on('message', (data, isBinary) => {
      silence.refresh();
      if (this.#open?.ws !== ws) return;
      const datagram = data as Buffer;
      if (isBinary && isDatagramSize(datagram.length)) return this.#received(datagram);
      broken ??= relayBrokeRules(this.#where(), isBinary ? `a message of ${datagram.length} bytes` : 'text');
      ws.close(isBinary ? 1009 : 1003);
    });
    const ended = new Promise<void>((resolve) => {
      ws.once('close', (code, reason) => {
        clearTimeout(silence);
        if (this.#open?.ws === ws) this.#lost(broken ?? relayLost(this.#where(), code, printable(reason)));
        resolve();
      });
    });
    this.#track(ended, () => ws.terminate());
    this.#turnTo('open', undefined);
  }

  #received(datagram: Buffer): void {
    this.#counters.rxDatagrams += 1;
    this.#counters.rxBytes += datagram.length;
    this.#o.onDatagram(datagram, this.endpoint);
  }

  #lost(error: CoralError): void {
    const lasted = this.#o.clock.monotonic() - (this.#open?.since ?? 0);
    this.#open = undefined;
    if (lasted >= this.#limits.stableMs) this.#attempts = 0;
    this.#retryLater(error);
  }

  #retryLater(error: CoralError): void {
    const { firstRetryMs, lastRetryMs } = this.#limits;
    const longest = Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(this.#attempts, 20));
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.#dial(), longest * (1 - this.#random() / 2));
    this.#turnTo('waiting', error);
  }

  #turnTo(state: RelayState, error: CoralError | undefined): void {
    this.#state = state;
    if (error) this.#lastError = error;
    this.#o.onState(state, error);
  }

  /** What is sent in one go leaves in one record of TLS in place of two for each datagram. */
  #cork(socket: TLSSocket): void {
    if (this.#corked) return;
    this.#corked = true;
    socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      socket.uncork();
    });
  }

  #track(ending: Promise<void>, cut: () => void): void {
    const running = { over: ending.finally(() => this.#running.delete(running)), cut };
    this.#running.add(running);
  }

  #where(): string {
    const { host, port } = this.#o.target;
    return `${host.includes(':') ? `[${host}]` : host}:${port}`;
  }
}

/** The far end may answer our close frame for this long, ms. */
const closeGraceMs = 1_000;

/** The far end's word, for people: short, and nothing a terminal would obey. */
function printable(reason: Buffer): string {
  return reason.toString('latin1').replaceAll(/[^\x20-\x7e]/g, '?');
}

/** The datagram is lost; the connection's end is told by its `close`. */
function ignoreSendError(): void {
  return undefined;
}
