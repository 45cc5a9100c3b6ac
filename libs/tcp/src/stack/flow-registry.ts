import type { Clock } from '@coral/model';
import { peerGone, tcpAborted, type TcpAddress, type TcpError } from '../connection/index.js';
import type { IpAddress } from '../wire/address.js';
import type { IpHeader } from '../wire/ip-header.js';
import type { PacketWriter } from '../wire/packet-writer.js';
import { ACK, NO_OPTIONS, RST, type OutgoingSegment } from '../wire/segment.js';
import { writeSegment } from '../wire/tcp-codec.js';
import type { StackCounters } from './counters.js';
import { findFlow, portWord } from './flow-key.js';
import { HashTable, type SecretHash } from './hash-table.js';
import type { StackLimits } from './limits.js';
import { PeerLedger, type PeerEntry } from './peer-ledger.js';
import { memoryExhausted } from './stack.errors.js';
import { TcpFlow } from './tcp-flow.js';
import { TimeWaitFlow } from './time-wait.js';
import { TimerHeap } from './timer-heap.js';

/** Handlers may wake connections in turn; what is left after so many rounds waits for the next turn. */
const ROUNDS_PER_TURN = 8;

export interface FlowRegistryOptions {
  locals: readonly IpAddress[];
  clock: Clock;
  hash: SecretHash;
  limits: StackLimits;
  counters: StackCounters;
  writer: PacketWriter;
  emit: (packet: Buffer) => void;
}

/** All connections of a stack: found by their addresses and ports, woken by time and by turn, counted for each peer. */
export class FlowRegistry {
  readonly #o: FlowRegistryOptions;
  readonly #peers: PeerLedger;
  readonly #flows = new HashTable<TcpFlow>();
  readonly #timers = new TimerHeap<TcpFlow>();
  readonly #timeWaits = new HashTable<TimeWaitFlow>();
  readonly #timeWaitEnds = new TimerHeap<TimeWaitFlow>();
  #turn: TcpFlow[] = [];
  #spareTurn: TcpFlow[] = [];

  constructor(options: FlowRegistryOptions) {
    this.#o = options;
    this.#peers = new PeerLedger(options.hash, options.counters);
  }

  // Found

  peer(address: IpAddress): PeerEntry | undefined {
    return this.#peers.find(address);
  }

  /** The flow a packet belongs to; `hash` is that of {@link hashOf}. */
  find(hash: number, header: IpHeader, localIndex: number, ports: number): TcpFlow | undefined {
    return findFlow(this.#flows.chain(hash), hash, header, localIndex, ports);
  }

  findTimeWait(hash: number, header: IpHeader, localIndex: number, ports: number): TimeWaitFlow | undefined {
    return findFlow(this.#timeWaits.chain(hash), hash, header, localIndex, ports);
  }

  hashOf(header: IpHeader, localIndex: number, ports: number): number {
    const { source0, source1, source2, source3 } = header;
    return this.#o.hash.ofFlow(source0, source1, source2, source3, ports, localIndex);
  }

  /** Whether there is, or shortly was, a connection between these. */
  isTaken(localIndex: number, remote: IpAddress, remotePort: number, localPort: number): boolean {
    const ports = portWord(remotePort, localPort);
    const hash = this.#o.hash.ofFlow(remote.w0, remote.w1, remote.w2, remote.w3, ports, localIndex);
    const isIt = (flow: TcpFlow | TimeWaitFlow) =>
      flow.hash === hash &&
      flow.ports === ports &&
      flow.localIndex === localIndex &&
      flow.remoteAddress.text === remote.text;
    for (let flow = this.#flows.chain(hash); flow !== undefined; flow = flow.next) if (isIt(flow)) return true;
    for (let old = this.#timeWaits.chain(hash); old !== undefined; old = old.next) if (isIt(old)) return true;
    return false;
  }

  /** A new flow, counted and found from now on. The caller gives it its connection. */
  open(localIndex: number, remote: IpAddress, localPort: number, remotePort: number, isHalfOpen: boolean): TcpFlow {
    const local = this.#o.locals[localIndex];
    if (local === undefined) throw new RangeError(`there is no local address ${localIndex}`);
    const peer = this.#peers.open(remote);
    const route = peer.route(localIndex, local);
    const ports = portWord(remotePort, localPort);
    const hash = this.#o.hash.ofFlow(remote.w0, remote.w1, remote.w2, remote.w3, ports, localIndex);
    const flow = new TcpFlow(this, peer, route, localIndex, localPort, remotePort, hash);
    this.#flows.add(flow);
    peer.flows.add(flow);
    peer.connections += 1;
    this.#o.counters.connections += 1;
    if (isHalfOpen) {
      flow.isHalfOpen = true;
      peer.halfOpen += 1;
      this.#o.counters.halfOpen += 1;
    }
    return flow;
  }

  // Woken

  wake(flow: TcpFlow): void {
    if (flow.isInTurn) return;
    flow.isInTurn = true;
    this.#turn.push(flow);
  }

  /** Does the work of the turn, once for each connection that has some. */
  endOfTurn(): void {
    for (let round = 0; round < ROUNDS_PER_TURN && this.#turn.length > 0; round += 1) {
      const turn = this.#turn;
      this.#turn = this.#spareTurn;
      this.#spareTurn = turn;
      let done = 0;
      try {
        for (const flow of turn) {
          done += 1;
          flow.isInTurn = false;
          try {
            if (!flow.isCut) flow.connection?.endOfTurn();
          } finally {
            this.#settle(flow);
          }
        }
      } finally {
        // A handler threw: that is the application's fault, and must not cost the others their turn.
        if (done < turn.length) this.#turn.push(...turn.slice(done));
        turn.length = 0;
      }
    }
  }

  /** Monotonic ms; now when work waits for the end of a turn. */
  nextTimerAt(): number {
    if (this.#turn.length > 0) return this.#o.clock.monotonic();
    return Math.min(this.#timers.nextAt(), this.#timeWaitEnds.nextAt());
  }

  onTimer(now: number): void {
    for (let flow = this.#timers.takeDue(now); flow !== undefined; flow = this.#timers.takeDue(now)) {
      flow.connection?.onTimer();
      this.wake(flow);
    }
    for (let old = this.#timeWaitEnds.takeDue(now); old !== undefined; old = this.#timeWaitEnds.takeDue(now)) {
      this.forgetTimeWait(old);
    }
  }

  // Called by the flows

  send(flow: TcpFlow, segment: OutgoingSegment): void {
    this.#o.counters.txSegments += 1;
    this.#o.emit(writeSegment(this.#o.writer, flow.route, flow.local.port, flow.remote.port, segment));
  }

  account(flow: TcpFlow, delta: number): void {
    flow.peer.memoryBytes += delta;
    this.#o.counters.memoryBytes += delta;
    if (flow.isClosed && flow.memoryBytes === 0) this.#release(flow);
  }

  /** Half of what there is may be promised by large windows; the rest is for those that stay small. */
  mayGrow(peer: PeerEntry, bytes: number): boolean {
    const { limits, counters } = this.#o;
    return (
      peer.memoryBytes + bytes <= limits.maxMemoryBytesPerPeer / 2 &&
      counters.memoryBytes + bytes <= limits.maxMemoryBytes / 2
    );
  }

  leaveHalfOpen(flow: TcpFlow): void {
    if (!flow.isHalfOpen) return;
    flow.isHalfOpen = false;
    flow.peer.halfOpen -= 1;
    this.#o.counters.halfOpen -= 1;
  }

  forget(flow: TcpFlow): void {
    if (flow.isClosed) return;
    flow.isClosed = true;
    this.leaveHalfOpen(flow);
    this.#flows.delete(flow);
    this.#timers.delete(flow);
    flow.peer.connections -= 1;
    this.#o.counters.connections -= 1;
    if (flow.memoryBytes === 0) this.#release(flow);
  }

  // Ended

  /** Ends what the peer has. With `sayGoodbye` one RST per open connection goes out first, and then nothing more. */
  cutPeer(address: IpAddress, sayGoodbye: boolean): void {
    const peer = this.#peers.find(address);
    if (peer === undefined) return;
    for (const timeWait of peer.timeWaits) this.forgetTimeWait(timeWait);
    this.#endAll([...peer.flows], peerGone, sayGoodbye);
  }

  /** Every idle connection with this peer asks whether the peer still knows it. */
  probePeer(address: IpAddress): void {
    for (const flow of this.#peers.find(address)?.flows ?? []) flow.connection?.probe();
  }

  /** Every connection is reset, and its application told. */
  close(): void {
    const flows = this.#peers.all().flatMap((peer) => [...peer.flows]);
    for (let old = this.#timeWaitEnds.first(); old !== undefined; old = this.#timeWaitEnds.first()) {
      this.forgetTimeWait(old);
    }
    this.#endAll(flows, tcpAborted, true);
    this.endOfTurn();
  }

  /** Two MSL from now on, for the first time or again. */
  restartTimeWait(timeWait: TimeWaitFlow): void {
    this.#timeWaitEnds.set(timeWait, this.#o.clock.monotonic() + this.#o.limits.timeWaitMs);
  }

  forgetTimeWait(timeWait: TimeWaitFlow): void {
    this.#timeWaitEnds.delete(timeWait);
    this.#timeWaits.delete(timeWait);
    this.#o.counters.timeWait = this.#timeWaits.size;
    timeWait.peer.timeWaits.delete(timeWait);
    this.#peers.release(timeWait.peer);
  }

  /** All of them, also when a handler throws: that is told when nothing is left. */
  #endAll(flows: readonly TcpFlow[], errorFor: (remote: TcpAddress) => TcpError, sayGoodbye: boolean): void {
    const thrown: unknown[] = [];
    for (const flow of flows) {
      try {
        if (sayGoodbye) this.#sendGoodbye(flow);
        flow.cut(errorFor(flow.remote));
      } catch (error) {
        thrown.push(error);
      }
    }
    if (thrown.length > 0) throw thrown[0];
  }

  #settle(flow: TcpFlow): void {
    const { connection } = flow;
    if (flow.isClosed || connection === undefined) return;
    // All is said and read: what follows needs no connection.
    if (connection.state === 'time_wait' && connection.unread === 0) {
      this.#handOver(flow);
      return;
    }
    const { limits, counters } = this.#o;
    if (flow.peer.memoryBytes > limits.cutMemoryBytesPerPeer) this.#cutLargest(flow.peer);
    else if (counters.memoryBytes > limits.cutMemoryBytes) this.#cutLargest(this.#peers.largest() ?? flow.peer);
    if (!flow.isClosed) this.#timers.set(flow, connection.nextTimerAt());
  }

  #cutLargest(peer: PeerEntry): void {
    let largest: TcpFlow | undefined;
    for (const flow of peer.flows) {
      if (!flow.isClosed && flow.memoryBytes > (largest?.memoryBytes ?? 0)) largest = flow;
    }
    if (largest === undefined) return;
    this.#o.counters.connectionsCut += 1;
    this.#sendGoodbye(largest);
    largest.connection?.abort(memoryExhausted(largest.remote));
  }

  /** Keeps of a connection in TIME-WAIT only what that state needs; the oldest make room. */
  #handOver(flow: TcpFlow): void {
    const { limits, clock, counters } = this.#o;
    const { peer } = flow;
    const timeWait = new TimeWaitFlow(flow, clock.monotonic());
    // Before the connection goes, so that the peer is not forgotten in between.
    peer.timeWaits.add(timeWait);
    flow.connection?.abort(tcpAborted(flow.remote));
    if (peer.timeWaits.size > limits.maxTimeWaitPerPeer) {
      const [oldest] = peer.timeWaits;
      if (oldest !== undefined) this.forgetTimeWait(oldest);
    }
    if (this.#timeWaits.size >= limits.maxTimeWait) {
      const oldest = this.#timeWaitEnds.first();
      if (oldest !== undefined) this.forgetTimeWait(oldest);
    }
    this.#timeWaits.add(timeWait);
    counters.timeWait = this.#timeWaits.size;
    this.restartTimeWait(timeWait);
  }

  #sendGoodbye(flow: TcpFlow): void {
    if (flow.isClosed || !flow.hasSent || flow.connection?.state === 'syn_sent') return;
    this.send(flow, {
      seq: flow.sendNext >>> 0,
      ack: flow.receiveNext,
      flags: RST | ACK,
      window: 0,
      options: NO_OPTIONS,
      payloadLength: 0,
      writePayload: () => undefined,
    });
    this.#o.counters.resetsSent += 1;
  }

  #release(flow: TcpFlow): void {
    flow.peer.flows.delete(flow);
    this.#peers.release(flow.peer);
  }
}
