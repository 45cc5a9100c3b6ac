import { BlockList, isIP } from 'node:net';

export interface Prefix {
  length: number;
  list: BlockList;
}

/** Takes `10.137.0.0/16`, `fd42::/48` or a single address; undefined for anything else. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(text);
  const address = match?.[1] ?? '';
  const family = isIP(address);
  if (family === 0) return undefined;
  const most = family === 4 ? 32 : 128;
  const length = match?.[2] === undefined ? most : Number(match[2]);
  if (length > most) return undefined;
  const list = new BlockList();
  list.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6');
  return { length, list };
}

export function prefixHolds(prefix: Prefix, address: string): boolean {
  return prefix.list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}
