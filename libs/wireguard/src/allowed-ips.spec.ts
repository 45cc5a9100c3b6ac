import { isIP } from 'node:net';
import { SeededRandom } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { AllowedIps, parsePrefix } from './allowed-ips.js';
import { packet } from './spec-support/packets.js';

function table(entries: Record<string, string>): AllowedIps<string> {
  const built = new AllowedIps<string>();
  for (const [prefix, who] of Object.entries(entries)) built.set(parsePrefix(prefix), who);
  return built;
}
const to = (of: AllowedIps<string>, address: string) =>
  of.ofDestination(packet(address.includes(':') ? '::1' : '127.0.0.1', address));

describe('allowed IPs', () => {
  // The cases of wireguard-go's allowedips_test.go (TestTrieIPv4, TestTrieIPv6).
  it('finds the longest prefix, IPv4', () => {
    const four = table({
      '192.168.4.0/24': 'a',
      '192.168.4.4/32': 'b',
      '192.168.0.0/16': 'c',
      '192.95.5.64/27': 'd',
      '192.95.5.65/27': 'c',
      '0.0.0.0/0': 'e',
      '64.15.112.0/20': 'g',
      '64.15.123.211/25': 'h',
      '10.0.0.0/25': 'a',
      '10.0.0.128/25': 'b',
      '10.1.0.0/30': 'a',
      '10.1.0.4/30': 'b',
      '10.1.0.8/29': 'c',
      '10.1.0.16/29': 'd',
    });
    const expected: Record<string, string> = {
      '192.168.4.20': 'a',
      '192.168.4.0': 'a',
      '192.168.4.4': 'b',
      '192.168.200.182': 'c',
      '192.95.5.68': 'c',
      '192.95.5.96': 'e',
      '64.15.116.26': 'g',
      '64.15.127.3': 'g',
      '64.15.123.211': 'h',
      '64.15.123.128': 'h',
      '64.15.123.127': 'g',
      '10.1.0.7': 'b',
      '10.1.0.9': 'c',
      '10.1.0.23': 'd',
      '255.255.255.255': 'e',
    };
    for (const [address, who] of Object.entries(expected)) expect(to(four, address), address).toBe(who);
    four.delete(parsePrefix('0.0.0.0/0'));
    four.delete(parsePrefix('192.168.4.0/24'));
    expect(to(four, '192.168.4.20')).toBe('c');
    expect(to(four, '192.168.4.4')).toBe('b');
    expect(to(four, '1.1.1.1')).toBeUndefined();
  });

  it('finds the longest prefix, IPv6, apart from IPv4', () => {
    const six = table({
      '2607:5300:60:6b0::c05f:543/128': 'd',
      '2607:5300:60:6b0::/64': 'c',
      '::/0': 'e',
      '::/32': 'f',
      '::/37': 'g',
      '2404:6800:4004:800:1:1:1:1/64': 'a',
      '2404:6800:4004:800:9a:c05f::/96': 'h',
    });
    expect(to(six, '2607:5300:60:6b0::c05f:543')).toBe('d');
    expect(to(six, '2607:5300:60:6b0::c02e:1ee')).toBe('c');
    expect(to(six, '2404:6800:4004:800:9a:c05f:0:1234')).toBe('h');
    expect(to(six, '2404:6800:4004:800::1')).toBe('a');
    expect(to(six, '::1')).toBe('g');
    expect(to(six, '0:0:800::1')).toBe('f');
    expect(to(six, 'fd00::1')).toBe('e');
    expect(to(six, '10.0.0.1')).toBeUndefined();
  });

  it('agrees with trying every prefix, while they come and go', () => {
    const random = new SeededRandom('trie');
    for (const family of [4, 6] as const) {
      const address = () =>
        family === 4
          ? `10.${random.below(4)}.${random.below(4)}.${random.below(256)}`
          : `fd42:${random.below(4)}::${random.below(4)}:${random.below(65_536).toString(16)}`;
      const trie = new AllowedIps<string>();
      const all = new Map<string, { prefix: ReturnType<typeof parsePrefix>; who: string }>();
      for (let i = 0; i < 600; i++) {
        const text = `${address()}/${random.below(family === 4 ? 33 : 129)}`;
        const prefix = parsePrefix(text);
        const key = `${prefix.words.join()}/${prefix.length}`;
        if (random.chance(0.4) && all.size > 0) {
          const [old, { prefix: gone }] = random.pick([...all]);
          all.delete(old);
          trie.delete(gone);
        }
        all.set(key, { prefix, who: key });
        trie.set(prefix, key);
        expect(trie.holder(prefix)).toBe(key);
        const wanted = address();
        const { words } = parsePrefix(wanted);
        const fits = [...all.values()].filter((entry) => {
          const cut = parsePrefix(`${wanted}/${entry.prefix.length}`);
          return cut.words.join() === entry.prefix.words.join() && words.length === 4;
        });
        const longest = fits.toSorted((a, b) => b.prefix.length - a.prefix.length)[0];
        expect(to(trie, wanted), wanted).toBe(longest?.who);
      }
    }
  });

  it.each([
    '',
    '10.0.0.1/33',
    '10.0.0/8',
    '::1/129',
    'fe80::1%eth0',
    '10.0.0.1/',
    '10.0.0.1/8/8',
    '10.0.0.1/-1',
    'host',
    '1.2.3.4/1e1',
  ])('refuses %j and says how to write it', (text) => {
    expect(() => parsePrefix(text)).toThrow(
      expect.objectContaining({ reason: 'bad_allowed_ip', kind: 'invalid_argument' }),
    );
  });

  it('reads every way to write an IPv6 address', () => {
    const words = (text: string) => parsePrefix(text).words.map((word) => word >>> 0);
    expect(words('1:2:3:4:5:6:7:8')).toEqual([0x10002, 0x30004, 0x50006, 0x70008]);
    expect(words('::')).toEqual([0, 0, 0, 0]);
    expect(words('1::')).toEqual([0x10000, 0, 0, 0]);
    expect(words('::ffff:10.137.0.2')).toEqual([0, 0, 0xffff, 0x0a890002]);
    expect(words('ffff:ffff::/20')).toEqual([0xfffff000, 0, 0, 0]);
  });

  it('takes for an address what node takes for one', () => {
    const random = new SeededRandom('addresses');
    const pieces = ['::', ':', '.', '0', '00', '1', '255', '256', 'ffff', '10000', 'g', '1.2.3.4', 'fd42', 'C0A1', ''];
    const differ: string[] = [];
    const takes = (text: string) => {
      try {
        return parsePrefix(text).family;
      } catch {
        return 0;
      }
    };
    for (let i = 0; i < 30_000; i++) {
      const text = Array.from({ length: random.between(1, 14) }, (_, at) =>
        at % 2 === 1 && random.chance(0.8) ? random.pick([':', ':', '.', '::']) : random.pick(pieces),
      ).join('');
      if (takes(text) !== isIP(text)) differ.push(text);
    }
    expect(differ).toEqual([]);
  });
});
