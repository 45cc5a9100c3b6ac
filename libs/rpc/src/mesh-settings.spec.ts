import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type * as colonyV1 from './colony-v1.js';
import { checkMeshSettings } from './mesh-settings.js';

const honest: colonyV1.MeshSettings = {
  colonyPublicKey: randomBytes(32),
  addressV4: '10.137.128.0',
  addressV6: 'fd42:c0a1::8000',
  colonyAddressV4: '10.137.0.1',
  colonyAddressV6: 'fd42:c0a1::1',
  endpoint: 'coral.example.com:41820',
  direct: undefined,
  mtu: 1_280,
  persistentKeepaliveSeconds: 25,
  routes: ['10.137.0.0/16', 'fd42:c0a1::/48'],
};
const reached = 'colony.internal:443';

describe('checkMeshSettings', () => {
  it('takes what a colony says', () => {
    expect(checkMeshSettings(honest, reached)).toEqual({
      colonyPublicKey: honest.colonyPublicKey,
      addresses: ['10.137.128.0', 'fd42:c0a1::8000'],
      colonyAddresses: ['10.137.0.1', 'fd42:c0a1::1'],
      endpoint: { host: 'coral.example.com', port: 41_820 },
      mtu: 1_280,
      persistentKeepaliveSeconds: 25,
      routes: ['10.137.0.0/16', 'fd42:c0a1::/48'],
    });
  });

  it.each([
    [':41820', 'colony.internal:443', 'colony.internal'],
    [':41820', '[fd00::7]:443', 'fd00::7'],
    ['[2001:db8::1]:41820', 'colony.internal:443', '2001:db8::1'],
  ])('finds the colony at %s when it was reached as %s', (endpoint, by, host) => {
    expect(checkMeshSettings({ ...honest, endpoint }, by).endpoint).toEqual({ host, port: 41_820 });
  });

  it('fills in what an older colony leaves out', () => {
    const { mtu, routes } = checkMeshSettings({ ...honest, mtu: 0, routes: [], addressV6: '' }, reached);
    expect({ mtu, routes }).toEqual({ mtu: 1_280, routes: ['10.137.0.1/32', 'fd42:c0a1::1/128'] });
  });

  it.each<[string, Partial<colonyV1.MeshSettings>]>([
    ['a key of another length', { colonyPublicKey: randomBytes(31) }],
    ['no address', { addressV4: '', addressV6: '' }],
    ['a public address of its own', { colonyAddressV4: '8.8.8.8' }],
    ['a public address of ours', { addressV4: '93.184.216.34' }],
    ['no colony address', { colonyAddressV4: '', colonyAddressV6: '' }],
    ['words for an address', { addressV4: 'localhost' }],
    ['a tiny MTU', { mtu: 576 }],
    ['a huge MTU', { mtu: 65_535 }],
    ['a keepalive of hours', { persistentKeepaliveSeconds: 86_400 }],
    ['the whole internet as a route', { routes: ['0.0.0.0/0'] }],
    ['half of it', { routes: ['10.0.0.0/1'] }],
    ['a public network', { routes: ['8.8.8.0/24'] }],
    ['all of IPv6', { routes: ['::/0'] }],
    ['a route without a prefix', { routes: ['10.137.0.0'] }],
    ['a route with two', { routes: ['10.137.0.0/16/8'] }],
    ['a hundred routes', { routes: Array.from({ length: 100 }, () => '10.137.0.0/16') }],
    ['no endpoint', { endpoint: '' }],
    ['a URL as endpoint', { endpoint: 'http://169.254.169.254/' }],
    ['a port out of range', { endpoint: 'coral.example.com:70000' }],
    ['a newline in the endpoint', { endpoint: 'coral.example.com:1\nPostUp = id' }],
  ])('refuses %s', (_name, wrong) => {
    expect(() => checkMeshSettings({ ...honest, ...wrong }, reached)).toThrow(
      expect.objectContaining({ kind: 'failed_precondition', reason: 'mesh_unsupported' }),
    );
  });
});
