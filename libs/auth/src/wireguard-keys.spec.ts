import { createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { newWireGuardKeyPair } from './wireguard-keys.js';

describe('newWireGuardKeyPair', () => {
  it('gives clamped 32-byte keys that belong together', () => {
    // PKCS #8 of an X25519 key (RFC 8410): a fixed head, then the raw bytes.
    const head = Buffer.from('302e020100300506032b656e04220420', 'hex');
    for (let i = 0; i < 50; i++) {
      const { publicKey, privateKey } = newWireGuardKeyPair();
      expect([publicKey.length, privateKey.length]).toEqual([32, 32]);
      expect(privateKey.readUInt8(0) & 7).toBe(0);
      expect(privateKey.readUInt8(31) & 0xc0).toBe(0x40);
      const key = createPrivateKey({ key: Buffer.concat([head, privateKey]), format: 'der', type: 'pkcs8' });
      expect(createPublicKey(key).export({ format: 'jwk' }).x).toBe(publicKey.toString('base64url'));
    }
  });
});
