import { describe, expect, it } from 'vitest';
import type { SeenDatagram } from '@coral/testing';
import { pair, type PairOptions } from '../spec-support/ends.js';

/** Both say something every `everyMs` for so long; gives what was lost on either side. */
function converse(o: PairOptions & { forMs: number; everyMs: number; prepare?: (p: ReturnType<typeof pair>) => void }) {
  const made = pair(o);
  const { left, right, clock, wire } = made;
  const initiations: { at: number; by: string }[] = [];
  const start = clock.monotonic();
  wire.tap((seen: SeenDatagram) => {
    if (seen.datagram[0] === 1) initiations.push({ at: seen.at - start, by: seen.from.address });
  });
  o.prepare?.(made);
  const said = Math.floor(o.forMs / o.everyMs);
  for (let i = 0; i < said; i++) {
    left.say(right, i);
    right.say(left, i);
    clock.advance(o.everyMs);
  }
  clock.advance(1_000);
  const lost = (heard: number[]) => said - new Set(heard).size;
  return { ...made, initiations, lost: [lost(left.heard()), lost(right.heard())], said };
}

describe('rekeying', () => {
  it('is done by the initiator every 120 s, and loses nothing in 10 minutes', () => {
    const { initiations, lost, left, right } = converse({
      forMs: 600_000,
      everyMs: 250,
      prepare: (p) => {
        p.left.say(p.right, 0);
        p.clock.advance(100);
        p.right.heard();
      },
    });
    expect(lost).toEqual([0, 0]);
    expect(initiations.map((one) => one.by)).toEqual(Array.from({ length: 5 }, () => '192.0.2.1'));
    const gaps = initiations.slice(1).map((one, i) => one.at - (initiations[i]?.at ?? 0));
    for (const gap of gaps) expect(Math.abs(gap - 120_150)).toBeLessThanOrEqual(150);
    expect(left.drops).toEqual({});
    expect(right.drops).toEqual({});
  });

  it('is done on receive at 165 s by an initiator that only listens, and the listener says every 10 s that it lives', () => {
    const { left, right, clock, wire } = pair();
    const seen: { at: number; type: number | undefined; by: string }[] = [];
    const start = clock.monotonic();
    wire.tap((one) => seen.push({ at: one.at - start, type: one.datagram[0], by: one.from.address }));
    left.device.initiate(left.device.peers()[0]!);
    for (let i = 0; i < 179; i++) {
      clock.advance(1_000);
      right.say(left, i);
    }
    clock.advance(500);
    expect(left.heard()).toHaveLength(179);
    const byLeft = seen.filter((one) => one.by === '192.0.2.1');
    const initiations = byLeft.filter((one) => one.type === 1).map((one) => one.at);
    expect(initiations).toHaveLength(2);
    // Its keepalives count as sending: 120 s is over when one goes out.
    expect(initiations[1]).toBeGreaterThanOrEqual(120_000);
    expect(initiations[1]).toBeLessThan(131_000);
    const keepalives = byLeft.filter((one) => one.type === 4 && one.at > 20 && one.at < 119_000).map((one) => one.at);
    const gaps = keepalives.slice(1).map((at, i) => at - (keepalives[i] ?? 0));
    expect(gaps.every((gap) => gap >= 10_000 && gap <= 11_000)).toBe(true);
  });

  it('is asked for at 165 s by what is received when the initiator has not sent since 120 s', () => {
    // A keepalive timeout so long that nothing goes out on its own.
    const { left, right, clock, wire } = pair({ limits: { keepaliveMs: 10_000 } });
    const initiations: number[] = [];
    left.device.initiate(left.device.peers()[0]!);
    clock.advance(30);
    wire.tap((one) => one.datagram[0] === 1 && one.from.address === '192.0.2.1' && initiations.push(one.at));
    const start = clock.monotonic();
    clock.advance(164_900);
    right.say(left, 1);
    clock.advance(20);
    expect(initiations).toEqual([]);
    clock.advance(200);
    right.say(left, 2);
    right.say(left, 3);
    clock.advance(30);
    expect(initiations).toHaveLength(1);
    expect((initiations[0] ?? 0) - start).toBeGreaterThanOrEqual(165_000 - 30);
    expect(left.heard()).toEqual([1, 2, 3]);
  });

  it('comes after so many messages too, whoever sends them; none is lost and no session sends more than it may', () => {
    const limits = { rekeyAfterMessages: 50, rejectAfterMessages: 10_000 };
    const { lost, initiations, said } = converse({ forMs: 400_000, everyMs: 500, limits });
    expect(lost).toEqual([0, 0]);
    // No faster than REKEY_TIMEOUT allows.
    expect(initiations.length).toBeGreaterThanOrEqual(Math.floor(said / 60));
  });

  it('stops at the message limit, waits for the new session and goes on', () => {
    const limits = { rekeyAfterMessages: 20, rejectAfterMessages: 20 };
    const { left, right, clock } = pair({ limits });
    for (let i = 0; i < 100; i++) left.say(right, i);
    expect(left.say(right, 100)).toBe('queued');
    clock.advance(60_000);
    expect(new Set(right.heard())).toEqual(new Set(Array.from({ length: 101 }, (_, i) => i)));
    expect(right.drops).toEqual({});
  });

  it.each([0, 3, 9, 10, 11, 15, 20, 25])('converges when both ask at once, %i ms apart', (apart) => {
    for (const [first, then] of [
      ['left', 'right'],
      ['right', 'left'],
    ] as const) {
      const p = pair({ seed: `${first} ${apart}` });
      const { clock, left, right } = p;
      p[first].say(p[then], 1);
      clock.advance(apart);
      p[then].say(p[first], 2);
      clock.advance(100);
      expect(p[then].heard()).toEqual([1]);
      expect(p[first].heard()).toEqual([2]);
      // From here on they talk: one of them is the initiator, one of them is not.
      for (let i = 0; i < 10; i++) {
        left.say(right, 10 + i);
        right.say(left, 10 + i);
        clock.advance(30);
      }
      expect(left.heard()).toHaveLength(10);
      expect(right.heard()).toHaveLength(10);
      const current = [p.toRight.sessions.current, p.toLeft.sessions.current];
      expect(current[0]?.localIndex).toBe(current[1]?.remoteIndex);
      expect(current[1]?.localIndex).toBe(current[0]?.remoteIndex);
      expect([current[0]?.initiator, current[1]?.initiator].filter(Boolean)).toHaveLength(1);
    }
  });

  it('loses nothing when both ask at once in the middle of traffic', () => {
    for (let seed = 0; seed < 12; seed++) {
      const { left, right, clock, toRight, toLeft } = pair({ seed, impairments: { jitterMs: 5 } });
      left.say(right, 0);
      clock.advance(6_000);
      for (let i = 1; i <= 60; i++) {
        left.say(right, i);
        right.say(left, i);
        if (i === 30) left.device.initiate(toRight);
        if (i === 30 + (seed % 4)) right.device.initiate(toLeft);
        clock.advance(2);
      }
      clock.advance(100);
      expect(right.heard()).toEqual(Array.from({ length: 61 }, (_, i) => i));
      expect(left.heard()).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
      expect(left.counters.handshakes).toBeGreaterThanOrEqual(2);
    }
  });

  it('goes through a bad network: everything that is not lost by the network arrives, once, for 10 minutes', () => {
    for (const seed of [1, 2, 3]) {
      const { left, right, wire, said } = converse({
        seed,
        impairments: { loss: 0.1, duplicate: 0.1, reorder: 0.1, reorderByMs: 200, jitterMs: 20 },
        forMs: 600_000,
        everyMs: 250,
      });
      for (const [from, to] of [
        [left, right],
        [right, left],
      ] as const) {
        const path = wire.counters(from.socket, to.socket);
        const { drops } = to;
        expect(drops.replayed).toBeGreaterThan(50);
        // What the network did not lose was opened: a session that ended too early would show as one of these.
        expect(drops.session_over ?? 0).toBe(0);
        expect(drops.bad_packet ?? 0).toBe(0);
        expect(to.counters.rxPackets / said).toBeGreaterThan(0.85);
        expect(to.counters.rxPackets + (drops.replayed ?? 0)).toBeLessThanOrEqual(path.delivered);
      }
    }
  });
});

describe('old keys', () => {
  it('are refused from 180 s on and gone by then; with no traffic nothing is left to wait for', () => {
    const { left, right, clock, wire, toRight, toLeft } = pair();
    const recorded: Buffer[] = [];
    left.say(right, 1);
    clock.advance(30);
    const start = clock.monotonic();
    wire.tap((seen) => recorded.push(seen.datagram));
    wire.impair({ loss: 1 });
    left.device.sendPacket(Buffer.from(right.received[0] as Buffer));
    right.heard();
    const late = recorded[0] as Buffer;
    clock.advance(179_000 - 30);
    wire.inject(late, left.place, right.place);
    clock.advance(0);
    clock.advance(1);
    expect(right.heard()).toEqual([1]);
    expect(toRight.sessions.current?.wiped).toBe(false);
    const session = toLeft.sessions.current;
    clock.advance(1_100);
    expect(clock.monotonic() - start).toBeGreaterThan(180_000);
    expect(session?.wiped).toBe(true);
    expect(toLeft.sessions.current).toBeUndefined();
    wire.inject(late, left.place, right.place);
    clock.advance(1);
    expect(right.drops.unknown_index).toBe(1);
    expect(right.heard()).toEqual([]);
    clock.advance(540_000);
    expect(toRight.sessions).toMatchObject({ previous: undefined, current: undefined, next: undefined });
    expect(clock.nextAt()).toBe(Infinity);
  });

  it('are not used by the sender at 180 s even when no timer ran', () => {
    const { left, right, clock, toRight } = pair();
    left.say(right, 1);
    clock.advance(30);
    // The owner of the device is asleep: nobody calls onTimer.
    const session = toRight.sessions.current!;
    Object.assign(session, { createdAt: clock.monotonic() - 180_000 });
    const before = session.sent;
    expect(left.say(right, 2)).toBe('queued');
    expect(session.sent).toBe(before);
  });
});

describe('the receiver', () => {
  it('refuses a session at 180 s even when no timer ran', () => {
    const { left, right, clock, wire, toLeft } = pair();
    left.say(right, 1);
    clock.advance(30);
    right.heard();
    let datagram: Buffer = Buffer.alloc(0);
    wire.tap((seen) => (datagram = seen.datagram));
    wire.impair({ loss: 1 });
    left.say(right, 2);
    Object.assign(toLeft.sessions.current!, { createdAt: clock.monotonic() - 180_000 });
    right.device.onDatagram(datagram, left.place);
    expect(right.heard()).toEqual([]);
    expect(right.drops).toEqual({ session_over: 1 });
  });
});

describe('keepalives', () => {
  it('persistent ones open the way at once and keep it open', () => {
    const { right, left, clock, wire, toRight } = pair({ right: { persistentKeepaliveSeconds: 25 } });
    const at: number[] = [];
    const start = clock.monotonic();
    wire.tap((seen) => seen.datagram.length === 32 && seen.from.address === '192.0.2.2' && at.push(seen.at - start));
    left.device.setEndpoint(toRight, undefined);
    clock.advance(110_000);
    expect(at).toEqual([20, 25_020, 50_020, 75_020, 100_020]);
    expect(left.say(right, 1)).toBe('sent');
    right.addPeer(left);
    clock.advance(600_000);
    expect(clock.nextAt()).toBe(Infinity);
  });

  it('silence for 15 s after data asks for a new session: the far end may have lost its own', () => {
    const { left, right, clock, wire } = pair();
    left.say(right, 1);
    // The far end has said that it lives.
    clock.advance(12_000);
    wire.impair({ loss: 1 });
    left.say(right, 2);
    clock.advance(14_900);
    expect(left.counters.initiationsSent).toBe(1);
    clock.advance(500);
    expect(left.counters.initiationsSent).toBe(2);
  });
});
