import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { CheckedMeshSettings } from './mesh-settings.js';
import { wireguardConfigText } from './wireguard-config.js';

const settings: CheckedMeshSettings = {
  colonyPublicKey: randomBytes(32),
  addresses: ['10.137.128.0', 'fd42:c0a1::8000'],
  colonyAddresses: ['10.137.0.1', 'fd42:c0a1::1'],
  endpoint: { host: 'coral.example.com', port: 41_820 },
  mtu: 1_280,
  persistentKeepaliveSeconds: 25,
  routes: ['10.137.0.0/16', 'fd42:c0a1::/48'],
};

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
    const parsed = parse(wireguardConfigText(settings, privateKey));
    expect(parsed).toEqual({
      Interface: {
        PrivateKey: privateKey.toString('base64'),
        Address: '10.137.128.0/32, fd42:c0a1::8000/128',
        MTU: '1280',
      },
      Peer: {
        PublicKey: settings.colonyPublicKey.toString('base64'),
        AllowedIPs: '10.137.0.0/16, fd42:c0a1::/48',
        Endpoint: 'coral.example.com:41820',
        PersistentKeepalive: '25',
      },
    });
  });

  it('has no PrivateKey line when the key stayed on the laptop', () => {
    const text = wireguardConfigText(settings);
    expect(text).not.toContain('PrivateKey');
    expect(parse(text)['Interface']).toBeDefined();
  });
});
