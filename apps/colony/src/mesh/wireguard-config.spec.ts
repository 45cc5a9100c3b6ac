import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { wireguardConfigText } from './wireguard-config.js';

const colony = { publicKey: randomBytes(32), endpoint: 'coral.example.com:41820' };
const addresses = { v4: '10.137.128.0', v6: 'fd42:c0a1::8000' };
const ranges = ['10.137.0.0/16', 'fd42:c0a1::/48'];

/** What wg-quick(8) and wg(8) `setconf` accept: one section line or `Key = value` per line, known keys only. */
const grammar: Record<string, RegExp> = {
  PrivateKey: /^[A-Za-z0-9+/]{43}=$/,
  Address: /^[0-9.]+\/32, [0-9a-f:]+\/128$/,
  MTU: /^\d+$/,
  PublicKey: /^[A-Za-z0-9+/]{43}=$/,
  AllowedIPs: /^[0-9./]+, [0-9a-f:/]+$/,
  Endpoint: /^[^\s:]+:\d+$/,
  PersistentKeepalive: /^\d+$/,
};

function parse(text: string): Record<string, Record<string, string>> {
  const sections: Record<string, Record<string, string>> = {};
  let section: Record<string, string> | undefined;
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const header = /^\[(Interface|Peer)\]$/.exec(line)?.[1];
    if (header !== undefined) {
      section = sections[header] = {};
      continue;
    }
    const [, key = '', value = ''] = /^(\w+) = (.+)$/.exec(line) ?? [];
    expect([line, grammar[key]?.test(value)]).toEqual([line, true]);
    (section as Record<string, string>)[key] = value;
  }
  return sections;
}

describe('wireguardConfigText', () => {
  it('is a complete configuration in the grammar of wg-quick', () => {
    const privateKey = randomBytes(32);
    const parsed = parse(wireguardConfigText({ privateKey, addresses, colony, ranges }));
    expect(parsed).toEqual({
      Interface: {
        PrivateKey: privateKey.toString('base64'),
        Address: '10.137.128.0/32, fd42:c0a1::8000/128',
        MTU: '1280',
      },
      Peer: {
        PublicKey: colony.publicKey.toString('base64'),
        AllowedIPs: '10.137.0.0/16, fd42:c0a1::/48',
        Endpoint: 'coral.example.com:41820',
        PersistentKeepalive: '25',
      },
    });
  });

  it('has no PrivateKey line when the key stayed on the laptop', () => {
    const text = wireguardConfigText({ privateKey: undefined, addresses, colony, ranges });
    expect(text).not.toContain('PrivateKey');
    expect(parse(text)['Interface']).toBeDefined();
  });
});
