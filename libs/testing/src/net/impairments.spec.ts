import { describe, expect, it } from 'vitest';
import { ImpairedPath, noImpairments, type Impairments } from './impairments.js';
import { SeededRandom } from './seeded-random.js';

const datagram = (id: number, size = 100): Buffer => {
  const bytes = Buffer.alloc(size);
  bytes.writeUInt32BE(id);
  return bytes;
};

/** Sends `count` datagrams, one each `everyMs`, and gives back ids in the order of arrival. */
function carry(change: Partial<Impairments>, count = 10_000, everyMs = 1, seed = 'path') {
  const path = new ImpairedPath(new SeededRandom(seed), change);
  const arrived = Array.from({ length: count }, (_, i) => path.pass(datagram(i), i * everyMs)).flat();
  const order = arrived.map((passage, i) => ({ ...passage, i })).toSorted((a, b) => a.at - b.at || a.i - b.i);
  return { path, arrived, ids: order.map((passage) => passage.datagram.readUInt32BE()) };
}

const inversions = (ids: number[]): number => ids.filter((id, i) => i > 0 && id < ids[i - 1]!).length;

describe('an impaired path', () => {
  it('carries everything at once and in order when nothing is set', () => {
    const { path, arrived, ids } = carry({});
    expect(arrived.every((passage, i) => passage.at === i)).toBe(true);
    expect(inversions(ids)).toBe(0);
    expect(path.counters).toMatchObject({ offered: 10_000, delivered: 10_000, lost: 0, reordered: 0 });
  });

  it.each([
    ['loss', { loss: 0.01 }, 'lost', 100],
    ['duplicates', { duplicate: 0.02 }, 'duplicated', 200],
    ['reorders', { reorder: 0.05 }, 'reordered', 500],
    ['corrupts', { corrupt: 0.03 }, 'corrupted', 300],
  ] as const)('%s as often as it is told to', (_, change, counter, expected) => {
    const { path } = carry(change);
    expect(Math.abs(path.counters[counter] - expected)).toBeLessThan(expected * 0.3);
  });

  it('repeats itself for one seed and not for another', () => {
    const change = { loss: 0.1, duplicate: 0.1, reorder: 0.1, jitterMs: 3 };
    expect(carry(change).arrived).toEqual(carry(change).arrived);
    expect(carry(change).ids).not.toEqual(carry(change, 10_000, 1, 'other').ids);
  });

  it('swallows all at loss 1', () => {
    expect(carry({ loss: 1 }).arrived).toEqual([]);
  });

  it('keeps the order under jitter, and breaks it only where reorder says', () => {
    const jittered = carry({ delayMs: 20, jitterMs: 30 });
    expect(inversions(jittered.ids)).toBe(0);
    expect(jittered.arrived.every((passage, i) => passage.at >= i + 20 && passage.at <= i + 50)).toBe(true);
    const reordered = carry({ reorder: 0.05 });
    expect(inversions(reordered.ids)).toBeGreaterThan(250);
    expect(reordered.ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
  });

  it('sends at its rate, queues what waits and drops what does not fit', () => {
    // 100 bytes in 1 ms is 800 kbit/s: at half of it, every datagram takes 2 ms.
    const path = new ImpairedPath(new SeededRandom(1), { rate: 400_000, queueBytes: 1_000 });
    const passages = Array.from({ length: 20 }, (_, i) => path.pass(datagram(i), 0)).flat();
    expect(passages.map((passage) => passage.at)).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
    expect(path.counters.queueFull).toBe(10);
    expect(path.pass(datagram(20), 4).map((passage) => passage.at)).toEqual([22]);
  });

  it('drops what is larger than its MTU and carries what is as large', () => {
    const path = new ImpairedPath(new SeededRandom(1), { mtu: 1_280 });
    expect(path.pass(datagram(1, 1_280), 0)).toHaveLength(1);
    expect(path.pass(datagram(2, 1_281), 0)).toHaveLength(0);
    expect(path.counters.tooLarge).toBe(1);
  });

  it('flips one bit of a copy: the sender’s bytes stay as they were', () => {
    const sent = datagram(5);
    const path = new ImpairedPath(new SeededRandom(1), { corrupt: 1 });
    const [passage] = path.pass(sent, 0);
    const different = [...passage!.datagram].reduce(
      (sum, byte, i) => sum + (byte ^ sent[i]!).toString(2).replaceAll('0', '').length,
      0,
    );
    expect(different).toBe(1);
    expect(sent).toEqual(datagram(5));
  });

  it('can be changed while it runs', () => {
    const path = new ImpairedPath(new SeededRandom(1));
    expect(path.pass(datagram(1), 0)).toHaveLength(1);
    path.impair({ loss: 1 });
    expect(path.pass(datagram(2), 1)).toHaveLength(0);
    path.impair(noImpairments);
    expect(path.pass(datagram(3), 2)).toHaveLength(1);
  });
});
