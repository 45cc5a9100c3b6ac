import { describe, expect, it } from 'vitest';
import { pair } from '../spec-support/ends.js';

const hour = 3_600_000;

/** The left end is the colony; the right one has 5 s, and a session. */
function leased() {
  const made = pair();
  const { left, right, clock } = made;
  const toRight = left.addPeer(right, { expiresAt: clock.now() + 5_000 });
  right.say(left, 1);
  clock.advance(30);
  expect(left.heard()).toEqual([1]);
  return { ...made, toRight };
}

describe('a lease', () => {
  it('passes packets until its end and none from then on, either way; a handshake is refused too', () => {
    const { left, right, clock, toRight } = leased();
    clock.advance(4_900);
    right.say(left, 2);
    clock.advance(50);
    expect(left.say(right, 3)).toBe('sent');
    expect(left.heard()).toEqual([2]);
    // Said in time, there too late.
    clock.advance(15);
    right.say(left, 4);
    clock.advance(100);
    expect(left.heard()).toEqual([]);
    expect(left.say(right, 5)).toBe('expired');
    expect(right.heard()).toEqual([3]);
    expect(left.events.at(-1)).toEqual({ kind: 'expired', peer: toRight });
    expect(toRight.isOver()).toBe(true);
    right.say(left, 6);
    clock.advance(60_000);
    expect(left.heard()).toEqual([]);
    expect(left.counters.responsesSent).toBe(1);
    expect(left.drops.peer_expired).toBeGreaterThanOrEqual(2);
  });

  it('is refused on the packet path even when no timer runs, and its keys are wiped by then', () => {
    const { left, right, clock, wire, toRight } = leased();
    let datagram: Buffer = Buffer.alloc(0);
    wire.tap((seen) => (datagram = seen.datagram));
    wire.impair({ loss: 1 });
    right.say(left, 2);
    const session = toRight.sessions.current;
    // The same device, asked late: the clock moved and nobody called onTimer.
    const { monotonic, now } = clock;
    clock.monotonic = () => monotonic.call(clock) + 5_000;
    clock.now = () => now.call(clock) + 5_000;
    left.device.onDatagram(datagram, right.place);
    expect(left.heard()).toEqual([]);
    expect(left.drops).toEqual({ peer_expired: 1 });
    expect(session?.wiped).toBe(true);
    expect(left.kinds().at(-1)).toBe('expired');
  });

  it('ends by the monotonic clock when the wall clock goes back', () => {
    const { left, right, clock } = leased();
    clock.stepWall(-hour);
    clock.advance(5_000);
    right.say(left, 2);
    clock.advance(20);
    expect(left.heard()).toEqual([]);
    expect(left.kinds()).toContain('expired');
  });

  it('ends by the wall clock when that goes forward, within half a second even without a packet, and stays over when it goes back', () => {
    const { left, right, clock, toRight } = leased();
    clock.stepWall(hour);
    clock.advance(500);
    expect(left.kinds()).toContain('expired');
    clock.stepWall(-2 * hour);
    right.say(left, 2);
    clock.advance(50);
    expect(left.heard()).toEqual([]);
    expect(toRight.isOver()).toBe(true);
    expect(left.say(right, 3)).toBe('expired');
  });

  it('can be renewed before its end, by which sessions go on', () => {
    const { left, right, clock, toRight } = leased();
    expect(left.addPeer(right, { expiresAt: clock.now() + 20_000 })).toBe(toRight);
    clock.advance(10_000);
    right.say(left, 2);
    clock.advance(20);
    expect(left.heard()).toEqual([2]);
    expect(left.counters.handshakes).toBe(1);
    clock.advance(10_000);
    expect(toRight.isOver()).toBe(true);
  });

  it('once over is not revived: the same key is a new peer, and needs a new handshake', () => {
    const { left, right, clock, toRight } = leased();
    clock.advance(5_000);
    const again = left.addPeer(right, { expiresAt: clock.now() + 60_000 });
    expect(again).not.toBe(toRight);
    expect(toRight.isOver()).toBe(true);
    expect(left.device.peerByKey(right.device.publicKey)).toBe(again);
    right.say(left, 2);
    clock.advance(20);
    expect(left.heard()).toEqual([]);
    right.device.initiate(right.device.peers()[0]!);
    clock.advance(5_400);
    right.say(left, 3);
    clock.advance(20_000);
    right.say(left, 4);
    clock.advance(50);
    expect(left.heard()).toContain(4);
  });

  it('that is over when it is added never lets anything in', () => {
    const { left, right, clock } = pair();
    left.addPeer(right, { expiresAt: clock.now() });
    right.say(left, 1);
    clock.advance(30);
    expect(left.heard()).toEqual([]);
    expect(left.counters.responsesSent).toBe(0);
  });

  it('leaves no timer behind when it is over', () => {
    const { left, clock, right } = leased();
    clock.advance(5_000);
    right.device.close();
    expect(left.device.nextTimerAt()).toBe(Infinity);
  });
});

describe('a removed peer', () => {
  it('is gone when the call returns: keys, indexes, queue, timers, allowed IPs', () => {
    const { left, right, clock, toRight, wire } = pair({ left: { persistentKeepaliveSeconds: 5 } });
    left.say(right, 1);
    clock.advance(30);
    right.heard();
    wire.impair({ loss: 1 });
    const sessions = [toRight.sessions.current];
    left.device.initiate(toRight);
    expect(left.device.removePeer(right.device.publicKey)).toBe(true);
    expect(left.device.removePeer(right.device.publicKey)).toBe(false);
    expect(sessions.map((session) => session?.wiped)).toEqual([true]);
    expect(toRight.remote.staticStatic.every((byte) => byte === 0)).toBe(true);
    expect(left.say(right, 2)).toBe('no_route');
    expect(left.device.nextTimerAt()).toBe(Infinity);
    expect(left.device.peers()).toEqual([]);
    expect(left.events.at(-1)).toEqual({ kind: 'removed', peer: toRight });
    wire.impair({ loss: 0 });
    right.say(left, 3);
    clock.advance(50);
    expect(left.heard()).toEqual([]);
    expect(left.drops.unknown_index).toBe(1);
    clock.advance(6_000);
    right.device.initiate(right.device.peers()[0]!);
    clock.advance(50);
    expect(left.drops.unknown_peer).toBeGreaterThanOrEqual(1);
  });

  it('drops what waited for it', () => {
    const { left, right, clock, wire } = pair();
    wire.impair({ loss: 1 });
    left.say(right, 1);
    left.device.removePeer(right.device.publicKey);
    expect(left.drops).toEqual({ peer_removed: 1 });
    clock.advance(100_000);
    expect(left.counters.initiationsSent).toBe(1);
  });

  it('may be removed from within every callback', () => {
    for (const kind of ['handshake', 'expired', 'removed', 'roamed', 'packet'] as const) {
      const { left, right, clock } = pair({ seed: kind });
      const gone = () => left.device.removePeer(right.device.publicKey);
      left.addPeer(right, { expiresAt: clock.now() + 5_000 });
      const { push } = left.events;
      left.events.push = (event) => {
        if (event.kind === kind) gone();
        return push.call(left.events, event);
      };
      left.received.push = (packet) => {
        if (kind === 'packet') gone();
        left.received[left.received.length] = packet;
        return left.received.length;
      };
      left.say(right, 1);
      right.say(left, 2);
      clock.advance(100);
      right.socket.moveTo('192.0.2.77', 7);
      right.say(left, 3);
      clock.advance(10_000);
      if (kind === 'removed') gone();
      expect(left.device.peers(), kind).toEqual([]);
      expect(left.device.nextTimerAt(), kind).toBe(Infinity);
    }
  });
});

describe('a closed device', () => {
  it('lets nothing in or out', () => {
    const { left, right, clock } = leased();
    left.device.close();
    right.say(left, 2);
    clock.advance(60_000);
    expect(left.heard()).toEqual([]);
    expect(left.say(right, 3)).toBe('no_route');
    expect(left.device.nextTimerAt()).toBe(Infinity);
    expect(() => left.addPeer(right)).toThrow(expect.objectContaining({ reason: 'wireguard_closed' }));
  });
});
