import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeInterop } from './support/requirements.js';
import { Foreign, foreignInner, type Joined, type PingResult } from './support/tunnel.js';

/** Past REJECT_AFTER_TIME (180 s): a session that was not renewed would be dead before the end. */
const seconds = 200;
/** REKEY_AFTER_TIME, and as much again as the next ping and a busy machine may take to notice. */
const renewal = { from: 119_000, to: 126_000 };

/**
 * In real time, because that is what the other end counts in. Both ways at once, over one wireguard-go: it takes 200 s,
 * and nearly all of that is waiting.
 */
describeInterop('200 s of one ping a second against wireguard-go', () => {
  let foreign: Foreign;
  let weStart: Joined;
  let theyStart: Joined;
  let answeredUs = 0;
  let theirPings: PingResult;

  beforeAll(
    async () => {
      foreign = await Foreign.start();
      [weStart, theyStart] = await Promise.all([
        foreign.join({ speaksFirst: 'ours' }),
        foreign.join({ speaksFirst: 'foreign' }),
      ]);
      [answeredUs, theirPings] = await Promise.all([
        pingEverySecond(weStart),
        foreign.ping(theyStart.inner.v4, seconds, { intervalSeconds: 1 }),
      ]);
    },
    (seconds + 60) * 1000,
  );

  afterAll(async () => {
    weStart?.ours.close();
    theyStart?.ours.close();
    await foreign?.stop();
  });

  async function pingEverySecond({ ours, inner }: Joined): Promise<number> {
    const start = performance.now();
    const pings = Array.from({ length: seconds }, async (_, second) => {
      await pause(Math.max(0, start + second * 1000 - performance.now()));
      return ours.ping(inner.v4, foreignInner.v4, 5_000);
    });
    return (await Promise.all(pings)).filter((isAnswered) => isAnswered).length;
  }

  describe('as initiator', () => {
    it('loses no reply', () => {
      expect(answeredUs).toBe(seconds);
      expect(weStart.ours.device.counters().drops.session_over).toBe(0);
    });

    it('asks for a new session once, after 120 s, at the first try', () => {
      expect(weStart.ours.handshakes()).toMatchObject([{ initiator: true }, { initiator: true }]);
      const [first, second] = weStart.ours.messages('out', 'initiation').map(({ at }) => at);
      expect(weStart.ours.messages('out', 'initiation')).toHaveLength(2);
      expect(weStart.ours.messages('in', 'initiation')).toHaveLength(0);
      expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(renewal.from);
      expect((second ?? 0) - (first ?? 0)).toBeLessThan(renewal.to);
    });
  });

  describe('as responder', () => {
    it('loses no reply', () => {
      expect(theirPings).toEqual({ sent: seconds, answered: seconds });
      expect(theyStart.ours.device.counters().drops.session_over).toBe(0);
    });

    it('leaves the new session to the initiator, who asks once, after 120 s, and answers at the first try', () => {
      expect(theyStart.ours.handshakes()).toMatchObject([{ initiator: false }, { initiator: false }]);
      const [first, second] = theyStart.ours.messages('in', 'initiation').map(({ at }) => at);
      expect(theyStart.ours.messages('in', 'initiation')).toHaveLength(2);
      expect(theyStart.ours.messages('out', 'initiation')).toHaveLength(0);
      expect(theyStart.ours.messages('out', 'response')).toHaveLength(2);
      expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(renewal.from);
      expect((second ?? 0) - (first ?? 0)).toBeLessThan(renewal.to);
    });

    it('takes the new session into use: the index changes with it, the old one is not spoken to again', () => {
      for (const { ours } of [weStart, theyStart]) {
        const renewed = ours.handshakes()[1]?.at ?? Infinity;
        const indexes = (from: number, to: number): Set<number> =>
          new Set(
            ours
              .messages('out', 'data')
              .filter(({ at }) => at > from && at < to)
              .map(({ datagram }) => datagram.readUInt32LE(4)),
          );
        expect(indexes(0, renewed - 5_000).size).toBe(1);
        expect(indexes(renewed + 5_000, Infinity).size).toBe(1);
        expect(indexes(renewed + 5_000, Infinity)).not.toEqual(indexes(0, renewed - 5_000));
      }
    });
  });
});
