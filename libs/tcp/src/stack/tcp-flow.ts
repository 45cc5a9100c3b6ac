import type { ConnectionOutput, TcpAddress, TcpConnection, TcpError, TcpHandlers } from '../connection/index.js';
import type { IpAddress } from '../wire/address.js';
import type { Route } from '../wire/packet-writer.js';
import { FIN, SYN, type OutgoingSegment } from '../wire/segment.js';
import type { FlowKey } from './flow-key.js';
import { portWord } from './flow-key.js';
import type { Chained } from './hash-table.js';
import type { PeerEntry } from './peer-ledger.js';
import type { FlowRegistry } from './flow-registry.js';
import type { Timed } from './timer-heap.js';

/** The stack's end of one connection: where its segments go, what it holds, when it wakes. */
export class TcpFlow implements ConnectionOutput, FlowKey, Timed, Chained<TcpFlow> {
  readonly hash: number;
  next: TcpFlow | undefined = undefined;
  readonly peer: PeerEntry;
  readonly remoteAddress: IpAddress;
  readonly localIndex: number;
  readonly ports: number;
  readonly route: Route;
  readonly local: TcpAddress;
  readonly remote: TcpAddress;
  connection: TcpConnection | undefined = undefined;
  /** Who hears of the connection, once there is somebody. */
  handlers: TcpHandlers | undefined = undefined;
  isHalfOpen = false;
  /** Out of the table: the connection is over, though it may hold bytes that nobody has read. */
  isClosed = false;
  /** Its rest was thrown away: it has no more turns. */
  isCut = false;
  isInTurn = false;
  memoryBytes = 0;
  // The last word on the wire: a goodbye and TIME-WAIT go on from there.
  hasSent = false;
  sendNext = 0;
  receiveNext = 0;
  timestamp: { value: number; echo: number } | undefined = undefined;
  // Timed
  wakeAt = Infinity;
  heapIndex = -1;
  heapAt = Infinity;
  readonly #registry: FlowRegistry;

  constructor(
    registry: FlowRegistry,
    peer: PeerEntry,
    route: Route,
    localIndex: number,
    localPort: number,
    remotePort: number,
    hash: number,
  ) {
    this.#registry = registry;
    this.peer = peer;
    this.route = route;
    this.remoteAddress = route.remote;
    this.localIndex = localIndex;
    this.ports = portWord(remotePort, localPort);
    this.local = { address: route.local.text, port: localPort };
    this.remote = { address: route.remote.text, port: remotePort };
    this.hash = hash;
  }

  /** Ends it at once. Of a connection that was over already, what nobody has read is thrown away. */
  cut(error: TcpError): void {
    const { connection } = this;
    if (connection === undefined) return;
    connection.abort(error);
    if (connection.unread === 0) return;
    this.isCut = true;
    while (connection.read() !== undefined);
    this.handlers?.closed?.(error);
  }

  transmit(segment: OutgoingSegment): void {
    const { flags } = segment;
    const end = (segment.seq + segment.payloadLength + ((flags & SYN) >>> 1) + (flags & FIN)) | 0;
    if (!this.hasSent || ((end - this.sendNext) | 0) > 0) this.sendNext = end;
    this.hasSent = true;
    this.receiveNext = segment.ack;
    this.timestamp = segment.options.timestamp;
    this.#registry.send(this, segment);
  }

  wake(connection: TcpConnection): void {
    this.connection = connection;
    this.#registry.wake(this);
  }

  closed(): void {
    this.#registry.forget(this);
  }

  memory(delta: number): void {
    this.memoryBytes += delta;
    this.#registry.account(this, delta);
  }

  mayGrow(bytes: number): boolean {
    return this.#registry.mayGrow(this.peer, bytes);
  }
}
