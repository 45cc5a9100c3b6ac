import { createCipheriv, hash } from 'node:crypto';
import { KEY_BYTES, TAG_BYTES } from '../constants.js';
import { wireGuardCryptoMissing } from './key.errors.js';
import { keyPairFrom } from './x25519.js';

type Primitive = readonly [name: string, use: () => unknown];

/**
 * One use of each: in FIPS mode OpenSSL lists algorithms that it then refuses, so asking it for lists proves nothing.
 */
const needed: readonly Primitive[] = [
  ['BLAKE2s', () => hash('blake2s256', 'coral')],
  ['X25519', () => keyPairFrom(Buffer.alloc(KEY_BYTES, 1))],
  [
    'ChaCha20-Poly1305',
    () => createCipheriv('chacha20-poly1305', Buffer.alloc(KEY_BYTES), Buffer.alloc(12), { authTagLength: TAG_BYTES }),
  ],
];

/** Throws `wireguard_crypto_missing`, naming the first primitive this Node.js cannot do. */
export function requireWireGuardCrypto(primitives: readonly Primitive[] = needed): void {
  for (const [name, use] of primitives) {
    try {
      use();
    } catch (thrown) {
      throw wireGuardCryptoMissing(name, thrown);
    }
  }
}
