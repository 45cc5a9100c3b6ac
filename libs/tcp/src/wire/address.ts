/**
 * IP addresses as four 32-bit words, so that no packet needs text. An IPv4 address is held as ::ffff:a.b.c.d
 * (RFC 4291 §2.5.5.2); packets that carry that form as IPv6 are refused, so the two never meet.
 */
export interface IpAddress {
  readonly version: 4 | 6;
  /** Signed 32-bit words: small integers to the engine, never boxed. */
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  /** Canonical text (RFC 5952 for IPv6). */
  readonly text: string;
}

export const MAPPED = 0xffff;

export function addressFromWords(w0: number, w1: number, w2: number, w3: number): IpAddress {
  const version = w0 === 0 && w1 === 0 && w2 === MAPPED ? 4 : 6;
  return { version, w0, w1, w2, w3, text: version === 4 ? formatV4(w3) : formatV6(w0, w1, w2, w3) };
}

export function sameAddress(a: IpAddress, b: IpAddress): boolean {
  return a.w3 === b.w3 && a.w2 === b.w2 && a.w1 === b.w1 && a.w0 === b.w0;
}

/** Undefined for anything but one plain address: no prefix, no zone, no port, no leading zeros in IPv4. */
export function parseAddress(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    const word = parseV4(text);
    return word === undefined ? undefined : addressFromWords(0, 0, MAPPED, word);
  }
  const groups = parseV6(text);
  if (groups === undefined) return undefined;
  const word = (index: number) => ((groups[index * 2] ?? 0) << 16) | (groups[index * 2 + 1] ?? 0);
  const address = addressFromWords(word(0), word(1), word(2), word(3));
  return address.version === 6 ? address : undefined;
}

/** What no packet may come from, and what none may be sent to: the words are looked at as in {@link IpAddress}. */
export function isUnicast(w0: number, w1: number, w2: number, w3: number): boolean {
  if (w0 === 0 && w1 === 0) {
    // 0/8 this network, 127/8 loopback, 224/4 multicast, 240/4 reserved and broadcast (RFC 6890, RFC 1122 §3.2.1.3).
    if (w2 === MAPPED) return w3 >>> 24 !== 0 && w3 >>> 24 !== 127 && w3 >>> 28 < 0xe;
    // :: unspecified, ::1 loopback, ::a.b.c.d deprecated.
    if (w2 === 0) return false;
  }
  return w0 >>> 24 !== 0xff;
}

function parseV4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let word = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    word = (word << 8) | Number(part);
  }
  return word;
}

function parseV6(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves[1] === undefined ? [] : parseGroups(halves[1], true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  return [...head, ...Array.from({ length: missing }, () => 0), ...tail];
}

function parseGroups(text: string, mayEndInV4: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (mayEndInV4 && index === parts.length - 1 && part.includes('.')) {
      const word = parseV4(part);
      if (word === undefined) return undefined;
      groups.push(word >>> 16, word & 0xffff);
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function formatV4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatV6(...words: number[]): string {
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  let start = -1;
  let length = 1;
  for (let from = 0; from < 8; from += 1) {
    let run = 0;
    while (from + run < 8 && groups[from + run] === 0) run += 1;
    if (run > length) [start, length] = [from, run];
  }
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  return start < 0 ? text(groups) : `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}
