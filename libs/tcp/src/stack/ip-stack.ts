import type { Clock } from '@coral/model';
import type { TcpConnection, TcpHandlers, TcpLimits } from '../connection/index.js';
import { isUnicast, MAPPED, parseAddress, sameAddress, type IpAddress } from '../wire/address.js';
import type { DropReason } from '../wire/drop-reason.js';
import { IpHeader, readIpHeader, TCP, UDP, ICMP, ICMPV6 } from '../wire/ip-header.js';
import { PacketWriter, Route } from '../wire/packet-writer.js';
import { newStackCounters, type StackCounters } from './counters.js';
import { SecretHash } from './hash-table.js';
import { IcmpSide } from './icmp-side.js';
import { defaultStackLimits, MAX_MTU, MIN_MTU_V4, MIN_MTU_V6, type StackLimits } from './limits.js';
import { PortPicker } from './port-picker.js';
import { addressIsOurs, badAddress, badMtu, badPort, noLocalAddress, stackClosed } from './stack.errors.js';
import { TcpSide, type Accept, type TcpListener } from './tcp-side.js';
import { UdpPorts, type UdpHandlers, type UdpPort } from './udp-ports.js';

export interface StackOutput {
  /** An IP packet to send; given away. */
  packet(packet: Buffer): void;
}

export interface IpStackOptions {
  /** Our own addresses, IPv4 and IPv6. */
  addresses: readonly string[];
  /** Largest packet we send, in bytes; what we announce as MSS comes of it. */
  mtu: number;
  clock: Clock;
  random: (size: number) => Buffer;
  output: StackOutput;
  limits?: Partial<StackLimits> | undefined;
  /** For every connection. */
  tcp?: Partial<TcpLimits> | undefined;
}

export interface ConnectOptions {
  address: string;
  port: number;
  /** 0 or left out: an ephemeral one. */
  localPort?: number | undefined;
  handlers: TcpHandlers;
}

export interface PingOptions {
  timeoutMs: number;
  /** Called once, with the round trip in ms or with undefined when no answer came. */
  done: (roundTripMs: number | undefined) => void;
}

/**
 * A host on the mesh: IPv4, IPv6, ICMP, UDP and TCP. Packets and time go in, packets and calls of handlers come out;
 * nothing in here waits, and nothing a packet says can make it throw.
 */
export class IpStack {
  readonly #o: IpStackOptions;
  readonly #locals: readonly IpAddress[];
  readonly #counters: StackCounters = newStackCounters();
  readonly #writer = new PacketWriter();
  readonly #header = new IpHeader();
  readonly #tcp: TcpSide;
  readonly #udp: UdpPorts;
  readonly #icmp: IcmpSide;
  /** Set when `close` begins: no new work. The last packets go out before `#isClosed`. */
  #isClosing = false;
  #isClosed = false;

  /** Throws for an address or an MTU that cannot be used. */
  constructor(options: IpStackOptions) {
    this.#o = options;
    const { clock, mtu, random } = options;
    this.#locals = options.addresses.map((text, index) => ownAddress(text, `addresses[${index}]`));
    const least = this.#locals.some((address) => address.version === 6) ? MIN_MTU_V6 : MIN_MTU_V4;
    if (!Number.isInteger(mtu) || mtu < least || mtu > MAX_MTU) throw badMtu(mtu, least, MAX_MTU);
    const limits: StackLimits = { ...defaultStackLimits, ...options.limits };
    const hash = new SecretHash(random);
    const shared = {
      locals: this.#locals,
      mtu,
      clock,
      random,
      hash,
      limits,
      counters: this.#counters,
      writer: this.#writer,
      emit: (packet: Buffer) => this.#emit(packet),
    };
    this.#tcp = new TcpSide({ ...shared, tcp: options.tcp });
    this.#udp = new UdpPorts({
      ...shared,
      ports: new PortPicker(random, limits.firstEphemeralPort, limits.lastEphemeralPort),
      routeTo: (address) => this.#routeTo(address),
    });
    this.#icmp = new IcmpSide({ ...shared, tcp: this.#tcp, udp: this.#udp });
  }

  /** One IP packet that came in; given away. Malformed ones and those that are not for us are counted and dropped. */
  onPacket(packet: Buffer): void {
    const counters = this.#counters;
    counters.rxPackets += 1;
    counters.rxBytes += packet.length;
    const problem = this.#isClosed ? 'stack_closed' : this.#receive(packet);
    if (problem !== undefined) counters.drops[problem] += 1;
  }

  /** The SYN goes out at the end of the turn. Throws when the address is bad, or no port or slot is left. */
  connect(options: ConnectOptions): TcpConnection {
    this.#open();
    const { remote, localIndex } = this.#reach(options.address);
    const localPort = options.localPort ?? 0;
    return this.#tcp.connect(
      localIndex,
      remote,
      checkPort(options.port, 'port', 1),
      checkPort(localPort, 'localPort', 0),
      options.handlers,
    );
  }

  /** On all our addresses. Port 0 picks one; throws when the port is taken. */
  listen(port: number, accept: Accept): TcpListener {
    this.#open();
    return this.#tcp.listen(checkPort(port, 'listenPort', 0), accept);
  }

  /** On all our addresses. Port 0 picks one; throws when the port is taken. */
  bindUdp(port: number, handlers: UdpHandlers): UdpPort {
    this.#open();
    return this.#udp.bind(checkPort(port, 'listenPort', 0), handlers);
  }

  /** One echo request. */
  ping(address: string, options: PingOptions): void {
    this.#open();
    this.#icmp.ping(this.#routeTo(address), options.timeoutMs, options.done);
  }

  /** Sends what the turn's input has made due. Call it after every batch of packets, timers and calls. */
  endOfTurn(): void {
    this.#tcp.registry.endOfTurn();
  }

  /** When `onTimer` wants to be called next, monotonic ms; Infinity: never. */
  nextTimerAt(): number {
    return Math.min(this.#tcp.registry.nextTimerAt(), this.#icmp.nextTimerAt());
  }

  onTimer(): void {
    const now = this.#o.clock.monotonic();
    this.#tcp.registry.onTimer(now);
    this.#icmp.onTimer(now);
  }

  /**
   * Every connection with that remote address dies at once with `peer_gone`; handlers hear it before this returns.
   * Silent, unless `goodbye` is set: then one RST per open connection goes out before this returns.
   */
  cutPeer(address: string, options: { goodbye?: boolean } = {}): void {
    const remote = parseAddress(address);
    if (remote === undefined) throw badAddress(address, 'address');
    this.#tcp.registry.cutPeer(remote, options.goodbye === true);
  }

  /**
   * Each idle connection with this peer asks now whether the peer still knows it. For a peer that may have started anew: its
   * resets end what waits for answers that will never come.
   */
  probePeer(address: string): void {
    const remote = parseAddress(address);
    if (remote === undefined) throw badAddress(address, 'address');
    this.#tcp.registry.probePeer(remote);
  }

  /** A copy. */
  counters(): StackCounters {
    return { ...this.#counters, drops: { ...this.#counters.drops } };
  }

  /** Resets every connection, tells every handler, and takes and sends nothing from then on. */
  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    try {
      this.#tcp.close();
      this.#icmp.close();
    } finally {
      this.#udp.close();
      this.#isClosed = true;
    }
  }

  #receive(packet: Buffer): DropReason | undefined {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    const header = this.#header;
    const problem = readIpHeader(view, header);
    if (problem !== undefined) return problem;
    const localIndex = this.#localIndex(header);
    if (localIndex < 0) return 'ip_not_for_us';
    const badSource = this.#judgeSource(header);
    if (badSource !== undefined) return badSource;
    if (header.protocol === TCP) return this.#tcp.onPacket(packet, view, header, localIndex);
    const local = this.#locals[localIndex];
    if (local === undefined) return 'ip_not_for_us';
    if (header.protocol === (header.version === 4 ? ICMP : ICMPV6)) {
      return this.#icmp.onPacket(packet, view, header, localIndex);
    }
    if (header.protocol !== UDP) return this.#icmp.refuse('protocol', packet, header, local) ?? 'ip_protocol';
    const refused = this.#udp.onPacket(packet, view, header, local);
    if (refused !== 'udp_port_closed') return refused;
    return this.#icmp.refuse('port', packet, header, local) ?? refused;
  }

  /** Which of our addresses a packet is for, or −1. IPv4 words in an IPv6 header name no address of ours. */
  #localIndex(header: IpHeader): number {
    const locals = this.#locals;
    for (let index = 0; index < locals.length; index += 1) {
      const local = locals[index];
      if (
        local !== undefined &&
        local.w3 === header.destination3 &&
        local.w2 === header.destination2 &&
        local.w1 === header.destination1 &&
        local.w0 === header.destination0 &&
        local.version === header.version
      )
        return index;
    }
    return -1;
  }

  #judgeSource(header: IpHeader): DropReason | undefined {
    const { source0, source1, source2, source3 } = header;
    const isMapped = source0 === 0 && source1 === 0 && source2 === MAPPED;
    if (isMapped !== (header.version === 4) || !isUnicast(source0, source1, source2, source3)) {
      return 'ip_source_not_unicast';
    }
    for (const local of this.#locals) {
      if (local.w3 === source3 && local.w2 === source2 && local.w1 === source1 && local.w0 === source0) {
        return 'ip_source_is_ours';
      }
    }
    return undefined;
  }

  #reach(address: string): { remote: IpAddress; localIndex: number } {
    const remote = ownAddress(address, 'address');
    if (this.#locals.some((local) => sameAddress(local, remote))) throw addressIsOurs(address);
    const localIndex = this.#locals.findIndex((local) => local.version === remote.version);
    if (localIndex < 0) throw noLocalAddress(address);
    return { remote, localIndex };
  }

  #routeTo(address: string): Route {
    this.#open();
    const { remote, localIndex } = this.#reach(address);
    const local = this.#locals[localIndex];
    if (local === undefined) throw noLocalAddress(address);
    return new Route(local, remote);
  }

  #emit(packet: Buffer): void {
    if (this.#isClosed) return;
    this.#counters.txPackets += 1;
    this.#counters.txBytes += packet.length;
    this.#o.output.packet(packet);
  }

  #open(): void {
    if (this.#isClosing) throw stackClosed();
  }
}

function ownAddress(text: string, where: string): IpAddress {
  const address = parseAddress(text);
  if (address === undefined || !isUnicast(address.w0, address.w1, address.w2, address.w3)) {
    throw badAddress(text, where);
  }
  return address;
}

function checkPort(port: number, where: string, least: number): number {
  if (!Number.isInteger(port) || port < least || port > 65_535) throw badPort(port, where);
  return port;
}
