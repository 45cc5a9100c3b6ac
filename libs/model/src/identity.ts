import { createHash } from 'node:crypto';

declare const keyId: unique symbol;
declare const agentId: unique symbol;
declare const userId: unique symbol;
/** SHA-256 of a 32-byte WireGuard public key, base64url without padding: how the mesh names its members. */
export type KeyId = string & { readonly [keyId]: true };
/**
 * `eph-…` for a lease, `agt-…` for a permanent agent: derived from the key, so each is traceable to the other. `pub-…` for an
 * access at the public door, which has no key: derived from random bytes.
 */
export type AgentId = string & { readonly [agentId]: true };
/** Subject of a verified credential. */
export type UserId = string & { readonly [userId]: true };

export function keyIdOf(publicKey: Uint8Array): KeyId {
  return createHash('sha256').update(publicKey).digest('base64url') as KeyId;
}

/** prefix + base32 (RFC 4648, lower case, no padding) of the first 80 bits of SHA-256(public key). */
export function agentIdOf(publicKey: Uint8Array, prefix: 'eph' | 'agt' | 'pub'): AgentId {
  const digest = createHash('sha256').update(publicKey).digest().subarray(0, 10);
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let bits = 0;
  let held = 0;
  let text = '';
  for (const byte of digest) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet.charAt((held >>> bits) & 31);
    }
    held &= (1 << bits) - 1;
  }
  return `${prefix}-${text}` as AgentId;
}
