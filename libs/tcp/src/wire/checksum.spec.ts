import { describe, expect, it } from 'vitest';
import { SeededRandom } from '@coral/testing';
import { addToSum, checksumOf } from './checksum.js';

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const checksum = (bytes: Buffer, from = 0, to = bytes.length) => checksumOf(addToSum(0, viewOf(bytes), from, to));

/** RFC 1071 §1 word for word. */
function plainly(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return ~sum & 0xffff;
}

describe('the Internet checksum', () => {
  it('is that of the example in RFC 1071 §3', () => {
    expect(checksum(Buffer.from('0001f203f4f5f6f7', 'hex'))).toBe(~0xddf2 & 0xffff);
  });

  it('is that of a published IPv4 header', () => {
    const header = Buffer.from('450000730000400040110000c0a80001c0a800c7', 'hex');
    expect(checksum(header)).toBe(0xb861);
  });

  it('is the same however the bytes lie, at every length', () => {
    const random = new SeededRandom('checksum');
    for (let length = 0; length < 200; length += 1) {
      const bytes = random.bytes(length + 7);
      const from = random.below(8);
      expect(checksum(bytes, from, from + length)).toBe(plainly(bytes.subarray(from, from + length)));
    }
  });

  it('loses no carry in the largest packet there is', () => {
    const bytes = Buffer.alloc(65_535, 0xff);
    expect(checksum(bytes)).toBe(plainly(bytes));
  });
});
