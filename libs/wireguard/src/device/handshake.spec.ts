import { describe, expect, it } from 'vitest';
import type { SeenDatagram } from '@coral/testing';
import { isLater, localIdentity } from '../noise/index.js';
import { End, Network, pair } from '../spec-support/ends.js';

const typeOf = (seen: SeenDatagram) => seen.datagram[0];

describe('a session', () => {
  it('is made by the first packet, which waits for it', () => {
    const { left, right, clock, toRight, toLeft } = pair();
    expect(left.say(right, 1)).toBe('queued');
    expect(left.say(right, 2)).toBe('queued');
    clock.advance(30);
    expect(right.heard()).toEqual([1, 2]);
    expect(right.say(left, 3)).toBe('sent');
    clock.advance(10);
    expect(left.heard()).toEqual([3]);
    expect(left.events).toEqual([{ kind: 'handshake', peer: toRight, initiator: true }]);
    expect(right.events).toEqual([{ kind: 'handshake', peer: toLeft, initiator: false }]);
    expect(toRight.lastHandshakeAt).toBe(clock.now() - 20);
    expect(left.drops).toEqual({});
    expect(right.drops).toEqual({});
    expect([toRight.txBytes, toRight.rxBytes]).toEqual([toLeft.rxBytes, toLeft.txBytes]);
  });

  it('works with a preshared key, and not with two different ones', () => {
    const presharedKey = Buffer.alloc(32, 7);
    const good = pair({ left: { presharedKey }, right: { presharedKey } });
    good.left.say(good.right, 1);
    good.clock.advance(30);
    expect(good.right.heard()).toEqual([1]);
    const bad = pair({ left: { presharedKey } });
    bad.left.say(bad.right, 1);
    bad.clock.advance(30);
    expect(bad.left.drops).toEqual({ bad_handshake: 1 });
    // Told the key while it tries, it does not wait for the next retry.
    bad.right.addPeer(bad.left, { presharedKey });
    bad.left.addPeer(bad.right, { presharedKey: Buffer.alloc(32, 8) });
    bad.left.addPeer(bad.right, { presharedKey });
    bad.clock.advance(50);
    expect(bad.right.heard()).toEqual([1]);
  });

  it('is not made by an attempt of before the preshared key was changed', () => {
    const { left, right, clock } = pair({ impairments: { delayMs: 5 }, left: { presharedKey: Buffer.alloc(32, 1) } });
    left.say(right, 1);
    clock.advance(7);
    // The response of an end without a preshared key is on its way.
    left.addPeer(right, { presharedKey: Buffer.alloc(32, 2) });
    clock.advance(100);
    expect(left.kinds()).toEqual([]);
    expect(left.drops).toMatchObject({ unknown_index: 1 });
  });

  it('carries IPv6 as well', () => {
    const network = new Network('six');
    const left = new End(network, { name: 'left', at: '2001:db8::1', address: 'fd42:c0a1::1' });
    const right = new End(network, { name: 'right', at: '2001:db8::2', address: 'fd42:c0a1::2' });
    left.addPeer(right);
    right.addPeer(left);
    left.say(right, 6, 1_000);
    network.clock.advance(30);
    expect(right.received[0]?.length).toBe(1_000);
    expect(right.heard()).toEqual([6]);
  });

  // Pitfall 5: until then it cannot know that its response arrived.
  it('is not sent on by the responder before the initiator has', () => {
    const { left, right, clock, wire } = pair();
    const seen: SeenDatagram[] = [];
    wire.tap((datagram) => seen.push(datagram));
    left.device.initiate(left.device.peers()[0]!);
    clock.advance(10);
    expect(right.say(left, 1)).toBe('queued');
    expect(seen.map(typeOf)).toEqual([1, 2]);
    clock.advance(10);
    // The initiator has nothing to say: a keepalive at once.
    expect(seen.map((one) => [one.from.address, typeOf(one), one.datagram.length])).toEqual([
      ['192.0.2.1', 1, 148],
      ['192.0.2.2', 2, 92],
      ['192.0.2.1', 4, 32],
    ]);
    clock.advance(20);
    expect(left.heard()).toEqual([1]);
    expect(seen).toHaveLength(4);
    expect(right.counters).toMatchObject({ rxKeepalives: 1, rxPackets: 0 });
    expect(right.received).toEqual([]);
  });

  it('is asked for again with other keys when the response is lost, and nothing queued is lost', () => {
    const { left, right, clock, wire } = pair();
    wire.impairPath(right.socket, left.socket, { loss: 1 });
    const seen: SeenDatagram[] = [];
    wire.tap((datagram) => seen.push(datagram));
    left.say(right, 1);
    clock.advance(5_000);
    wire.impairPath(right.socket, left.socket, { loss: 0 });
    clock.advance(400);
    expect(right.heard()).toEqual([1]);
    const initiations = seen.filter((one) => typeOf(one) === 1);
    expect(initiations).toHaveLength(2);
    // Index, ephemeral key, all that is sealed, macs: nothing is sent twice.
    for (const [from, to] of [
      [4, 8],
      [8, 40],
      [40, 88],
      [88, 116],
      [116, 132],
    ]) {
      expect(initiations[0]?.datagram.subarray(from, to)).not.toEqual(initiations[1]?.datagram.subarray(from, to));
    }
    const apart = (initiations[1]?.at ?? 0) - (initiations[0]?.at ?? 0);
    expect(apart).toBeGreaterThanOrEqual(5_000);
    expect(apart).toBeLessThanOrEqual(5_334);
  });

  it('survives the loss of the first packet on it', () => {
    const { left, right, clock, wire } = pair();
    left.say(right, 1);
    clock.advance(15);
    // Response is under way; what confirms it gets lost.
    wire.impairPath(left.socket, right.socket, { loss: 1 });
    clock.advance(10);
    expect(right.say(left, 2)).toBe('queued');
    wire.impairPath(left.socket, right.socket, { loss: 0 });
    left.say(right, 3);
    clock.advance(20);
    expect(right.heard()).toEqual([3]);
    expect(left.heard()).toEqual([2]);
  });

  it('is tried for 90 s, 5 s and a little apart, then given up with what waited; the next packet starts anew', () => {
    const { left, right, clock, wire, toRight } = pair();
    wire.impair({ loss: 1 });
    const at: number[] = [];
    const start = clock.monotonic();
    wire.tap((seen) => at.push(seen.at - start));
    for (let i = 0; i < 200; i++) left.say(right, i);
    clock.advance(300_000);
    expect(left.events).toEqual([{ kind: 'gave_up', peer: toRight, droppedPackets: 128 }]);
    expect(left.drops).toEqual({ queue_full: 72, handshake_failed: 128 });
    expect(at.length).toBeGreaterThanOrEqual(17);
    expect(at.length).toBeLessThanOrEqual(18);
    expect(at.at(-1)).toBeLessThan(90_000);
    const gaps = at.slice(1).map((time, i) => time - (at[i] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(5_000);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5_334);
    expect(new Set(gaps).size).toBeGreaterThan(5);
    expect(clock.nextAt()).toBe(Infinity);
    wire.impair({ loss: 0 });
    left.say(right, 7);
    clock.advance(30);
    expect(right.heard()).toEqual([7]);
  });

  it('may be asked for again sooner while there is none at all, and only then', () => {
    const limits = { eagerRetriesMs: [250, 500, 1_000] };
    const { left, right, clock, wire } = pair({ limits });
    wire.impair({ loss: 1 });
    const at: number[] = [];
    const start = clock.monotonic();
    wire.tap((seen) => seen.datagram[0] === 1 && seen.from.address === '192.0.2.1' && at.push(seen.at - start));
    left.say(right, 1);
    clock.advance(13_000);
    const gaps = at.slice(1).map((time, i) => time - (at[i] ?? 0));
    expect(gaps).toHaveLength(5);
    [250, 500, 1_000].forEach((least, i) => {
      expect(gaps[i]).toBeGreaterThanOrEqual(least);
      expect(gaps[i]).toBeLessThanOrEqual(least * 1.25);
    });
    expect(Math.min(...gaps.slice(3))).toBeGreaterThanOrEqual(5_000);
    wire.impair({ loss: 0 });
    clock.advance(6_000);
    expect(right.heard()).toEqual([1]);
    // With a session nobody waits for the next one.
    clock.advance(115_000);
    wire.impair({ loss: 1 });
    at.length = 0;
    for (let i = 0; i < 12; i++) {
      left.say(right, i);
      clock.advance(1_000);
    }
    expect(at.length).toBeGreaterThanOrEqual(2);
    expect(at.length).toBeLessThanOrEqual(3);
  });

  it('is found by whoever has something to say when nobody knows where the other is, but not by the other', () => {
    const { left, right, clock, toLeft } = pair();
    right.device.setEndpoint(toLeft, undefined);
    expect(right.say(left, 1)).toBe('no_endpoint');
    left.say(right, 2);
    clock.advance(30);
    expect(right.say(left, 3)).toBe('sent');
    clock.advance(10);
    expect(left.heard()).toEqual([3]);
  });

  it('follows at once when the carrier changes while it is being asked for', () => {
    const { left, right, clock, wire, toRight } = pair();
    left.device.setEndpoint(toRight, { carrier: 'udp', address: '192.0.2.99', port: 1 });
    left.say(right, 1);
    clock.advance(300);
    left.device.setEndpoint(toRight, right.place);
    clock.advance(40);
    expect(right.heard()).toEqual([1]);
    expect(wire.clock.monotonic()).toBe(clock.monotonic());
  });

  it('asked for of a thousand peers at once does not run ahead of the clock', () => {
    const network = new Network('thousand');
    const colony = new End(network, { name: 'colony', at: '192.0.2.1', address: '10.137.0.1' });
    const random = network.random.fork('peers');
    const ends = Array.from({ length: 1_000 }, (_, i) => {
      const { publicKey } = localIdentity(random.bytes(32));
      const endpoint = { carrier: 'udp', address: '192.0.2.2', port: 1_000 + i } as const;
      return colony.device.addPeer({ publicKey, allowedIps: [`10.138.${i >> 8}.${i & 255}`], endpoint });
    });
    for (const peer of ends) colony.device.initiate(peer);
    expect(colony.counters.initiationsSent).toBe(1_000);
    expect(new Set(ends.map((peer) => peer.sentTimestamp)).size).toBe(1);
    // To the same peer a greater one each time, though the clock has gone back.
    const before = ends[7]?.sentTimestamp as Buffer;
    network.clock.stepWall(-3_600_000);
    network.clock.advance(5_400);
    const after = ends[7]?.sentTimestamp as Buffer;
    expect(isLater(after, before)).toBe(true);
    expect(after.readBigUInt64BE(0) - before.readBigUInt64BE(0)).toBeLessThan(2n);
  });
});
