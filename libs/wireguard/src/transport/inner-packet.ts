/** What WireGuard has to know of an inner IP packet (RFC 791 §3.1, RFC 8200 §3): its version and its own length. */

export const IPV4_HEADER_BYTES = 20;
export const IPV6_HEADER_BYTES = 40;

/**
 * The length by the packet's own header, or 0 when it is no whole IP packet: the sender padded it, so there may be more
 * bytes than that but never fewer.
 */
export function innerPacketLength(packet: Buffer): number {
  if (packet.length < IPV4_HEADER_BYTES) return 0;
  const first = packet[0] as number;
  const version = first >> 4;
  if (version === 4) {
    const length = ((packet[2] as number) << 8) | (packet[3] as number);
    const header = (first & 15) * 4;
    return header >= IPV4_HEADER_BYTES && length >= header && length <= packet.length ? length : 0;
  }
  if (version !== 6 || packet.length < IPV6_HEADER_BYTES) return 0;
  const length = IPV6_HEADER_BYTES + (((packet[4] as number) << 8) | (packet[5] as number));
  return length <= packet.length ? length : 0;
}
