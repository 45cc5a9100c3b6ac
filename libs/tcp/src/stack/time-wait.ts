import type { IpAddress } from '../wire/address.js';
import type { Route } from '../wire/packet-writer.js';
import { ACK, FIN, NO_OPTIONS, RST, SYN, type OutgoingSegment, type Segment } from '../wire/segment.js';
import { wireDistance } from '../connection/index.js';
import type { FlowKey } from './flow-key.js';
import type { Chained } from './hash-table.js';
import type { PeerEntry } from './peer-ledger.js';
import type { TcpFlow } from './tcp-flow.js';
import type { Timed } from './timer-heap.js';

/** Duplicates and half-wits get at most this many ACKs per second from one flow (RFC 5961 §7). */
const ACKS_PER_SECOND = 5;

/**
 * What is left of a connection in TIME-WAIT (RFC 9293 §3.6.1): enough to acknowledge the peer's FIN once more and to
 * tell a new connection from an old segment; the connection itself is gone.
 */
export class TimeWaitFlow implements FlowKey, Chained<TimeWaitFlow>, Timed {
  readonly hash: number;
  next: TimeWaitFlow | undefined = undefined;
  readonly peer: PeerEntry;
  readonly remoteAddress: IpAddress;
  readonly localIndex: number;
  readonly ports: number;
  readonly route: Route;
  wakeAt = Infinity;
  heapIndex = -1;
  heapAt = Infinity;
  readonly #sendNext: number;
  readonly #receiveNext: number;
  readonly #timestamp: { value: number; echo: number } | undefined;
  readonly #since: number;
  #acksFrom = 0;
  #acks = 0;

  constructor(flow: TcpFlow, now: number) {
    this.hash = flow.hash;
    this.peer = flow.peer;
    this.remoteAddress = flow.remoteAddress;
    this.localIndex = flow.localIndex;
    this.ports = flow.ports;
    this.route = flow.route;
    this.#sendNext = flow.sendNext >>> 0;
    this.#receiveNext = flow.receiveNext;
    this.#timestamp = flow.timestamp && { ...flow.timestamp };
    this.#since = now;
  }

  /** Whether this SYN begins a new connection (RFC 9293 §3.10.7.4, RFC 6191 §2): it must be newer than all that was. */
  givesWayTo(segment: Segment): boolean {
    if ((segment.flags & (SYN | ACK | RST | FIN)) !== SYN) return false;
    const newer = segment.options.timestamp;
    if (newer !== undefined && this.#timestamp !== undefined) {
      const distance = wireDistance(newer.value, this.#timestamp.echo);
      if (distance !== 0) return distance > 0;
    }
    return wireDistance(segment.seq, this.#receiveNext) > 0;
  }

  /** A FIN that came again restarts the 2 MSL: our ACK of it was lost. A RST ends nothing (RFC 1337 §3). */
  isLastFinAgain(segment: Segment): boolean {
    if ((segment.flags & FIN) === 0 || (segment.flags & (SYN | RST)) !== 0) return false;
    return (segment.seq + segment.payload.length + 1) >>> 0 === this.#receiveNext;
  }

  /** The answer to anything but a RST and our own ACK come back: the last ACK once more. */
  answerTo(segment: Segment, now: number): OutgoingSegment | undefined {
    if ((segment.flags & RST) !== 0) return undefined;
    const isPlainAck = (segment.flags & (SYN | FIN)) === 0 && segment.payload.length === 0;
    if (isPlainAck && segment.seq === this.#receiveNext) return undefined;
    if (now - this.#acksFrom >= 1000) {
      this.#acksFrom = now;
      this.#acks = 0;
    }
    this.#acks += 1;
    if (this.#acks > ACKS_PER_SECOND) return undefined;
    const timestamp = this.#timestamp && {
      value: (this.#timestamp.value + Math.floor(now - this.#since)) >>> 0,
      echo: this.#timestamp.echo,
    };
    return {
      seq: this.#sendNext,
      ack: this.#receiveNext,
      flags: ACK,
      window: 0,
      options: timestamp === undefined ? NO_OPTIONS : { ...NO_OPTIONS, timestamp },
      payloadLength: 0,
      writePayload: () => undefined,
    };
  }
}
