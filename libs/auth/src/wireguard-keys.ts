import { generateKeyPairSync } from 'node:crypto';

/** X25519 keys as WireGuard writes them: 32 raw bytes each, the private one clamped (RFC 7748 §5) like `wg genkey`'s. */
export function newWireGuardKeyPair(): { publicKey: Buffer; privateKey: Buffer } {
  const { d, x } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  if (d === undefined || x === undefined) throw new TypeError('an X25519 JWK has d and x (RFC 8037)');
  const privateKey = Buffer.from(d, 'base64url');
  // Clamping changes only bits that X25519 ignores, so the public key stays the same.
  privateKey[0] = privateKey.readUInt8(0) & 248;
  privateKey[31] = (privateKey.readUInt8(31) & 127) | 64;
  return { publicKey: Buffer.from(x, 'base64url'), privateKey };
}
