import { createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';

/** Bytes of an X25519 public key (RFC 7748). */
export const publicKeyLength = 32;

/**
 * What is wrong with a stranger's WireGuard key, or undefined. Refused besides wrong lengths: the points of low order,
 * with which every secret is the same zero, and spellings with the ignored top bit set, which would give one key two names.
 */
export function publicKeyProblem(bytes: Uint8Array): string | undefined {
  if (bytes.length !== publicKeyLength) return `${bytes.length} bytes where ${publicKeyLength} are needed`;
  if (((bytes[31] as number) & 0x80) !== 0) return 'not in canonical form (the top bit is set)';
  const x = Buffer.from(bytes).toString('base64url');
  try {
    diffieHellman({
      privateKey: generateKeyPairSync('x25519').privateKey,
      publicKey: createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'X25519', x } }),
    });
    return undefined;
  } catch {
    // OpenSSL refuses an all-zero shared secret (RFC 7748 section 6.1).
    return 'a point of low order, with which nothing would be secret';
  }
}

const sha256Length = 32;

/** What is wrong with the hash of a certificate (mesh driver `direct`), or undefined. */
export function certificateHashProblem(bytes: Uint8Array): string | undefined {
  return bytes.length === sha256Length ? undefined : `${bytes.length} bytes where ${sha256Length} are needed`;
}
