import { describe, expect, it } from 'vitest';
import { isUnicast, parseAddress, sameAddress } from './address.js';

describe('the text of an address', () => {
  it.each([
    ['10.137.0.1', '10.137.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['0.0.0.0', '0.0.0.0'],
    // RFC 5952 §4 and §5.
    ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:DB8::1', '2001:db8::1'],
    ['::', '::'],
    ['::1', '::1'],
    ['fe80::', 'fe80::'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ])('reads %s and writes %s', (text, canonical) => {
    const address = parseAddress(text);
    expect(address?.text).toBe(canonical);
    const again = parseAddress(canonical);
    expect(address !== undefined && again !== undefined && sameAddress(address, again)).toBe(true);
  });

  it.each([
    '',
    '10.137.0.1/16',
    '10.137.0',
    '10.137.0.256',
    '10.137.0.01',
    '1.2.3.4.5',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '1:2:3:4:5:6:7:8::',
    'fe80::1%eth0',
    '12345::',
    '::1.2.3',
    '1.2.3.4::',
    '::ffff:10.0.0.1',
    '[::1]',
    ':1::2',
  ])('refuses %j', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });
});

describe('an address no packet may come from', () => {
  it.each([
    ['10.137.0.1', true],
    ['223.255.255.255', true],
    ['fd42:c0a1::1', true],
    ['0.0.0.0', false],
    ['0.1.2.3', false],
    ['127.0.0.1', false],
    ['224.0.0.1', false],
    ['240.0.0.1', false],
    ['255.255.255.255', false],
    ['::', false],
    ['::1', false],
    ['ff02::1', false],
  ])('%s: unicast %s', (text, expected) => {
    const address = parseAddress(text);
    expect(address && isUnicast(address.w0, address.w1, address.w2, address.w3)).toBe(expected);
  });
});
