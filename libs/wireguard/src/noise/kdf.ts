import { hash as digest } from 'node:crypto';

/**
 * HMAC-BLAKE2s and the HKDF of Noise §4.3 (whitepaper §5.4 calls its outputs KDF1 to KDF3). An HMAC is two calls of
 * `crypto.hash`, 2 µs together: `createHmac` takes 12 µs.
 */

const algorithm = 'blake2s256';
const blockBytes = 64;
const hashBytes = 32;
/** The most that is ever hashed behind a pad: one output and its counter byte, or a public key. */
const longestInput = hashBytes + 1;

const inner = Buffer.alloc(blockBytes + longestInput);
const outer = Buffer.alloc(blockBytes + hashBytes);
/** A view per input length, made once. */
const innerOf = Array.from({ length: longestInput + 1 }, (_, length) => inner.subarray(0, blockBytes + length));
const nothing = Buffer.alloc(0);
const one = Buffer.of(1);
const chained = Buffer.alloc(longestInput);

/**
 * For what is public, the transcript of a handshake. By way of a string, which takes half as long as a Buffer of its
 * own.
 */
export function hash(data: Uint8Array): Buffer {
  return Buffer.from(digest(algorithm, data, 'binary'), 'binary');
}

/** BLAKE2s of both, one after the other. */
export function hashBoth(first: Buffer, second: Buffer): Buffer {
  return hash(Buffer.concat([first, second]));
}

/**
 * `key` of at most 64 bytes, `input` of at most 33: all a handshake has. What is secret stands in Buffers only: a
 * string could not be wiped.
 */
export function hmac(key: Uint8Array, input: Uint8Array): Buffer {
  const padded = innerOf[input.length];
  if (!padded || key.length > blockBytes) throw new RangeError('HMAC-BLAKE2s here is for keys and hashes only.');
  inner.fill(0x36, 0, blockBytes);
  outer.fill(0x5c, 0, blockBytes);
  for (let i = 0; i < key.length; i++) {
    const byte = key[i] as number;
    inner[i] = byte ^ 0x36;
    outer[i] = byte ^ 0x5c;
  }
  inner.set(input, blockBytes);
  const middle = digest(algorithm, padded, 'buffer');
  outer.set(middle, blockBytes);
  middle.fill(0);
  return digest(algorithm, outer, 'buffer');
}

/** One output. `chainingKey` is left as it is. */
export function kdf1(chainingKey: Uint8Array, input: Uint8Array): Buffer {
  const root = hmac(chainingKey, input);
  const first = hmac(root, one);
  root.fill(0);
  wipeScratch();
  return first;
}

export function kdf2(chainingKey: Uint8Array, input: Uint8Array = nothing): [Buffer, Buffer] {
  const root = hmac(chainingKey, input);
  const first = hmac(root, one);
  const second = next(root, first, 2);
  root.fill(0);
  wipeScratch();
  return [first, second];
}

export function kdf3(chainingKey: Uint8Array, input: Uint8Array): [Buffer, Buffer, Buffer] {
  const root = hmac(chainingKey, input);
  const first = hmac(root, one);
  const second = next(root, first, 2);
  const third = next(root, second, 3);
  root.fill(0);
  wipeScratch();
  return [first, second, third];
}

function next(root: Buffer, previous: Buffer, counter: number): Buffer {
  chained.set(previous);
  chained[hashBytes] = counter;
  return hmac(root, chained);
}

function wipeScratch(): void {
  inner.fill(0);
  outer.fill(0);
  chained.fill(0);
}
