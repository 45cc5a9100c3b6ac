import { newWireGuardKeyPair } from '@coral/auth';
import { describe, expect, it } from 'vitest';
import { publicKeyProblem } from './public-key.js';

describe('publicKeyProblem', () => {
  it('takes real keys', () => {
    for (let i = 0; i < 20; i += 1) expect(publicKeyProblem(newWireGuardKeyPair().publicKey)).toBeUndefined();
  });

  // Low-order points of Curve25519: cr.yp.to/ecdh.html, "Validate".
  it.each([
    ['0', '00'.repeat(32)],
    ['1', `01${'00'.repeat(31)}`],
    ['of order 8', 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'],
    ['of order 8, the other', '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'],
    ['p - 1', `ec${'ff'.repeat(30)}7f`],
    ['p', `ed${'ff'.repeat(30)}7f`],
  ])('refuses the low-order point %s', (_name, hex) => {
    expect(publicKeyProblem(Buffer.from(hex, 'hex'))).toContain('low order');
  });

  it('refuses a second spelling of a good key', () => {
    const key = Buffer.from(newWireGuardKeyPair().publicKey);
    key[31] = (key[31] as number) | 0x80;
    expect(publicKeyProblem(key)).toContain('canonical');
  });

  it.each([0, 31, 33, 44])('refuses %i bytes', (length) => {
    expect(publicKeyProblem(new Uint8Array(length))).toContain('32 are needed');
  });
});
