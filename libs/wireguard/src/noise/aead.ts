import { createCipheriv, createDecipheriv, createSecretKey } from 'node:crypto';
import { KEY_BYTES, TAG_BYTES } from '../constants.js';

/** ChaCha20-Poly1305 (RFC 8439) as a handshake uses it: each key once, so the nonce is zero. */

const cipherName = 'chacha20-poly1305';
const zeroNonce = Buffer.alloc(12);
const options = { authTagLength: TAG_BYTES };

/**
 * Ciphertext and tag go into `out` at `offset`; `plain.length + 16` bytes. As a KeyObject the key is three times faster
 * than raw.
 */
export function sealOnce(
  key: Buffer,
  plain: Buffer,
  associated: Buffer,
  out: Buffer,
  offset: number,
  nonce: Buffer = zeroNonce,
): void {
  const cipher = createCipheriv(cipherName, createSecretKey(key), nonce, options);
  cipher.setAAD(associated, { plaintextLength: plain.length });
  if (plain.length > 0) cipher.update(plain).copy(out, offset);
  cipher.final();
  cipher.getAuthTag().copy(out, offset + plain.length);
}

/** Undefined when the tag does not fit. */
export function openOnce(
  key: Buffer,
  sealed: Buffer,
  associated: Buffer,
  nonce: Buffer = zeroNonce,
): Buffer | undefined {
  const length = sealed.length - TAG_BYTES;
  if (length < 0 || key.length !== KEY_BYTES) return undefined;
  const decipher = createDecipheriv(cipherName, createSecretKey(key), nonce, options);
  decipher.setAAD(associated, { plaintextLength: length });
  decipher.setAuthTag(sealed.subarray(length));
  const plain = decipher.update(sealed.subarray(0, length));
  try {
    decipher.final();
  } catch {
    // The only way OpenSSL says "wrong tag". What it decrypted is worth nothing.
    plain.fill(0);
    return undefined;
  }
  return plain;
}
