import type { Clock } from '@coral/model';
import {
  InitialSequence,
  resetFor,
  TcpConnection,
  type ConnectionOptions,
  type TcpHandlers,
  type TcpLimits,
} from '../connection/index.js';
import { addressFromWords, type IpAddress } from '../wire/address.js';
import type { DropReason } from '../wire/drop-reason.js';
import type { IpHeader } from '../wire/ip-header.js';
import { type PacketWriter, Route } from '../wire/packet-writer.js';
import { ACK, FIN, RST, SYN, TCP_HEADER_BYTES, type Segment } from '../wire/segment.js';
import { readSegment, writeSegment } from '../wire/tcp-codec.js';
import type { StackCounters } from './counters.js';
import { portWord } from './flow-key.js';
import { FlowRegistry } from './flow-registry.js';
import type { SecretHash } from './hash-table.js';
import type { StackLimits } from './limits.js';
import { PortPicker } from './port-picker.js';
import { SourceRate } from './source-rate.js';
import { noPortLeft, portInUse, tooManyConnections } from './stack.errors.js';
import type { TcpFlow } from './tcp-flow.js';

const NOTHING = Buffer.alloc(0);

/** Called when a connection to the port is established. `undefined` resets it. */
export type Accept = (connection: TcpConnection) => TcpHandlers | undefined;

export interface TcpListener {
  readonly port: number;
  /** No new connections. Those there are go on; those still in their handshake are reset when it completes. */
  close(): void;
}

/** An object of its own for each `listen`, so that closing one twice does not close the next. */
interface Listening {
  accept: Accept;
}

export interface TcpSideOptions {
  locals: readonly IpAddress[];
  mtu: number;
  clock: Clock;
  random: (size: number) => Buffer;
  hash: SecretHash;
  limits: StackLimits;
  tcp: Partial<TcpLimits> | undefined;
  counters: StackCounters;
  writer: PacketWriter;
  emit: (packet: Buffer) => void;
}

/** TCP of one stack: which segment goes to which connection, who may open one, what strangers hear. */
export class TcpSide {
  readonly registry: FlowRegistry;
  readonly #o: TcpSideOptions;
  readonly #listeners = new Map<number, Listening>();
  readonly #ports: PortPicker;
  readonly #sequences: InitialSequence;
  readonly #resets: SourceRate;

  constructor(options: TcpSideOptions) {
    this.#o = options;
    const { limits, random, hash } = options;
    this.registry = new FlowRegistry(options);
    this.#ports = new PortPicker(random, limits.firstEphemeralPort, limits.lastEphemeralPort);
    this.#sequences = new InitialSequence(random);
    this.#resets = new SourceRate(limits.resetsPerSecond, hash, options.clock.monotonic());
  }

  listen(port: number, accept: Accept): TcpListener {
    const isFree = (candidate: number) => !this.#listeners.has(candidate);
    const chosen = port === 0 ? this.#ports.pick('listen', isFree) : port;
    if (chosen === undefined) throw noPortLeft();
    if (!isFree(chosen)) throw portInUse(chosen);
    const listening: Listening = { accept };
    this.#listeners.set(chosen, listening);
    return {
      port: chosen,
      close: () => {
        if (this.#listeners.get(chosen) === listening) this.#listeners.delete(chosen);
      },
    };
  }

  /** `localPort` 0 picks one. */
  connect(
    localIndex: number,
    remote: IpAddress,
    port: number,
    localPort: number,
    handlers: TcpHandlers,
  ): TcpConnection {
    const { counters, limits } = this.#o;
    if (counters.connections >= limits.maxConnections) throw tooManyConnections(limits.maxConnections);
    if ((this.registry.peer(remote)?.connections ?? 0) >= limits.maxConnectionsPerPeer) {
      throw tooManyConnections(limits.maxConnectionsPerPeer, remote.text);
    }
    const isTaken = (candidate: number) => this.registry.isTaken(localIndex, remote, port, candidate);
    if (localPort !== 0 && isTaken(localPort)) throw portInUse(localPort);
    const isFree = (candidate: number) => !this.#listeners.has(candidate) && !isTaken(candidate);
    const chosen = localPort || this.#ports.pick(`${localIndex}|${remote.text}|${port}`, isFree);
    if (chosen === undefined) throw noPortLeft();
    const flow = this.registry.open(localIndex, remote, chosen, port, false);
    const connection = TcpConnection.connect({ ...this.#optionsOf(flow), handlers });
    flow.handlers = handlers;
    this.#begin(flow, connection);
    counters.connectionsOpened += 1;
    return connection;
  }

  /** A segment in a packet whose addresses were found to be right. */
  onPacket(packet: Buffer, view: DataView, header: IpHeader, localIndex: number): DropReason | undefined {
    const segment = readSegment(packet, view, header);
    if (typeof segment === 'string') return segment;
    this.#o.counters.rxSegments += 1;
    const ports = portWord(segment.sourcePort, segment.destinationPort);
    const hash = this.registry.hashOf(header, localIndex, ports);
    const flow = this.registry.find(hash, header, localIndex, ports);
    if (flow?.connection !== undefined) {
      if (segment.payload.length > 0) this.#keepWithinMemory(flow, segment);
      if (flow.connection.receive(segment)) return undefined;
    } else {
      const timeWait = this.registry.findTimeWait(hash, header, localIndex, ports);
      if (timeWait !== undefined) {
        if (!timeWait.givesWayTo(segment)) {
          const now = this.#o.clock.monotonic();
          const answer = timeWait.answerTo(segment, now);
          if (answer !== undefined) this.#transmit(timeWait.route, segment, answer);
          if (timeWait.isLastFinAgain(segment)) this.registry.restartTimeWait(timeWait);
          return 'tcp_time_wait';
        }
        this.registry.forgetTimeWait(timeWait);
      }
    }
    return this.#onStranger(segment, header, localIndex);
  }

  /** Passes an ICMP error on to the connection whose packet it quotes; `quoted` is turned. False: there is none. */
  onIcmpError(quoted: IpHeader, localIndex: number, ports: number, tell: (connection: TcpConnection) => void): boolean {
    const flow = this.registry.find(this.registry.hashOf(quoted, localIndex, ports), quoted, localIndex, ports);
    if (flow?.connection === undefined) return false;
    tell(flow.connection);
    this.registry.wake(flow);
    return true;
  }

  close(): void {
    this.#listeners.clear();
    this.registry.close();
  }

  /** RFC 9293 §3.10.7.1 and §3.10.7.2: a segment for which there is no connection. */
  #onStranger(segment: Segment, header: IpHeader, localIndex: number): DropReason | undefined {
    const { flags } = segment;
    if ((flags & RST) !== 0) return 'tcp_no_connection';
    const listening = this.#listeners.get(segment.destinationPort);
    if (listening === undefined || (flags & ACK) !== 0) return this.#refuse(segment, header, localIndex);
    // A SYN that ends what it begins, or no SYN at all, comes from no TCP.
    if ((flags & (SYN | FIN)) !== SYN) return 'tcp_no_connection';
    return this.#open(segment, header, localIndex, listening);
  }

  #open(syn: Segment, header: IpHeader, localIndex: number, listening: Listening): DropReason | undefined {
    const { limits, counters } = this.#o;
    const remote = addressFromWords(header.source0, header.source1, header.source2, header.source3);
    const peer = this.registry.peer(remote);
    // Dropped without a word: the SYN comes again when there may be room.
    if (counters.halfOpen >= limits.maxHalfOpen) return 'tcp_half_open_full';
    if (counters.connections >= limits.maxConnections) return 'tcp_connections_full';
    if (counters.memoryBytes >= limits.maxMemoryBytes) return 'tcp_memory_full';
    if (peer !== undefined) {
      if (peer.halfOpen >= limits.maxHalfOpenPerPeer) return 'tcp_half_open_peer_full';
      if (peer.connections >= limits.maxConnectionsPerPeer) return 'tcp_connections_peer_full';
      if (peer.memoryBytes >= limits.maxMemoryBytesPerPeer) return 'tcp_memory_peer_full';
    }
    const flow = this.registry.open(localIndex, remote, syn.destinationPort, syn.sourcePort, true);
    const connection = TcpConnection.accept(
      { ...this.#optionsOf(flow), accept: (established) => this.#established(flow, established, listening) },
      syn,
    );
    this.#begin(flow, connection);
    return undefined;
  }

  #established(flow: TcpFlow, connection: TcpConnection, listening: Listening): TcpHandlers | undefined {
    this.registry.leaveHalfOpen(flow);
    // The listener may have been closed, or another opened, since the SYN.
    const isOpen = this.#listeners.get(flow.local.port) === listening;
    const handlers = isOpen ? listening.accept(connection) : undefined;
    if (handlers === undefined) this.#o.counters.drops.tcp_not_accepted += 1;
    else this.#o.counters.connectionsAccepted += 1;
    flow.handlers = handlers;
    return handlers;
  }

  #begin(flow: TcpFlow, connection: TcpConnection): void {
    flow.connection = connection;
    this.registry.wake(flow);
  }

  #optionsOf(flow: TcpFlow): ConnectionOptions {
    const { clock, mtu, tcp } = this.#o;
    const { local, remote } = flow;
    return {
      local,
      remote,
      clock,
      output: flow,
      initialSequence: this.#sequences.next(local, remote, clock.monotonic()),
      timestampOffset: this.#sequences.timestampOffset(local, remote),
      mss: mtu - flow.route.headerBytes - TCP_HEADER_BYTES,
      limits: tcp,
    };
  }

  /** Over the limit the payload is left out: its acknowledgement still counts, and the peer sends the bytes again. */
  #keepWithinMemory(flow: TcpFlow, segment: Segment): void {
    const { limits, counters } = this.#o;
    const size = segment.payload.length;
    if (
      flow.peer.memoryBytes + size <= limits.maxMemoryBytesPerPeer &&
      counters.memoryBytes + size <= limits.maxMemoryBytes
    )
      return;
    segment.payload = NOTHING;
    segment.flags &= ~FIN;
    counters.payloadsRefused += 1;
  }

  #refuse(segment: Segment, header: IpHeader, localIndex: number): DropReason {
    const reset = resetFor(segment);
    const local = this.#o.locals[localIndex];
    if (reset === undefined || local === undefined) return 'tcp_no_connection';
    const { source0, source1, source2, source3 } = header;
    if (!this.#resets.take(source0, source1, source2, source3, this.#o.clock.monotonic())) return 'tcp_reset_rate';
    this.#o.counters.resetsSent += 1;
    this.#transmit(new Route(local, addressFromWords(source0, source1, source2, source3)), segment, reset);
    return 'tcp_no_connection';
  }

  #transmit(route: Route, answered: Segment, answer: Parameters<typeof writeSegment>[4]): void {
    this.#o.counters.txSegments += 1;
    this.#o.emit(writeSegment(this.#o.writer, route, answered.destinationPort, answered.sourcePort, answer));
  }
}
