import { blake2s } from '@noble/hashes/blake2.js';
import { SeededRandom } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { KeyedBlake2s } from './keyed-blake2s.js';

describe('keyed BLAKE2s', () => {
  it('is what the general library computes, for every length of key and message around the blocks', () => {
    const random = new SeededRandom('blake2s');
    for (let length = 1; length <= 300; length++) {
      const [key, message] = [random.bytes((length % 32) + 1), random.bytes(length)];
      const expected = Buffer.from(blake2s(message, { key, dkLen: 16 }));
      const mac = new KeyedBlake2s(key);
      expect(mac.of(message), `length ${length}`).toEqual(expected);
      // Not what another computation left behind.
      mac.of(random.bytes(200));
      expect(mac.verifies(Buffer.concat([message, expected]), length)).toBe(true);
    }
  });

  it('says no to any flipped bit of message or MAC', () => {
    const random = new SeededRandom('flip');
    const mac = new KeyedBlake2s(random.bytes(32));
    const message = random.bytes(116);
    const whole = Buffer.concat([message, mac.of(message)]);
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bad = Buffer.from(whole);
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(mac.verifies(bad, 116)).toBe(false);
    }
  });

  it('takes keys of 1 to 32 bytes and messages of some', () => {
    expect(() => new KeyedBlake2s(Buffer.alloc(0))).toThrow(RangeError);
    expect(() => new KeyedBlake2s(Buffer.alloc(33))).toThrow(RangeError);
    expect(() => new KeyedBlake2s(Buffer.alloc(32)).of(Buffer.alloc(0))).toThrow(RangeError);
  });
});
