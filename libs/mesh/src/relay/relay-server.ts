// The colony's end of the WebSocket carrier, on its main thread beside the HTTPS port. It authenticates nobody: it is another
// way for datagrams, and WireGuard, in the mesh's worker, says whose they are. Hence what this file is about: bounds.
//
//   upgrade ─▶ unbound ──an authenticated packet (worker: bind)──▶ bound ──peer removed (worker: cut)──▶ closed
//                 └──5 s, or younger ones need its place──▶ closed
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock, KeyId } from '@coral/model';
import { WebSocketServer, type WebSocket } from 'ws';
import { RelayConnection, type ConnectionHost } from './relay-connection.js';
import { newRelayCounters, type RelayCounters, type RelayEnd } from './relay-counters.js';
import { defaultRelayLimits, type RelayLimits } from './relay.limits.js';
import {
  maxMessageBytes,
  maxMessageFragments,
  maxMessagePieces,
  relayProtocol,
  type CloseReason,
} from './relay-wire.js';
import { sourceOf } from './source-of.js';
import { refusalOf, refuseUpgrade, type UpgradeRefusal } from './upgrade-refusal.js';

/** Where datagrams go: the mesh. `UserspaceMesh.relay` fits. Ids are 16 random bytes as hex, never used twice. */
export interface RelayHost {
  opened(id: string, remoteAddress: string): void;
  /** Once per event-loop turn and connection. All views lie on one ArrayBuffer that may be transferred. */
  datagrams(id: string, datagrams: readonly Buffer[]): void;
  /** Said once of every id that was opened; nothing of it comes after. */
  closed(id: string): void;
  onSend(listener: (id: string, datagrams: readonly Uint8Array[]) => void): void;
  /** An authenticated packet of this peer came over the connection. */
  onBind(listener: (id: string, peer: KeyId) => void): void;
  /** The connection's peer is gone. */
  onCut(listener: (id: string) => void): void;
  /** Bytes handed over with `datagrams` that the worker has not taken yet; absent: taken to be few. */
  backlogBytes?(): number;
}

export interface RelayServerOptions {
  host: RelayHost;
  clock: Clock;
  limits?: Partial<RelayLimits>;
}

/** Carries datagrams between WebSockets and the mesh. Give it the `upgrade` events of the HTTPS server. */
export class RelayServer implements AsyncDisposable {
  readonly limits: RelayLimits;
  readonly #counters = newRelayCounters();
  readonly #host: RelayHost;
  readonly #clock: Clock;
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    maxFragments: maxMessageFragments,
    maxBufferedChunks: maxMessagePieces,
    skipUTF8Validation: true,
    handleProtocols: () => relayProtocol,
  });
  /** In the order they came, oldest first. */
  readonly #connections = new Map<string, RelayConnection>();
  readonly #unbound = new Set<RelayConnection>();
  readonly #bySource = new Map<string, Set<RelayConnection>>();
  readonly #byPeer = new Map<KeyId, Set<RelayConnection>>();
  /** Told to go, and not gone. */
  readonly #leaving = new Set<RelayConnection>();
  readonly #withDatagrams = new Set<RelayConnection>();
  readonly #seat: ConnectionHost;
  #sweeper: NodeJS.Timeout | undefined;
  #closing = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: RelayServerOptions) {
    this.limits = { ...defaultRelayLimits, ...options.limits };
    this.#host = options.host;
    this.#clock = options.clock;
    this.#seat = {
      limits: this.limits,
      counters: this.#counters,
      monotonic: () => this.#clock.monotonic(),
      hasDatagrams: (connection) => this.#hasDatagrams(connection),
      offended: (connection, reason) => this.#end(connection, reason),
      brokeProtocol: (connection, end) => this.#brokeProtocol(connection, end),
      left: (connection) => this.#left(connection),
    };
    // The handshake itself was wrong: method, key or header.
    this.#webSockets.on('wsClientError', (_error, socket) => this.#refuse(socket, 'bad_upgrade'));
    options.host.onSend((id, datagrams) => this.send(id, datagrams));
    options.host.onBind((id, peer) => this.bind(id, peer));
    options.host.onCut((id) => this.cut(id));
  }

  /**
   * For `server.on('upgrade', …)` of node:http, whatever the path. The server's own `headersTimeout` bounds how long a request
   * may take to arrive; this end sees it when it is whole.
   */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const remoteAddress = request.socket.remoteAddress;
    if (remoteAddress === undefined) {
      socket.destroy();
      return;
    }
    const source = sourceOf(remoteAddress);
    const refusal = this.#closing ? 'closing' : (refusalOf(request) ?? this.#noRoom(source));
    if (refusal) {
      this.#refuse(socket, refusal);
      return;
    }
    this.#webSockets.handleUpgrade(request, socket, head, (ws) => this.#opened(ws, socket, remoteAddress, source));
  }

  /** Puts datagrams on the connection; those that find no room, or no connection, are lost and counted. */
  send(id: string, datagrams: readonly Uint8Array[]): void {
    const connection = this.#connections.get(id);
    if (connection) connection.send(datagrams);
    else this.#counters.dropped.not_connected += datagrams.length;
  }

  /** A peer has proved itself over the connection: it may stay, and use it in full. Another peer later takes it over. */
  bind(id: string, peer: KeyId): void {
    const connection = this.#connections.get(id);
    if (!connection || connection.peer === peer) return;
    this.#forgetPeer(connection);
    this.#unbound.delete(connection);
    connection.bind(peer);
    this.#counters.bound += 1;
    const own = setIn(this.#byPeer, peer);
    own.add(connection);
    // The oldest goes: a device that dialled anew is at the newest.
    const [oldest] = own;
    if (oldest && own.size > this.limits.connectionsPerPeer) this.#end(oldest, 'crowded_out');
  }

  /** Its peer is gone: nothing goes in or out from now on. */
  cut(id: string): void {
    const connection = this.#connections.get(id);
    if (connection) this.#end(connection, 'peer_gone');
  }

  /** The peer is gone: all its connections are. Works while the worker does not. */
  cutPeer(peer: KeyId): void {
    for (const connection of this.#byPeer.get(peer) ?? []) this.#end(connection, 'peer_gone');
  }

  counters(): RelayCounters {
    const { refused, closed, dropped } = this.#counters;
    return { ...this.#counters, refused: { ...refused }, closed: { ...closed }, dropped: { ...dropped } };
  }

  /** Looks at ages now; done by itself every `sweepEveryMs`. */
  sweep(): void {
    const now = this.#clock.monotonic();
    for (const connection of this.#unbound) {
      if (now - connection.openedAt < this.limits.unboundMs) break;
      this.#end(connection, 'never_bound');
    }
    for (const connection of this.#connections.values()) {
      if (connection.ping(now)) continue;
      connection.stop();
      this.#forget(connection, 'silent');
      connection.terminate();
    }
    for (const connection of this.#leaving) {
      if (now - connection.overAt >= this.limits.closeGraceMs) connection.terminate();
    }
  }

  /** Everybody is told, then cut off after `closeGraceMs`. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const connection of this.#connections.values()) this.#end(connection, 'going_away');
    if (this.#leaving.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
    this.#restIfEmpty();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #opened(ws: WebSocket, socket: Duplex, remoteAddress: string, source: string): void {
    const id = randomBytes(16).toString('hex');
    const connection = new RelayConnection(this.#seat, { id, ws, socket, remoteAddress, source });
    this.#connections.set(id, connection);
    this.#unbound.add(connection);
    setIn(this.#bySource, source).add(connection);
    this.#counters.open += 1;
    this.#counters.opened += 1;
    this.#sweeper ??= setInterval(() => this.sweep(), this.limits.sweepEveryMs).unref();
    this.#host.opened(id, remoteAddress);
  }

  /** Makes room among those that have proved nothing, the source's own first; says so when there is none to be had. */
  #noRoom(source: string): UpgradeRefusal | undefined {
    const { limits } = this;
    const own = this.#bySource.get(source) ?? new Set();
    const ownUnbound = [...own].filter((connection) => connection.peer === undefined);
    if (own.size >= limits.connectionsPerSource || ownUnbound.length >= limits.unboundPerSource) {
      if (!ownUnbound[0]) return 'source_full';
      this.#end(ownUnbound[0], 'crowded_out');
    }
    if (this.#connections.size >= limits.connections || this.#unbound.size >= limits.unbound) {
      const [oldest] = this.#unbound;
      if (!oldest) return 'full';
      this.#end(oldest, 'crowded_out');
    }
    return undefined;
  }

  #refuse(socket: Duplex, refusal: UpgradeRefusal): void {
    this.#counters.refused[refusal] += 1;
    refuseUpgrade(socket, refusal);
  }

  #hasDatagrams(connection: RelayConnection): void {
    if (this.#withDatagrams.size === 0) setImmediate(() => this.#deliver());
    this.#withDatagrams.add(connection);
  }

  #deliver(): void {
    for (const connection of this.#withDatagrams) this.#deliverFrom(connection);
    this.#withDatagrams.clear();
  }

  #deliverFrom(connection: RelayConnection): void {
    if (connection.over) return;
    const datagrams = connection.takeDatagrams();
    if ((this.#host.backlogBytes?.() ?? 0) > this.limits.workerBacklogBytes) {
      this.#counters.dropped.worker_busy += datagrams.length;
    } else if (datagrams.length > 0) {
      this.#host.datagrams(connection.id, datagrams);
    }
  }

  #end(connection: RelayConnection, reason: CloseReason): void {
    this.#forget(connection, reason);
    this.#leaving.add(connection);
    connection.close(reason);
  }

  /** `ws` says the close code and closes; the rest is as if we had. */
  #brokeProtocol(connection: RelayConnection, end: RelayEnd): void {
    this.#forget(connection, end);
    this.#leaving.add(connection);
    connection.stop();
  }

  #left(connection: RelayConnection): void {
    this.#leaving.delete(connection);
    // What it said before it left still counts.
    this.#deliverFrom(connection);
    connection.over = true;
    this.#forget(connection, 'left');
    this.#restIfEmpty();
  }

  #forget(connection: RelayConnection, end: RelayEnd): void {
    if (!this.#connections.delete(connection.id)) return;
    this.#withDatagrams.delete(connection);
    this.#unbound.delete(connection);
    removeIn(this.#bySource, connection.source, connection);
    this.#forgetPeer(connection);
    this.#counters.open -= 1;
    this.#counters.closed[end] += 1;
    this.#host.closed(connection.id);
  }

  #forgetPeer(connection: RelayConnection): void {
    if (connection.peer === undefined) return;
    removeIn(this.#byPeer, connection.peer, connection);
    this.#counters.bound -= 1;
  }

  #restIfEmpty(): void {
    if (this.#connections.size + this.#leaving.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
    this.#onEmpty?.();
  }
}

function setIn<Key, Value>(map: Map<Key, Set<Value>>, key: Key): Set<Value> {
  const known = map.get(key);
  if (known) return known;
  const made = new Set<Value>();
  map.set(key, made);
  return made;
}

function removeIn<Key, Value>(map: Map<Key, Set<Value>>, key: Key, value: Value): void {
  const set = map.get(key);
  if (set?.delete(value) && set.size === 0) map.delete(key);
}
