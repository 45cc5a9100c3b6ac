import { describe, expect, it } from 'vitest';
import type { SeenDatagram } from '@coral/testing';
import { pair } from '../spec-support/ends.js';

/** A pair with a session, and all that was sent for it. */
function recorded() {
  const made = pair();
  const seen: SeenDatagram[] = [];
  made.wire.tap((datagram) => seen.push(datagram));
  made.left.say(made.right, 1);
  made.clock.advance(30);
  made.right.say(made.left, 2);
  made.clock.advance(30);
  made.left.heard();
  made.right.heard();
  const of = (type: number) => seen.filter((one) => one.datagram[0] === type).map((one) => one.datagram);
  return { ...made, seen, of };
}
const elsewhere = { address: '198.51.100.66', port: 6666 };

describe('what was recorded and is sent again', () => {
  it('data: dropped and counted, and does not move the endpoint', () => {
    const { left, right, wire, clock, of, toLeft } = recorded();
    for (const datagram of of(4)) {
      wire.inject(datagram, elsewhere, right.place);
      wire.inject(datagram, elsewhere, left.place);
    }
    clock.advance(1);
    expect(right.heard()).toEqual([]);
    expect(left.heard()).toEqual([]);
    expect(right.drops).toEqual({ replayed: 1, unknown_index: 1 });
    expect(left.drops).toEqual({ replayed: 1, unknown_index: 1 });
    expect(toLeft.endpoint).toEqual(left.place);
  });

  it('an initiation: no answer, the session and the endpoint stay', () => {
    const { right, left, wire, clock, of, toLeft, seen } = recorded();
    const before = seen.length;
    for (let i = 0; i < 5; i++) {
      wire.inject(of(1)[0] as Buffer, elsewhere, right.place);
      clock.advance(100);
    }
    expect(right.drops).toEqual({ stale_initiation: 5 });
    expect(seen.length).toBe(before);
    expect(toLeft.endpoint).toEqual(left.place);
    expect(toLeft.sessions.next).toBeUndefined();
    left.say(right, 3);
    clock.advance(10);
    expect(right.heard()).toEqual([3]);
  });

  it('an initiation of long ago, after the peer was taken out and added again while over', () => {
    const { right, left, wire, clock, of } = recorded();
    right.addPeer(left, { expiresAt: clock.now() + 1_000 });
    clock.advance(2_000);
    right.addPeer(left);
    wire.inject(of(1)[0] as Buffer, elsewhere, right.place);
    clock.advance(20);
    expect(right.drops).toEqual({ stale_initiation: 1 });
  });

  it('a response and a cookie reply: nobody waits for them', () => {
    const { left, wire, clock, of } = recorded();
    wire.inject(of(2)[0] as Buffer, elsewhere, left.place);
    const cookie = Buffer.alloc(64, 1);
    cookie.writeUInt32LE(3, 0);
    (of(1)[0] as Buffer).copy(cookie, 4, 4, 8);
    wire.inject(cookie, elsewhere, left.place);
    clock.advance(1);
    // The index lives on as that of the session, so the cookie reply is tried and does not fit.
    expect(left.drops).toEqual({ unknown_index: 1, bad_cookie_reply: 1 });
  });

  // Pitfall 12: this crashed the prototype.
  it('what is left of sessions before, of both ends, after a restart of one', () => {
    const { left, right, wire, clock, seen } = recorded();
    right.device.removePeer(left.device.publicKey);
    right.addPeer(left);
    for (const one of seen.slice()) {
      wire.inject(one.datagram, one.from, one.to);
      wire.inject(one.datagram, one.to, one.from);
    }
    clock.advance(50);
    expect(right.heard()).toEqual([]);
    expect(left.heard()).toEqual([]);
    left.say(right, 9);
    clock.advance(16_000);
    left.say(right, 10);
    clock.advance(40);
    expect(right.heard()).toContain(10);
  });

  it.each([
    [8_127, 1],
    [8_128, 1],
    [8_129, 0],
    [8_192, 0],
  ])('data that lags by %i: %i arrive', (lag, arrive) => {
    const { left, right, wire, clock } = recorded();
    wire.impair({ loss: 1 });
    const held: Buffer[] = [];
    const stop = wire.tap((seen) => held.push(seen.datagram));
    for (let i = 0; i <= lag; i++) left.say(right, i);
    stop();
    wire.inject(held.at(-1) as Buffer, left.place, right.place);
    clock.advance(0);
    for (let i = 0; i < 2; i++) wire.inject(held[0] as Buffer, left.place, right.place);
    clock.advance(1);
    expect(right.heard()).toEqual([lag, 0].slice(0, 1 + arrive));
    expect(right.drops).toEqual({ replayed: 2 - arrive });
  });
});

describe('what was changed on the way', () => {
  it('is dropped whatever bit it is, and the right packet still arrives after it', () => {
    const { left, right, wire, clock } = recorded();
    wire.impair({ loss: 1 });
    let datagram: Buffer = Buffer.alloc(0);
    const stop = wire.tap((seen) => (datagram = seen.datagram));
    left.say(right, 5);
    stop();
    for (let bit = 0; bit < datagram.length * 8; bit += 3) {
      const bad = Buffer.from(datagram);
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      wire.inject(bad, left.place, right.place);
    }
    clock.advance(1);
    expect(right.heard()).toEqual([]);
    wire.inject(datagram, left.place, right.place);
    clock.advance(1);
    expect(right.heard()).toEqual([5]);
  });
});
