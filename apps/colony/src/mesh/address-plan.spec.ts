import { describe, expect, it } from 'vitest';
import { AddressPlan, agentHosts, colonyHost, leaseHosts, nextFreeHost } from './address-plan.js';

describe('AddressPlan', () => {
  const plan = new AddressPlan('10.137.0.0/16', 'fd42:c0a1::/48');

  it('puts the colony first, then agents, then leases', () => {
    expect(plan.addressesOf(colonyHost)).toEqual({ v4: '10.137.0.1', v6: 'fd42:c0a1::1' });
    expect(plan.addressesOf(agentHosts.first)).toEqual({ v4: '10.137.0.2', v6: 'fd42:c0a1::2' });
    expect(plan.addressesOf(leaseHosts.first)).toEqual({ v4: '10.137.128.0', v6: 'fd42:c0a1::8000' });
    expect(plan.addressesOf(leaseHosts.last)).toEqual({ v4: '10.137.255.254', v6: 'fd42:c0a1::fffe' });
  });

  it.each([
    ['10.137.0.0/24', 'fd42:c0a1::/48'],
    ['10.137.1.0/16', 'fd42:c0a1::/48'],
    ['10.137.0.0', 'fd42:c0a1::/48'],
    ['mesh', 'fd42:c0a1::/48'],
    ['10.137.0.0/16', 'fd42:c0a1::1/48'],
    ['10.137.0.0/16', 'fd42:c0a1::/120'],
    ['10.137.0.0/16', 'fd42:c0a1::'],
  ])('refuses %s with %s', (v4, v6) => {
    expect(() => new AddressPlan(v4, v6)).toThrow(expect.objectContaining({ reason: 'bad_mesh_range' }));
  });

  it('writes full prefixes too', () => {
    expect(new AddressPlan('10.1.0.0/16', 'fd42:c0a1:1:2:3:4:5:0/112').addressesOf(2).v6).toBe('fd42:c0a1:1:2:3:4:5:2');
  });
});

describe('nextFreeHost', () => {
  const range = { first: 10, last: 12 };

  it('goes round and skips what is taken', () => {
    expect(nextFreeHost(range, new Set(), 0)).toBe(10);
    expect(nextFreeHost(range, new Set(), 10)).toBe(11);
    expect(nextFreeHost(range, new Set([11]), 10)).toBe(12);
    expect(nextFreeHost(range, new Set([11]), 12)).toBe(10);
  });

  it('says so when the range is full', () => {
    expect(() => nextFreeHost(range, new Set([10, 11, 12]), 10)).toThrow(
      expect.objectContaining({ kind: 'resource_exhausted', reason: 'mesh_range_full' }),
    );
  });
});
