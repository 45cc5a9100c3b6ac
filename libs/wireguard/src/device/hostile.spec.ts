import { describe, expect, it } from 'vitest';
import { SeededRandom } from '@coral/testing';
import { setMac1 } from '../cookie/macs.js';
import { pair } from '../spec-support/ends.js';

/** All of it by hand: `WIREGUARD_FUZZ=10000000`. */
const packets = Number(process.env['WIREGUARD_FUZZ'] ?? 20_000);

/** One message of every type as two ends really exchange them, cookie reply included. */
function samples(): Buffer[] {
  const { left, right, clock, wire, toRight } = pair({ limits: { backlogUnderLoad: 0 } });
  const byType = new Map<number, Buffer>();
  wire.tap((seen) => byType.set(seen.datagram[0] ?? 0, seen.datagram));
  left.device.initiate(toRight);
  // Both ends ask for cookies, so it takes two rounds.
  clock.advance(12_000);
  left.say(right, 1, 200);
  clock.advance(30);
  expect([...byType.keys()].toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4]);
  return [...byType.values()];
}

describe('hostile datagrams', () => {
  it(
    'of every kind, mangled in every way: nothing is thrown, nothing handed up, nothing answered without a right mac1',
    { timeout: 30_000 + packets },
    () => {
      const random = new SeededRandom('hostile');
      const good = samples();
      const { left, right, clock, wire } = pair();
      left.say(right, 0);
      clock.advance(30);
      right.heard();
      let live: Buffer = Buffer.alloc(0);
      const stop = wire.tap((seen) => (live = seen.datagram));
      left.say(right, 1);
      stop();
      clock.advance(30);
      right.heard();
      const before = right.counters;
      const from = { carrier: 'udp', address: '198.51.100.1', port: 4 } as const;
      let offered = 0;
      for (let i = 0; i < packets; i++) {
        const original = random.pick([...good, live]);
        const bad = mangled(original, random);
        // Only mac2 is hit, which counts under load alone: as good as the original.
        if (bad.length === original.length && bad.subarray(0, -16).equals(original.subarray(0, -16))) continue;
        offered++;
        right.device.onDatagram(bad, from);
        if (i % 64 === 0) right.device.runBacklog(64);
      }
      right.device.runBacklog(1_000);
      const after = right.counters;
      expect(right.received).toEqual([]);
      expect(after.txDatagrams).toBe(before.txDatagrams);
      expect(right.device.peers()[0]?.endpoint).toEqual(left.place);
      const dropped = (of: typeof after) => Object.values(of.drops).reduce((sum, count) => sum + count, 0);
      expect(dropped(after) - dropped(before)).toBe(offered);
      for (const reason of [
        'malformed',
        'unknown_type',
        'unknown_index',
        'bad_mac1',
        'bad_packet',
        'counter_limit',
      ] as const) {
        expect(after.drops[reason], reason).toBeGreaterThan(0);
      }
      // And the session is as it was.
      left.say(right, 2);
      clock.advance(10);
      expect(right.heard()).toEqual([2]);
    },
  );

  it('of every length, for every type', () => {
    const { left, right, clock } = pair();
    left.say(right, 0);
    clock.advance(30);
    right.heard();
    const random = new SeededRandom('lengths');
    const session = right.device.peers()[0]!.sessions.current!;
    const sent = right.counters.txDatagrams;
    for (const type of [0, 1, 2, 3, 4, 5, 255, 256 + 4, 65_536 + 1]) {
      for (let length = 0; length < 200; length++) {
        const datagram = random.bytes(length);
        if (length >= 4) datagram.writeUInt32LE(type, 0);
        // To the live session, where it is one for sessions.
        if (length >= 8) datagram.writeUInt32LE(session.localIndex, 4);
        right.device.onDatagram(datagram, left.place);
      }
    }
    right.device.runBacklog(10_000);
    expect(right.received).toEqual([]);
    expect(right.counters.txDatagrams).toBe(sent);
    expect(right.drops).not.toHaveProperty('backlog_full');
  });

  it('with a right mac1 and nothing else right: no answer', () => {
    const { left, right, clock, wire } = pair();
    const random = new SeededRandom('mac1');
    const key = left.device.peers()[0]!.remote.mac1Key;
    const sent = right.counters.txDatagrams;
    wire.impair({ loss: 1 });
    for (let i = 0; i < 100; i++) {
      const message = random.bytes(148);
      message.writeUInt32LE(1, 0);
      setMac1(message, key);
      right.device.onDatagram(message, left.place);
    }
    clock.advance(100);
    expect(right.drops).toEqual({ bad_handshake: 100 });
    expect(right.counters.txDatagrams).toBe(sent);
  });
});

function mangled(original: Buffer, random: SeededRandom): Buffer {
  const copy = Buffer.from(original);
  switch (random.below(6)) {
    case 0:
      return copy.subarray(0, random.below(copy.length));
    case 1:
      return Buffer.concat([copy, random.bytes(random.between(1, 1_400))]);
    case 2:
      random.bytes(random.between(4, 16)).copy(copy, random.below(copy.length));
      // A lucky copy of itself is no test.
      copy[0] = (copy[0] as number) ^ 0x80;
      return copy;
    case 3:
      return random.bytes(random.below(1_500));
    case 4:
      copy.writeUInt32LE(random.u32(), 12);
      return flipped(copy, random, 20);
    default:
      return flipped(copy, random, 0);
  }
}

/** Up to 8 different bits behind `from`. */
function flipped(copy: Buffer, random: SeededRandom, from: number): Buffer {
  const bits = new Set(
    Array.from({ length: random.between(1, 8) }, () => random.between(from * 8, copy.length * 8 - 1)),
  );
  for (const bit of bits) copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
  return copy;
}
