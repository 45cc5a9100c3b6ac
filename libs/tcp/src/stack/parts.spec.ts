import { describe, expect, it } from 'vitest';
import { SeededRandom } from '@coral/testing';
import { HashTable, SecretHash } from './hash-table.js';
import { PortPicker } from './port-picker.js';
import { SourceRate } from './source-rate.js';
import { TimerHeap, type Timed } from './timer-heap.js';

describe('the timer heap', () => {
  const timer = (): Timed => ({ wakeAt: Infinity, heapIndex: -1, heapAt: Infinity });

  it('wakes everyone at the time last asked for, in order, whatever was asked before', () => {
    const random = new SeededRandom('heap');
    const heap = new TimerHeap<Timed>();
    const timers = Array.from({ length: 300 }, timer);
    let now = 0;
    for (let step = 0; step < 20_000; step += 1) {
      const item = random.pick(timers);
      const choice = random.below(10);
      if (choice === 0) heap.delete(item);
      else if (choice === 1) heap.set(item, Infinity);
      else heap.set(item, now + random.below(1000));
      if (!random.chance(0.3)) continue;
      now += random.below(50);
      const due = timers.filter((each) => each.wakeAt <= now).map((each) => each.wakeAt);
      const next = Math.min(...timers.map((each) => each.wakeAt));
      expect(heap.nextAt()).toBe(next);
      const woken: number[] = [];
      for (;;) {
        const at = heap.nextAt();
        if (heap.takeDue(now) === undefined) break;
        woken.push(at);
      }
      expect(woken).toEqual(due.toSorted((a, b) => a - b));
    }
    for (const item of timers) heap.delete(item);
    expect([heap.size, heap.nextAt()]).toEqual([0, Infinity]);
  });
});

describe('the hash table', () => {
  it('finds what is in it and nothing else, while it grows and shrinks', () => {
    const random = new SeededRandom('table');
    const table = new HashTable<{ hash: number; next: undefined; id: number }>();
    const inside = new Set<{ hash: number; next: undefined; id: number }>();
    for (let step = 0; step < 30_000; step += 1) {
      const growing = step < 15_000;
      if (random.chance(growing ? 0.8 : 0.2)) {
        const entry = { hash: random.below(4000) | 0, next: undefined, id: step };
        table.add(entry);
        inside.add(entry);
      } else {
        const [entry] = inside;
        if (entry === undefined) continue;
        inside.delete(entry);
        expect(table.delete(entry)).toBe(true);
        expect(table.delete(entry)).toBe(false);
      }
    }
    expect(table.size).toBe(inside.size);
    expect(new Set(table.entries())).toEqual(inside);
    for (const entry of inside) {
      let found: typeof entry | undefined = table.chain(entry.hash);
      while (found !== undefined && found !== entry) found = found.next;
      expect(found).toBe(entry);
    }
  });

  it('spreads the flows of one peer, and differently for each stack', () => {
    const buckets = (seed: string) => {
      const hash = new SecretHash(new SeededRandom(seed).bytes);
      return Array.from(
        { length: 4096 },
        (_, port) => hash.ofFlow(0, 0, 0xffff, 0x0a890002, (port << 16) | 9000, 0) & 1023,
      );
    };
    const counts = new Map<number, number>();
    for (const bucket of buckets('a')) counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
    expect(Math.max(...counts.values())).toBeLessThan(24);
    expect(buckets('a')).not.toEqual(buckets('b'));
  });
});

describe('ephemeral ports', () => {
  it('differ from one to the next, never come twice while taken, and end when all are', () => {
    const picker = new PortPicker(new SeededRandom('ports').bytes, 50_000, 50_099);
    const taken = new Set<number>();
    for (let n = 0; n < 100; n += 1) {
      const port = picker.pick('10.137.0.2|443', (candidate) => !taken.has(candidate));
      expect(port !== undefined && port >= 50_000 && port <= 50_099 && !taken.has(port)).toBe(true);
      taken.add(port ?? 0);
    }
    expect(picker.pick('10.137.0.2|443', (candidate) => !taken.has(candidate))).toBeUndefined();
  });

  it('begin at a place that depends on a secret and on the destination', () => {
    const first = (seed: string, destination: string) =>
      new PortPicker(new SeededRandom(seed).bytes, 49_152, 65_535).pick(destination, () => true);
    expect(new Set([first('a', 'x'), first('a', 'y'), first('b', 'x')]).size).toBe(3);
  });
});

describe('the rate of answers to a source', () => {
  it('is what it says per second, twice that at once, and another source has its own', () => {
    const rate = new SourceRate(10, new SecretHash(new SeededRandom('rate').bytes), 0);
    const granted = (word: number, from: number, to: number, everyMs: number) => {
      let count = 0;
      for (let now = from; now < to; now += everyMs) if (rate.take(0, 0, 0xffff, word, now)) count += 1;
      return count;
    };
    expect(granted(1, 0, 1, 0.001)).toBe(20);
    expect(granted(2, 1, 2, 0.001)).toBe(20);
    expect(granted(1, 1000, 11_000, 1)).toBeGreaterThanOrEqual(100);
    expect(granted(1, 11_000, 12_000, 1)).toBeLessThanOrEqual(11);
  });
});
