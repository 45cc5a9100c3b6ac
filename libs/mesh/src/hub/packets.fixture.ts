// IP packets for the specs of this folder, made by hand.
import { isIPv6 } from 'node:net';
import { parseAddress } from '@coral/tcp';

export const flags = { syn: 0x02, ack: 0x10 };
const [protocolIcmp, protocolTcp, protocolUdp, protocolIcmp6] = [1, 6, 17, 58];

/** 0 for a header whose checksum is right; with the field zeroed, what belongs there. */
export function headerChecksum(packet: Buffer): number {
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += packet.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function tcp(from: string, fromPort: number, to: string, port: number, flag: number, hops = 64): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(fromPort, 0);
  header.writeUInt16BE(port, 2);
  header.writeUInt8(5 << 4, 12);
  header.writeUInt8(flag, 13);
  return ip(from, to, protocolTcp, header, hops);
}

export function udp(from: string, fromPort: number, to: string, port: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(fromPort, 0);
  header.writeUInt16BE(port, 2);
  header.writeUInt16BE(8, 4);
  return ip(from, to, protocolUdp, header, 64);
}

export function echo(from: string, to: string, what: 'request' | 'reply' | 'unreachable', identifier: number): Buffer {
  const six = isIPv6(from);
  const message = Buffer.alloc(8);
  const types = six ? { request: 128, reply: 129, unreachable: 1 } : { request: 8, reply: 0, unreachable: 3 };
  message.writeUInt8(types[what], 0);
  message.writeUInt16BE(identifier, 4);
  return ip(from, to, six ? protocolIcmp6 : protocolIcmp, message, 64);
}

function ip(from: string, to: string, protocol: number, payload: Buffer, hops: number): Buffer {
  if (isIPv6(from)) {
    const header = Buffer.alloc(40);
    header.writeUInt8(0x60, 0);
    header.writeUInt16BE(payload.length, 4);
    header.writeUInt8(protocol, 6);
    header.writeUInt8(hops, 7);
    writeAddress(header, 8, from);
    writeAddress(header, 24, to);
    return Buffer.concat([header, payload]);
  }
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt8(hops, 8);
  header.writeUInt8(protocol, 9);
  writeAddress(header, 12, from);
  writeAddress(header, 16, to);
  header.writeUInt16BE(headerChecksum(header), 10);
  return Buffer.concat([header, payload]);
}

function writeAddress(packet: Buffer, at: number, text: string): void {
  const address = parseAddress(text);
  if (!address) throw new TypeError(text);
  const words = address.version === 4 ? [address.w3] : [address.w0, address.w1, address.w2, address.w3];
  words.forEach((word, index) => packet.writeInt32BE(word, at + 4 * index));
}
