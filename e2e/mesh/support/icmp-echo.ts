/** ICMP echo packets made and read by hand, so that these tests do not lean on the TCP/IP stack they are not about. */
export interface Echo {
  kind: 'request' | 'reply';
  source: string;
  destination: string;
  id: number;
  sequence: number;
  payload: Buffer;
}

const v4Header = 20;
const v6Header = 40;
const icmpHeader = 8;

export function echoPacket(echo: Echo): Buffer {
  const v6 = echo.source.includes(':');
  const body = Buffer.concat([Buffer.alloc(icmpHeader), echo.payload]);
  body[0] = v6 ? (echo.kind === 'request' ? 128 : 129) : echo.kind === 'request' ? 8 : 0;
  body.writeUInt16BE(echo.id, 4);
  body.writeUInt16BE(echo.sequence, 6);
  const source = addressBytes(echo.source);
  const destination = addressBytes(echo.destination);
  if (!v6) {
    body.writeUInt16BE(checksum(body), 2);
    const header = Buffer.alloc(v4Header);
    header[0] = 0x45;
    header.writeUInt16BE(v4Header + body.length, 2);
    header[8] = 64;
    header[9] = 1;
    source.copy(header, 12);
    destination.copy(header, 16);
    header.writeUInt16BE(checksum(header), 10);
    return Buffer.concat([header, body]);
  }
  // The pseudo header of RFC 8200 §8.1.
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(body.length, 0);
  pseudo[7] = 58;
  body.writeUInt16BE(checksum(Buffer.concat([source, destination, pseudo, body])), 2);
  const header = Buffer.alloc(v6Header);
  header[0] = 0x60;
  header.writeUInt16BE(body.length, 4);
  header[6] = 58;
  header[7] = 64;
  source.copy(header, 8);
  destination.copy(header, 24);
  return Buffer.concat([header, body]);
}

/** Undefined for anything but an echo. */
export function readEcho(packet: Buffer): Echo | undefined {
  const v6 = (packet[0] as number) >> 4 === 6;
  if (packet[v6 ? 6 : 9] !== (v6 ? 58 : 1)) return undefined;
  const at = v6 ? v6Header : v4Header;
  const type = packet[at];
  const [request, reply] = v6 ? [128, 129] : [8, 0];
  const kind = type === request ? 'request' : type === reply ? 'reply' : undefined;
  if (!kind) return undefined;
  const [source, destination] = v6
    ? [packet.subarray(8, 24), packet.subarray(24, 40)]
    : [packet.subarray(12, 16), packet.subarray(16, 20)];
  return {
    kind,
    source: addressText(source),
    destination: addressText(destination),
    id: packet.readUInt16BE(at + 4),
    sequence: packet.readUInt16BE(at + 6),
    payload: packet.subarray(at + icmpHeader),
  };
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function addressBytes(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number));
  const [head = '', tail = ''] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: missing }, () => '0'), ...groups(tail)];
  return Buffer.concat(all.map((group) => Buffer.from(group.padStart(4, '0'), 'hex')));
}

/** IPv6 without any shortening: enough to tell addresses apart. */
function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  return (bytes.toString('hex').match(/.{4}/g) ?? []).join(':');
}
