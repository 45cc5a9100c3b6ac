import { CoralError } from '@coral/errors';

/**
 * Cryptokey routing (whitepaper §2): which value a prefix belongs to, the longest one that fits. One binary trie per family
 * with the common parts folded into its nodes, so a lookup follows at most as many nodes as prefixes lie around each other,
 * compares words and allocates nothing. Addresses are four 32-bit words; IPv4 uses the first.
 */
interface Node<T> {
  a: number;
  b: number;
  c: number;
  d: number;
  /** Bits that count. */
  length: number;
  value: T | undefined;
  zero: Node<T> | undefined;
  one: Node<T> | undefined;
}

/** An address block: `10.137.0.0/16`. Bits behind `length` are zero. */
export interface Prefix {
  readonly family: 4 | 6;
  readonly words: readonly [number, number, number, number];
  readonly length: number;
}

export class AllowedIps<T> {
  #four: Node<T> | undefined;
  #six: Node<T> | undefined;

  /** Who holds exactly this prefix. */
  holder(prefix: Prefix): T | undefined {
    let node = prefix.family === 4 ? this.#four : this.#six;
    const [a, b, c, d] = prefix.words;
    while (node && node.length <= prefix.length && common(node, a, b, c, d) >= node.length) {
      if (node.length === prefix.length) return node.value;
      node = bitAt(a, b, c, d, node.length) ? node.one : node.zero;
    }
    return undefined;
  }

  /** Replaces whoever held exactly this prefix. */
  set(prefix: Prefix, value: T): void {
    if (prefix.family === 4) this.#four = inserted(this.#four, prefix, value);
    else this.#six = inserted(this.#six, prefix, value);
  }

  /** Frees exactly this prefix. */
  delete(prefix: Prefix): void {
    if (prefix.family === 4) this.#four = without(this.#four, prefix);
    else this.#six = without(this.#six, prefix);
  }

  /** The IPv4 or IPv6 source of a packet of at least one header; `innerPacketLength` has checked it. */
  ofSource(packet: Buffer): T | undefined {
    return (packet[0] as number) >> 4 === 4 ? this.#find4(packet.readInt32BE(12)) : this.#find6(packet, 8);
  }

  ofDestination(packet: Buffer): T | undefined {
    return (packet[0] as number) >> 4 === 4 ? this.#find4(packet.readInt32BE(16)) : this.#find6(packet, 24);
  }

  #find4(address: number): T | undefined {
    let node = this.#four;
    let found: T | undefined;
    while (node && Math.clz32(node.a ^ address) >= node.length) {
      if (node.value !== undefined) found = node.value;
      if (node.length === 32) break;
      node = address << node.length < 0 ? node.one : node.zero;
    }
    return found;
  }

  #find6(packet: Buffer, at: number): T | undefined {
    const a = packet.readInt32BE(at);
    const b = packet.readInt32BE(at + 4);
    const c = packet.readInt32BE(at + 8);
    const d = packet.readInt32BE(at + 12);
    let node = this.#six;
    let found: T | undefined;
    while (node && common(node, a, b, c, d) >= node.length) {
      if (node.value !== undefined) found = node.value;
      if (node.length === 128) break;
      node = bitAt(a, b, c, d, node.length) ? node.one : node.zero;
    }
    return found;
  }
}

/** Throws `bad_allowed_ip` for anything but an address or a CIDR block. Bits behind the prefix are cleared, as `wg` does. */
export function parsePrefix(text: string): Prefix {
  const [address = '', bits, ...rest] = text.split('/');
  const family = address.includes(':') ? 6 : 4;
  const words = family === 4 ? wordsOf4(address) : wordsOf6(address);
  const most = family === 4 ? 32 : 128;
  const length = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  if (!words || rest.length > 0 || length < 0 || length > most) throw badAllowedIp(text);
  const masked = words.map((word, i) => word & maskOf(length - i * 32)) as [number, number, number, number];
  return { family, words: masked, length };
}

function badAllowedIp(text: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_allowed_ip',
    where: 'allowed_ips',
    message: `${JSON.stringify(text.slice(0, 60))} is not an IP address or a block of them.`,
    next: 'Write it as `10.137.0.2`, `10.137.0.0/16` or `fd42:c0a1::/48`.',
  });
}

function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}

/** Undefined for what is no IPv4 address. No leading zeros: some would read them as octal. */
function wordsOf4(address: string): number[] | undefined {
  const parts = address.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return [parts.reduce((word, part) => (word << 8) | Number(part), 0), 0, 0, 0];
}

/** RFC 4291 §2.2; undefined for what is no IPv6 address, a zone included. */
function wordsOf6(address: string): number[] | undefined {
  const halves = address.split('::');
  const [before, after] = halves.map((half, i) => groupsOf(half, i === halves.length - 1));
  if (halves.length > 2 || !before) return undefined;
  if (halves.length === 1) return before.length === 8 ? inWords(before) : undefined;
  // `::` stands for one group of zeros at least.
  if (!after || before.length + after.length > 7) return undefined;
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return inWords([...before, ...zeros, ...after]);
}

/** The 16-bit groups of one side of `::`; an IPv4 address may stand for the last two of all. */
function groupsOf(half: string, atEnd: boolean): number[] | undefined {
  if (half === '') return [];
  const texts = half.split(':');
  const dotted = atEnd && texts.at(-1)?.includes('.') ? wordsOf4(texts.pop() ?? '') : [];
  if (!dotted || !texts.every((text) => /^[0-9a-f]{1,4}$/i.test(text))) return undefined;
  const [last] = dotted;
  const groups = texts.map((text) => Number.parseInt(text, 16));
  return last === undefined ? groups : [...groups, last >>> 16, last & 0xffff];
}

function inWords(groups: number[]): number[] {
  return [0, 2, 4, 6].map((i) => ((groups[i] as number) << 16) | (groups[i + 1] as number));
}

/** Leading bits that node and address share; bits behind the node's length are zero in the node and do not matter. */
function common<T>(node: Node<T>, a: number, b: number, c: number, d: number): number {
  if (node.a !== a) return Math.clz32(node.a ^ a);
  if (node.b !== b) return 32 + Math.clz32(node.b ^ b);
  if (node.c !== c) return 64 + Math.clz32(node.c ^ c);
  return node.d === d ? 128 : 96 + Math.clz32(node.d ^ d);
}

function bitAt(a: number, b: number, c: number, d: number, at: number): boolean {
  const word = at < 32 ? a : at < 64 ? b : at < 96 ? c : d;
  // Shifts count modulo 32.
  return word << at < 0;
}

function inserted<T>(node: Node<T> | undefined, prefix: Prefix, value: T | undefined): Node<T> {
  const [a, b, c, d] = prefix.words;
  const { length } = prefix;
  if (!node) return { a, b, c, d, length, value, zero: undefined, one: undefined };
  const shared = Math.min(common(node, a, b, c, d), node.length, length);
  if (shared === node.length) {
    if (shared === length) node.value = value;
    else if (bitAt(a, b, c, d, shared)) node.one = inserted(node.one, prefix, value);
    else node.zero = inserted(node.zero, prefix, value);
    return node;
  }
  // The paths part inside this node: a new one with what they share goes above it.
  const words = prefix.words.map((word, i) => word & maskOf(shared - i * 32)) as [number, number, number, number];
  const above = inserted<T>(undefined, { ...prefix, words, length: shared }, shared === length ? value : undefined);
  if (bitAt(node.a, node.b, node.c, node.d, shared)) above.one = node;
  else above.zero = node;
  return shared === length ? above : inserted(above, prefix, value);
}

/** A node that neither holds a value nor parts two ways gives its place to what is below it. */
function without<T>(node: Node<T> | undefined, prefix: Prefix): Node<T> | undefined {
  if (!node) return undefined;
  const [a, b, c, d] = prefix.words;
  if (node.length > prefix.length || common(node, a, b, c, d) < node.length) return node;
  if (node.length === prefix.length) node.value = undefined;
  else if (bitAt(a, b, c, d, node.length)) node.one = without(node.one, prefix);
  else node.zero = without(node.zero, prefix);
  if (node.value !== undefined || (node.zero && node.one)) return node;
  return node.zero ?? node.one;
}
