import { addressFromWords, type IpAddress } from '../wire/address.js';
import type { DropReason } from '../wire/drop-reason.js';
import type { IpHeader } from '../wire/ip-header.js';
import { type PacketWriter, Route } from '../wire/packet-writer.js';
import { readUdp, UDP_HEADER_BYTES, writeUdp } from '../wire/udp-codec.js';
import type { StackLimits } from './limits.js';
import type { PortPicker } from './port-picker.js';
import { badPort, datagramTooLarge, noPortLeft, portInUse, tooMany } from './stack.errors.js';

export interface SocketAddress {
  address: string;
  port: number;
}

export interface UdpHandlers {
  /** One datagram; the buffer is the handler's own. `to` is which of our addresses it was sent to. */
  datagram(payload: Buffer, from: SocketAddress, to: SocketAddress): void;
  /** An ICMP error said that what was sent to this address does not arrive. */
  unreachable?(to: SocketAddress): void;
}

export interface UdpPort {
  readonly port: number;
  /** Copied before it returns. Throws for a bad address or port, or if it does not fit into one packet. */
  send(payload: Uint8Array, to: SocketAddress): void;
  close(): void;
}

export interface UdpPortsOptions {
  mtu: number;
  limits: StackLimits;
  ports: PortPicker;
  writer: PacketWriter;
  emit: (packet: Buffer) => void;
  /** Our address that speaks to this one; throws when there is none. */
  routeTo: (address: string) => Route;
}

/** UDP: bound ports, on all our addresses at once. */
export class UdpPorts {
  readonly #o: UdpPortsOptions;
  readonly #bound = new Map<number, UdpHandlers>();

  constructor(options: UdpPortsOptions) {
    this.#o = options;
  }

  bind(port: number, handlers: UdpHandlers): UdpPort {
    const { limits, ports } = this.#o;
    if (this.#bound.size >= limits.maxUdpPorts) throw tooMany('UDP ports', limits.maxUdpPorts);
    const isFree = (candidate: number) => !this.#bound.has(candidate);
    const chosen = port === 0 ? ports.pick('udp', isFree) : port;
    if (chosen === undefined) throw noPortLeft();
    if (!isFree(chosen)) throw portInUse(chosen);
    this.#bound.set(chosen, handlers);
    return {
      port: chosen,
      send: (payload, to) => this.#send(chosen, payload, to),
      close: () => {
        if (this.#bound.get(chosen) === handlers) this.#bound.delete(chosen);
      },
    };
  }

  /** `udp_port_closed`: nobody listens, the sender may be told. */
  onPacket(packet: Buffer, view: DataView, header: IpHeader, local: IpAddress): DropReason | undefined {
    const datagram = readUdp(packet, view, header);
    if (typeof datagram === 'string') return datagram;
    const handlers = this.#bound.get(datagram.destinationPort);
    if (handlers === undefined) return 'udp_port_closed';
    const from = addressFromWords(header.source0, header.source1, header.source2, header.source3).text;
    handlers.datagram(
      datagram.payload,
      { address: from, port: datagram.sourcePort },
      { address: local.text, port: datagram.destinationPort },
    );
    return undefined;
  }

  /** An ICMP error quoting a datagram of ours; false when no port of ours can have sent it. */
  onUnreachable(remote: IpAddress, remotePort: number, localPort: number): boolean {
    const handlers = this.#bound.get(localPort);
    handlers?.unreachable?.({ address: remote.text, port: remotePort });
    return handlers !== undefined;
  }

  close(): void {
    this.#bound.clear();
  }

  #send(localPort: number, payload: Uint8Array, to: SocketAddress): void {
    if (!Number.isInteger(to.port) || to.port < 1 || to.port > 65_535) throw badPort(to.port, 'port');
    const { mtu, writer, emit } = this.#o;
    const route = this.#o.routeTo(to.address);
    const room = mtu - route.headerBytes - UDP_HEADER_BYTES;
    if (payload.length > room) throw datagramTooLarge(payload.length, room);
    emit(writeUdp(writer, route, localPort, to.port, payload));
  }
}
