import type { VirtualClock } from '@coral/testing';
import { parseAddress } from '../../wire/address.js';
import { IpHeader, readIpHeader } from '../../wire/ip-header.js';
import { PacketWriter, Route } from '../../wire/packet-writer.js';
import type { OutgoingSegment, Segment } from '../../wire/segment.js';
import { readSegment, writeSegment } from '../../wire/tcp-codec.js';
import {
  resetFor,
  TcpConnection,
  type ConnectionOptions,
  type ConnectionOutput,
  type TcpAddress,
  type TcpHandlers,
  type TcpLimits,
} from '../index.js';

export interface EndOptions {
  clock: VirtualClock;
  local: TcpAddress;
  remote: TcpAddress;
  initialSequence: number;
  timestampOffset?: number;
  mss?: number;
  limits?: Partial<TcpLimits> | undefined;
  /** Where packets go. */
  send: (packet: Buffer) => void;
  mayGrow?: (bytes: number) => boolean;
}

/** One connection with as little of a stack around it as it can live with, over the real codecs. */
export class End implements ConnectionOutput {
  connection: TcpConnection | undefined;
  isClosed = false;
  memoryBytes = 0;
  mostMemory = 0;
  segmentsOut = 0;
  private woken = false;
  private readonly options: EndOptions;
  private readonly writer = new PacketWriter();
  private readonly route: Route;

  constructor(options: EndOptions) {
    this.options = options;
    this.route = new Route(parseAddress(options.local.address)!, parseAddress(options.remote.address)!);
  }

  connect(handlers: TcpHandlers): TcpConnection {
    this.connection = TcpConnection.connect({ ...this.connectionOptions(), handlers });
    return this.connection;
  }

  /** Takes the first SYN that comes. */
  listen(accept: (connection: TcpConnection) => TcpHandlers | undefined): void {
    this.accept = accept;
  }

  private accept: ((connection: TcpConnection) => TcpHandlers | undefined) | undefined;

  onPacket(packet: Buffer): void {
    const segment = parse(packet);
    if (segment !== undefined) this.onSegment(segment);
  }

  onSegment(segment: Segment): void {
    if (this.connection === undefined) {
      if (this.accept === undefined || (segment.flags & 0x17) !== 0x02) return;
      this.connection = TcpConnection.accept({ ...this.connectionOptions(), accept: this.accept }, segment);
      return;
    }
    if (this.isClosed) {
      const reset = resetFor(segment);
      if (reset !== undefined) this.transmit(reset);
      return;
    }
    this.connection.receive(segment);
  }

  endOfTurn(): void {
    while (this.woken) {
      this.woken = false;
      this.connection?.endOfTurn();
    }
  }

  nextTimerAt(): number {
    return this.connection?.nextTimerAt() ?? Infinity;
  }

  onTimer(): void {
    this.connection?.onTimer();
  }

  transmit(segment: OutgoingSegment): void {
    this.segmentsOut += 1;
    const { local, remote, send } = this.options;
    send(writeSegment(this.writer, this.route, local.port, remote.port, segment));
  }

  wake(): void {
    this.woken = true;
  }

  closed(): void {
    if (this.isClosed) throw new Error('closed twice');
    this.isClosed = true;
  }

  memory(delta: number): void {
    this.memoryBytes += delta;
    this.mostMemory = Math.max(this.mostMemory, this.memoryBytes);
  }

  mayGrow(bytes: number): boolean {
    return this.options.mayGrow?.(bytes) ?? true;
  }

  private connectionOptions(): ConnectionOptions {
    const { local, remote, clock, initialSequence, timestampOffset, mss, limits } = this.options;
    return {
      local,
      remote,
      clock,
      output: this,
      initialSequence,
      timestampOffset: timestampOffset ?? 0,
      mss: mss ?? 1_240,
      limits,
    };
  }
}

/** What a checksum refuses is lost, as on the wire. */
export function parse(packet: Buffer): Segment | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const header = new IpHeader();
  if (readIpHeader(view, header) !== undefined) return undefined;
  const segment = readSegment(packet, view, header);
  return typeof segment === 'string' ? undefined : segment;
}
