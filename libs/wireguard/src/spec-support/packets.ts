import { isIPv6 } from 'node:net';
import { parsePrefix } from '../allowed-ips.js';

/** An inner IP packet whose payload begins with a number, so that a test can tell which ones arrived. */
export function packet(source: string, destination: string, o: { number?: number; bytes?: number } = {}): Buffer {
  const six = isIPv6(source);
  const header = six ? 40 : 20;
  const built = Buffer.alloc(Math.max(o.bytes ?? header + 8, header));
  if (six) {
    built[0] = 0x60;
    built.writeUInt16BE(built.length - header, 4);
  } else {
    built[0] = 0x45;
    built.writeUInt16BE(built.length, 2);
  }
  parsePrefix(source)
    .words.slice(0, six ? 4 : 1)
    .forEach((word, i) => built.writeInt32BE(word, (six ? 8 : 12) + 4 * i));
  parsePrefix(destination)
    .words.slice(0, six ? 4 : 1)
    .forEach((word, i) => built.writeInt32BE(word, (six ? 24 : 16) + 4 * i));
  if (built.length >= header + 4) built.writeUInt32BE(o.number ?? 0, header);
  return built;
}

export function numberOf(received: Buffer): number {
  return received.readUInt32BE((received[0] as number) >> 4 === 6 ? 40 : 20);
}
