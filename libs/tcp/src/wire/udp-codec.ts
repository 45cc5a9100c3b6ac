import type { DropReason } from './drop-reason.js';
import { addToSum, checksumOf } from './checksum.js';
import { type IpHeader, UDP, pseudoHeaderSum } from './ip-header.js';
import type { PacketWriter, Route } from './packet-writer.js';

/** RFC 768; over IPv6 the checksum is not optional (RFC 8200 §8.1). */
export const UDP_HEADER_BYTES = 8;

export interface UdpDatagram {
  sourcePort: number;
  destinationPort: number;
  /** A view into the packet, which nobody else holds. */
  payload: Buffer;
}

export function readUdp(packet: Buffer, view: DataView, header: IpHeader): UdpDatagram | DropReason {
  const { start, end } = header;
  if (end - start < UDP_HEADER_BYTES) return 'udp_malformed';
  const length = view.getUint16(start + 4);
  const destinationPort = view.getUint16(start + 2);
  if (length < UDP_HEADER_BYTES || start + length > end || destinationPort === 0) return 'udp_malformed';
  if (view.getUint16(start + 6) === 0) {
    if (header.version === 6) return 'udp_checksum';
  } else {
    // The pseudo header counts UDP's own length, not what the IP packet has room for.
    const sum = pseudoHeaderSum(view, header) - (end - start) + length;
    if (checksumOf(addToSum(sum, view, start, start + length)) !== 0) return 'udp_checksum';
  }
  return {
    sourcePort: view.getUint16(start),
    destinationPort,
    payload: packet.subarray(start + UDP_HEADER_BYTES, start + length),
  };
}

export function writeUdp(
  writer: PacketWriter,
  route: Route,
  sourcePort: number,
  destinationPort: number,
  payload: Uint8Array,
): Buffer {
  const length = UDP_HEADER_BYTES + payload.length;
  const at = writer.begin(route, UDP, length);
  writer.view.setUint16(at, sourcePort);
  writer.view.setUint16(at + 2, destinationPort);
  writer.view.setUint16(at + 4, length);
  writer.buffer.set(payload, at + UDP_HEADER_BYTES);
  // 0 means "none": a sum of 0 is sent as its other form.
  writer.view.setUint16(at + 6, writer.transportChecksum(route, UDP, at) || 0xffff);
  return writer.finish();
}
