import type { Clock } from '@coral/model';
import { addressFromWords, type IpAddress } from '../wire/address.js';
import type { DropReason } from '../wire/drop-reason.js';
import { readIcmp, writeEcho, writeUnreachable, type IcmpMessage, type Unreachable } from '../wire/icmp-codec.js';
import { IpHeader, readQuotedIpHeader, TCP, UDP } from '../wire/ip-header.js';
import { type PacketWriter, Route } from '../wire/packet-writer.js';
import { TCP_HEADER_BYTES } from '../wire/segment.js';
import type { StackCounters } from './counters.js';
import { portWord } from './flow-key.js';
import type { SecretHash } from './hash-table.js';
import { MIN_MTU_V4, MIN_MTU_V6, type StackLimits } from './limits.js';
import { Pings } from './pings.js';
import { SourceRate } from './source-rate.js';
import type { TcpSide } from './tcp-side.js';
import type { UdpPorts } from './udp-ports.js';

/** Transport bytes an error must quote: the ports, and for TCP the sequence number (RFC 792). */
const LEAST_QUOTE_BYTES = 8;

export interface IcmpSideOptions {
  locals: readonly IpAddress[];
  mtu: number;
  clock: Clock;
  random: (size: number) => Buffer;
  hash: SecretHash;
  limits: StackLimits;
  counters: StackCounters;
  writer: PacketWriter;
  emit: (packet: Buffer) => void;
  tcp: TcpSide;
  udp: UdpPorts;
}

/** ICMP of one stack: echo both ways, errors both ways. An error is believed only if it quotes a live flow of ours. */
export class IcmpSide {
  readonly #o: IcmpSideOptions;
  readonly #pings: Pings;
  readonly #replies: SourceRate;
  readonly #errors: SourceRate;
  readonly #quoted = new IpHeader();

  constructor(options: IcmpSideOptions) {
    this.#o = options;
    const { clock, random, limits, hash } = options;
    this.#pings = new Pings(clock, random, limits.maxPings);
    this.#replies = new SourceRate(limits.echoRepliesPerSecond, hash, clock.monotonic());
    this.#errors = new SourceRate(limits.icmpErrorsPerSecond, hash, clock.monotonic());
  }

  ping(route: Route, timeoutMs: number, done: (roundTripMs: number | undefined) => void): void {
    this.#pings.send(this.#o.writer, route, timeoutMs, done, this.#o.emit);
  }

  onPacket(packet: Buffer, view: DataView, header: IpHeader, localIndex: number): DropReason | undefined {
    const message = readIcmp(packet, view, header);
    if (typeof message === 'string') return message;
    switch (message.kind) {
      case 'echo_request':
        return this.#answer(message, header, localIndex);
      case 'echo_reply':
        return this.#pings.onReply(header, message.id, message.sequence, message.payload)
          ? undefined
          : 'icmp_echo_unexpected';
      case 'unreachable':
      case 'too_big':
        return this.#onError(message, view, header);
    }
  }

  /** Tells the sender of a packet that nobody here takes it; the reason to drop when it has heard that too often. */
  refuse(why: 'port' | 'protocol', packet: Buffer, header: IpHeader, local: IpAddress): DropReason | undefined {
    if (!this.#mayAnswer(this.#errors, header)) return 'icmp_rate';
    this.#o.counters.icmpErrorsSent += 1;
    this.#o.emit(writeUnreachable(this.#o.writer, new Route(local, sourceOf(header)), why, packet, header));
    return undefined;
  }

  nextTimerAt(): number {
    return this.#pings.nextTimerAt();
  }

  onTimer(now: number): void {
    this.#pings.onTimer(now);
  }

  close(): void {
    this.#pings.close();
  }

  #answer(
    request: { id: number; sequence: number; payload: Buffer },
    header: IpHeader,
    localIndex: number,
  ): DropReason | undefined {
    const local = this.#o.locals[localIndex];
    if (local === undefined || !this.#mayAnswer(this.#replies, header)) return 'icmp_rate';
    const route = new Route(local, sourceOf(header));
    // A request larger than our MTU cannot be answered in one packet.
    if (header.end > this.#o.mtu) return 'icmp_malformed';
    this.#o.counters.echoRepliesSent += 1;
    this.#o.emit(writeEcho(this.#o.writer, route, 'echo_reply', request.id, request.sequence, request.payload));
    return undefined;
  }

  #onError(
    message: Extract<IcmpMessage, { quoteStart: number }>,
    view: DataView,
    header: IpHeader,
  ): DropReason | undefined {
    const quoted = this.#quoted;
    const problem = readQuotedIpHeader(view, message.quoteStart, message.quoteEnd, quoted);
    if (problem !== undefined) return problem;
    if (quoted.version !== header.version || quoted.start + LEAST_QUOTE_BYTES > quoted.end)
      return 'icmp_quote_malformed';
    const localIndex = this.#o.locals.findIndex(
      (local) =>
        local.w3 === quoted.source3 &&
        local.w2 === quoted.source2 &&
        local.w1 === quoted.source1 &&
        local.w0 === quoted.source0,
    );
    if (localIndex < 0) return 'icmp_quote_unknown';
    const localPort = view.getUint16(quoted.start);
    const remotePort = view.getUint16(quoted.start + 2);
    quoted.turn();
    if (quoted.protocol === UDP) {
      const isOurs = this.#o.udp.onUnreachable(sourceOf(quoted), remotePort, localPort);
      return isOurs ? undefined : 'icmp_quote_unknown';
    }
    if (quoted.protocol !== TCP) return 'icmp_quote_unknown';
    const seq = view.getUint32(quoted.start + 4);
    const isOurs = this.#o.tcp.onIcmpError(quoted, localIndex, portWord(remotePort, localPort), (connection) => {
      if (message.kind === 'too_big') connection.pathMss(this.#mssFor(message.mtu, quoted), seq);
      else connection.unreachable(problemOf(message.why), seq);
    });
    return isOurs ? undefined : 'icmp_quote_unknown';
  }

  /** Never more than our own MTU, never less than any link carries: an error that says so is a lie (RFC 5927 §7). */
  #mssFor(mtu: number, quoted: IpHeader): number {
    const [least, headerBytes] = quoted.version === 4 ? [MIN_MTU_V4, 20] : [MIN_MTU_V6, 40];
    return Math.min(this.#o.mtu, Math.max(least, mtu)) - headerBytes - TCP_HEADER_BYTES;
  }

  #mayAnswer(rate: SourceRate, header: IpHeader): boolean {
    const { source0, source1, source2, source3 } = header;
    return rate.take(source0, source1, source2, source3, this.#o.clock.monotonic());
  }
}

function sourceOf(header: IpHeader): IpAddress {
  return addressFromWords(header.source0, header.source1, header.source2, header.source3);
}

function problemOf(why: Unreachable): string {
  const words: Record<Unreachable, string> = {
    network: 'there is no way to its network',
    host: 'there is no way to it',
    protocol: 'it speaks no TCP',
    port: 'nothing listens on that port',
    prohibited: 'a router on the way refuses it',
    time_exceeded: 'packets run in a circle on the way',
    malformed: 'a router on the way does not understand our packets',
  };
  return words[why];
}
