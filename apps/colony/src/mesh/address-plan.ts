import { isIPv4, isIPv6 } from 'node:net';
import { CoralError } from '@coral/errors';

/**
 * Who has which address. Both ranges are cut the same way, by position ("host"):
 *   1 the colony · 2…32767 permanent agents · 32768…65534 leases
 * so that an address says at a glance what is behind it, and leases can never crowd out agents.
 */
export const colonyHost = 1;
export const agentHosts: HostRange = { first: 2, last: 0x7fff };
export const leaseHosts: HostRange = { first: 0x8000, last: 0xfffe };

export interface HostRange {
  first: number;
  last: number;
}

export interface MeshAddresses {
  v4: string;
  v6: string;
}

/** The mesh's two ranges: an IPv4 /16 and an IPv6 prefix of at most /112. */
export class AddressPlan {
  readonly rangeV4: string;
  readonly rangeV6: string;
  private readonly baseV4: readonly [number, number];
  private readonly baseV6: readonly number[];

  constructor(rangeV4: string, rangeV6: string) {
    this.baseV4 = parseV4(rangeV4);
    this.baseV6 = parseV6(rangeV6);
    this.rangeV4 = rangeV4;
    this.rangeV6 = rangeV6;
  }

  addressesOf(host: number): MeshAddresses {
    const groups = [...this.baseV6.slice(0, 7), host];
    return {
      v4: `${this.baseV4[0]}.${this.baseV4[1]}.${host >>> 8}.${host & 0xff}`,
      v6: compressV6(groups),
    };
  }
}

/**
 * The next free position after `after`, round and round: an address is handed out again as late as possible, so that a
 * late packet for an ended lease does not meet its successor.
 */
export function nextFreeHost(range: HostRange, taken: ReadonlySet<number>, after: number): number {
  const size = range.last - range.first + 1;
  const start = after >= range.first && after < range.last ? after + 1 - range.first : 0;
  for (let step = 0; step < size; step += 1) {
    const host = range.first + ((start + step) % size);
    if (!taken.has(host)) return host;
  }
  throw new CoralError({
    kind: 'resource_exhausted',
    reason: 'mesh_range_full',
    message: `All ${size} mesh addresses of this range are taken.`,
    next: 'Release leases, or remove agents that are gone.',
  });
}

function badRange(range: string, wanted: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'bad_mesh_range',
    where: 'mesh',
    message: `${JSON.stringify(range)} is not ${wanted}.`,
    next: 'Write, for example, 10.137.0.0/16 and fd42:c0a1::/48.',
  });
}

function parseV4(range: string): [number, number] {
  const [address = '', length] = range.split('/');
  const parts = address.split('.').map(Number);
  if (!isIPv4(address) || length !== '16' || parts[2] !== 0 || parts[3] !== 0) {
    throw badRange(range, 'an IPv4 range of the form a.b.0.0/16');
  }
  return [parts[0] as number, parts[1] as number];
}

function parseV6(range: string): number[] {
  const [address = '', length = ''] = range.split('/');
  const prefix = Number(length);
  const wanted = 'an IPv6 range with a prefix of 16 to 112 bits and nothing behind it';
  if (!isIPv6(address) || address.includes('.') || !/^\d+$/.test(length) || prefix < 16 || prefix > 112) {
    throw badRange(range, wanted);
  }
  const groups = expandV6(address);
  const bits = groups.map((group) => group.toString(2).padStart(16, '0')).join('');
  if (bits.slice(prefix).includes('1')) throw badRange(range, wanted);
  return groups;
}

function expandV6(address: string): number[] {
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  return [...before, ...Array.from({ length: zeros }, () => '0'), ...after].map((group) => Number.parseInt(group, 16));
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups as `::`. */
function compressV6(groups: readonly number[]): string {
  let best = { start: -1, length: 1 };
  for (let i = 0; i < groups.length; i += 1) {
    let length = 0;
    while (groups[i + length] === 0) length += 1;
    if (length > best.length) best = { start: i, length };
  }
  const words = groups.map((group) => group.toString(16));
  if (best.start < 0) return words.join(':');
  return `${words.slice(0, best.start).join(':')}::${words.slice(best.start + best.length).join(':')}`;
}
