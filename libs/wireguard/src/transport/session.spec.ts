import { createSecretKey } from 'node:crypto';
import { SeededRandom } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { TransportSession } from './session.js';

function bothSides(): { ours: TransportSession; theirs: TransportSession } {
  const random = new SeededRandom('session');
  const [one, other] = [createSecretKey(random.bytes(32)), createSecretKey(random.bytes(32))];
  const ours = { send: one, receive: other, localIndex: 1, remoteIndex: 0xfffffff0, initiator: true };
  const theirs = { send: other, receive: one, localIndex: 0xfffffff0, remoteIndex: 1, initiator: false };
  return { ours: new TransportSession(ours, 0), theirs: new TransportSession(theirs, 0) };
}
const limit = 2 ** 53;

describe('a transport session', () => {
  it.each([
    [0, 32],
    [1, 48],
    [15, 48],
    [16, 48],
    [17, 64],
    [84, 128],
    [1_408, 1_440],
    // Up to the MTU and not to the 16 bytes after it.
    [1_409, 1_452],
    [1_420, 1_452],
  ])('seals %i bytes into %i and gives them back with their padding', (bytes, datagramBytes) => {
    const { ours, theirs } = bothSides();
    const packet = new SeededRandom(bytes).bytes(bytes);
    const datagram = ours.seal(packet, 1420);
    expect(datagram?.length).toBe(datagramBytes);
    expect(datagram?.subarray(0, 8).toString('hex')).toBe('04000000f0ffffff');
    const opened = theirs.open(datagram as Buffer, limit) as Buffer;
    expect(opened.subarray(0, bytes).equals(packet)).toBe(true);
    expect(opened.subarray(bytes).every((byte) => byte === 0)).toBe(true);
  });

  it('does not leave the packet before in the padding', () => {
    const { ours, theirs } = bothSides();
    ours.seal(Buffer.alloc(1_403, 0xaa), 1420);
    const opened = theirs.open(ours.seal(Buffer.alloc(3, 0xbb), 1420) as Buffer, limit) as Buffer;
    expect(opened.toString('hex')).toBe('bbbbbb'.padEnd(32, '0'));
  });

  it('counts up by one and never sends a counter twice', () => {
    const { ours } = bothSides();
    const counters = Array.from({ length: 300 }, () => Number(ours.seal(Buffer.alloc(4), 1420)?.readBigUInt64LE(8)));
    expect(counters).toEqual(Array.from({ length: 300 }, (_, i) => i));
    expect(ours.sent).toBe(300);
  });

  it('opens each message once, and only as it was sealed', () => {
    const { ours, theirs } = bothSides();
    const datagram = ours.seal(Buffer.from('a packet'), 1420) as Buffer;
    for (let bit = 8 * 8; bit < datagram.length * 8; bit++) {
      const bad = Buffer.from(datagram);
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(typeof theirs.open(bad, limit)).toBe('string');
    }
    expect(theirs.window.newest).toBe(-1);
    expect(theirs.open(datagram, limit)).toBeInstanceOf(Buffer);
    expect(theirs.open(datagram, limit)).toBe('replayed');
  });

  it('does not look at counters a number cannot hold, nor beyond the limit', () => {
    const { ours, theirs } = bothSides();
    const datagram = ours.seal(Buffer.alloc(0), 1420) as Buffer;
    datagram.writeUInt32LE(2 ** 21, 12);
    expect(theirs.open(datagram, limit)).toBe('counter_limit');
    ours.seal(Buffer.alloc(0), 1420);
    expect(theirs.open(ours.seal(Buffer.alloc(0), 1420) as Buffer, 2)).toBe('counter_limit');
  });

  it('is of no use once wiped', () => {
    const { ours, theirs } = bothSides();
    const datagram = ours.seal(Buffer.alloc(4), 1420) as Buffer;
    ours.wipe();
    theirs.wipe();
    expect(ours.seal(Buffer.alloc(4), 1420)).toBeUndefined();
    expect(theirs.open(datagram, limit)).toBe('bad_packet');
  });
});
