import { describe, expect, it } from 'vitest';
import { SeededRandom } from '@coral/testing';
import { pair, type End } from '../spec-support/ends.js';

/** More by hand: `WIREGUARD_SEEDS=2000`. */
const seeds = Number(process.env['WIREGUARD_SEEDS'] ?? 3);
const actions = 300;

/** Everything that may happen to two ends, in any order; what holds whatever happens. */
function live(seed: number): void {
  const random = new SeededRandom(`life ${seed}`);
  const limits = random.chance(0.3) ? { rekeyAfterMessages: 40, rejectAfterMessages: 60 } : {};
  const p = pair({ seed: `life ${seed}`, impairments: { delayMs: random.below(80) }, limits });
  const { clock, wire } = p;
  const ends = [p.left, p.right] as const;
  const seen = ends.map(() => new Set<number>());
  let number = 0;
  let port = 1_000;
  const hear = () => {
    ends.forEach((end, i) => {
      for (const heard of end.heard()) {
        expect(seen[i]?.has(heard), `seed ${seed}: ${heard} came twice`).toBe(false);
        seen[i]?.add(heard);
      }
      // Three sessions and an attempt is all there is.
      expect(end.counters.indexes, `seed ${seed}`).toBeLessThanOrEqual(4);
    });
  };
  for (let i = 0; i < actions; i++) {
    const end = random.pick(ends);
    const other = end === p.left ? p.right : p.left;
    const peer = end.device.peers()[0]!;
    const roll = random.below(100);
    if (roll < 70) for (let n = random.between(1, 5); n > 0; n--) end.say(other, number++, random.between(28, 1_400));
    else if (roll < 75) end.device.initiate(peer);
    else if (roll < 78) end.socket.moveTo(`192.0.3.${random.below(200)}`, port++);
    else if (roll < 80) {
      end.device.removePeer(other.device.publicKey);
      end.addPeer(other);
    } else if (roll < 82) clock.stepWall(random.between(-3_600_000, 3_600_000));
    else if (roll < 85) end.addPeer(other, { persistentKeepaliveSeconds: random.pick([0, 1, 25]) });
    else if (roll < 95) {
      wire.impair({
        loss: random.pick([0, 0, 0.05, 0.5, 1]),
        duplicate: random.pick([0, 0.3]),
        reorder: random.pick([0, 0.3]),
        reorderByMs: 300,
        corrupt: random.pick([0, 0, 0.1]),
      });
    }
    clock.advance(random.pick([0, 1, 20, 500, 5_000, 5_000, 60_000]));
    hear();
  }
  // The network is well again: within a round of attempts each hears the other.
  wire.impair({ loss: 0, duplicate: 0, reorder: 0, corrupt: 0 });
  const before = seen.map((set) => set.size);
  const heardBoth = () => seen.every((set, i) => set.size > (before[i] ?? 0));
  for (let second = 0; second < 60 && !heardBoth(); second++) {
    for (const [end, other] of [ends, ends.toReversed()] as [End, End][]) {
      end.device.setEndpoint(end.device.peers()[0]!, other.place);
      end.say(other, number++);
    }
    clock.advance(1_000);
    hear();
  }
  expect(heardBoth(), `seed ${seed}`).toBe(true);
  for (const end of ends) {
    end.device.close();
    expect(end.device.nextTimerAt()).toBe(Infinity);
    expect(end.counters.indexes).toBe(0);
  }
}

describe('two ends, whatever happens to them', () => {
  it(
    'never hear a packet twice, keep no session too many, and find each other again',
    { timeout: 30_000 + seeds * 2_000 },
    () => {
      for (let seed = 1; seed <= seeds; seed++) live(seed);
    },
  );
});
