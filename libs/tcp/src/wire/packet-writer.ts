import type { IpAddress } from './address.js';
import { addToSum, checksumOf } from './checksum.js';
import { IPV4_HEADER_BYTES, IPV6_HEADER_BYTES } from './ip-header.js';

/** Packets are cut from blocks of this size: one allocation for about 25 full ones. */
export const BLOCK_BYTES = 32 * 1024;
/** RFC 1700's recommended time to live; enough for one hub. */
export const HOP_LIMIT = 64;

const DONT_FRAGMENT = 0x4000;

/** What all packets from one address to another have in common. */
export class Route {
  readonly local: IpAddress;
  readonly remote: IpAddress;
  readonly headerBytes: number;
  /** Sum of both addresses, the part of the pseudo header that never changes. */
  readonly addressSum: number;

  constructor(local: IpAddress, remote: IpAddress) {
    this.local = local;
    this.remote = remote;
    this.headerBytes = local.version === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
    const words =
      local.version === 4
        ? [local.w3, remote.w3]
        : [local.w0, local.w1, local.w2, local.w3, remote.w0, remote.w1, remote.w2, remote.w3];
    this.addressSum = words.reduce((sum, word) => sum + (word >>> 0), 0);
  }
}

/**
 * Writes packets: IP header, transport header and payload in one buffer, which is given away. Blocks are zeroed, so a
 * writer that fills less than it asked for cannot leak the memory of the process.
 */
export class PacketWriter {
  buffer: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(this.buffer.buffer, 0, 0);
  #start = 0;
  #end = 0;

  /** Writes the IP header and returns where in `buffer` and `view` the transport header begins. */
  begin(route: Route, protocol: number, transportBytes: number): number {
    const headerBytes = route.headerBytes;
    const total = headerBytes + transportBytes;
    let start = this.#end;
    if (start + total > this.buffer.length) {
      this.buffer = Buffer.alloc(Math.max(BLOCK_BYTES, total));
      this.view = new DataView(this.buffer.buffer, this.buffer.byteOffset, this.buffer.length);
      start = 0;
    }
    this.#start = start;
    this.#end = start + total;
    if (headerBytes === IPV4_HEADER_BYTES) this.#v4(start, route, protocol, total);
    else this.#v6(start, route, protocol, transportBytes);
    return start + headerBytes;
  }

  /** The checksum over the pseudo header and everything from `at` to the end of the packet. */
  transportChecksum(route: Route, protocol: number, at: number): number {
    return checksumOf(addToSum(route.addressSum + protocol + (this.#end - at), this.view, at, this.#end));
  }

  /** The checksum over everything from `at` to the end, as ICMPv4 has it. */
  plainChecksum(at: number): number {
    return checksumOf(addToSum(0, this.view, at, this.#end));
  }

  finish(): Buffer {
    return this.buffer.subarray(this.#start, this.#end);
  }

  #v4(at: number, route: Route, protocol: number, total: number): void {
    const { view } = this;
    view.setUint32(at, 0x45000000 | total);
    // The id of a packet that is never fragmented says nothing (RFC 6864 §4.1).
    view.setUint32(at + 4, DONT_FRAGMENT);
    view.setUint32(at + 8, (HOP_LIMIT << 24) | (protocol << 16));
    view.setInt32(at + 12, route.local.w3);
    view.setInt32(at + 16, route.remote.w3);
    const sum = 0x45000000 + total + DONT_FRAGMENT + HOP_LIMIT * 0x1000000 + protocol * 0x10000 + route.addressSum;
    view.setUint16(at + 10, checksumOf(sum));
  }

  #v6(at: number, route: Route, protocol: number, payloadBytes: number): void {
    const { view } = this;
    const { local, remote } = route;
    view.setUint32(at, 0x60000000);
    view.setUint32(at + 4, ((payloadBytes << 16) | (protocol << 8) | HOP_LIMIT) >>> 0);
    view.setInt32(at + 8, local.w0);
    view.setInt32(at + 12, local.w1);
    view.setInt32(at + 16, local.w2);
    view.setInt32(at + 20, local.w3);
    view.setInt32(at + 24, remote.w0);
    view.setInt32(at + 28, remote.w1);
    view.setInt32(at + 32, remote.w2);
    view.setInt32(at + 36, remote.w3);
  }
}
