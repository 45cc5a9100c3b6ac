import { timingSafeEqual } from 'node:crypto';
import { blake2s } from '@noble/hashes/blake2.js';
import { MAC_BYTES } from '../constants.js';

/**
 * mac1, mac2 and cookies are *keyed BLAKE2s with a 16-byte output* (RFC 7693 §2.9; whitepaper §5.4): not HMAC, not a
 * longer hash cut short. `node:crypto` cannot: it refuses that output length and silently ignores a key.
 */
export function mac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return blake2s(data, { key, dkLen: MAC_BYTES });
}

/** mac1 ends 16 bytes before the end of an initiation or a response, mac2 at the end. */
export function mac1At(message: Buffer): number {
  return message.length - 2 * MAC_BYTES;
}

export function mac2At(message: Buffer): number {
  return message.length - MAC_BYTES;
}

export function setMac1(message: Buffer, key: Buffer): void {
  const at = mac1At(message);
  message.set(mac(key, message.subarray(0, at)), at);
}

/** In constant time. */
export function macEquals(message: Buffer, at: number, expected: Uint8Array): boolean {
  return timingSafeEqual(message.subarray(at, at + MAC_BYTES), expected);
}
