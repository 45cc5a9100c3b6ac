import { describe, expect, it } from 'vitest';
import { SeededRandom } from './seeded-random.js';
import { maxTurnsPerInstant, VirtualClock, type TimedPart } from './virtual-clock.js';

/** Fires every `interval` milliseconds and notes when. */
class Metronome implements TimedPart {
  readonly fired: number[] = [];
  turns = 0;
  #next: number;

  constructor(
    readonly clock: VirtualClock,
    readonly interval: number,
  ) {
    this.#next = clock.monotonic() + interval;
  }

  nextTimerAt(): number {
    return this.#next;
  }

  onTimer(): void {
    this.fired.push(this.clock.monotonic());
    this.#next += this.interval;
  }

  endOfTurn(): void {
    this.turns += 1;
  }
}

describe('a virtual clock', () => {
  it('runs tasks in the order of their time, and of their coming within one instant', () => {
    const clock = new VirtualClock({ monotonic: 0 });
    const random = new SeededRandom('tasks');
    const wanted = Array.from({ length: 500 }, (_, i) => ({ at: random.below(50), i }));
    const ran: { at: number; i: number }[] = [];
    for (const { at, i } of wanted) clock.after(at, () => ran.push({ at: clock.monotonic(), i }));
    clock.runUntilIdle(1_000);
    expect(ran).toEqual(wanted.toSorted((a, b) => a.at - b.at || a.i - b.i));
    expect(clock.monotonic()).toBe(49);
  });

  it('fires timers at exactly their time, and both clocks go on together', () => {
    const clock = new VirtualClock({ monotonic: 10, wall: 1_000 });
    const part = new Metronome(clock, 7);
    clock.attach(part);
    clock.advance(30);
    expect(part.fired).toEqual([17, 24, 31, 38]);
    expect([clock.monotonic(), clock.now()]).toEqual([40, 1_030]);
    clock.stepWall(-3_600_000);
    clock.advance(5);
    expect([clock.monotonic(), clock.now()]).toEqual([45, 1_035 - 3_600_000]);
    expect(part.fired.at(-1)).toBe(45);
  });

  it('ends a turn once for all that was due at one instant', () => {
    const clock = new VirtualClock({ monotonic: 0 });
    const part = new Metronome(clock, 1_000);
    clock.attach(part);
    for (let i = 0; i < 5; i += 1) clock.after(3, () => undefined);
    clock.advance(2);
    const before = part.turns;
    clock.advance(2);
    expect(part.turns - before).toBe(2); // one as the run begins, one for the five
  });

  it('stops where the test says, and says when that does not come', () => {
    const clock = new VirtualClock();
    const part = new Metronome(clock, 10);
    const detach = clock.attach(part);
    expect(clock.runUntil(() => part.fired.length === 3, 1_000)).toBe(30);
    expect(() => clock.runUntil(() => false, 50)).toThrow('did not come within 50 ms');
    detach();
    expect(() => clock.runUntil(() => false, 50)).toThrow('nothing is left to wait for');
    expect(clock.runUntilIdle(1_000)).toBe(0);
  });

  it('does not hang on a timer that stays due', () => {
    const clock = new VirtualClock();
    let calls = 0;
    clock.attach({ nextTimerAt: () => clock.monotonic(), onTimer: () => void (calls += 1) });
    expect(() => clock.advance(1)).toThrow('time stands still');
    expect(calls).toBe(maxTurnsPerInstant);
  });

  it('serves a backlog once a turn', () => {
    const clock = new VirtualClock();
    const part = {
      backlog: 3,
      nextTimerAt: () => Infinity,
      onTimer: () => undefined,
      runBacklog: (max: number) => void (part.backlog -= max),
    };
    clock.attach(part);
    clock.advance(1);
    expect(part.backlog).toBe(0);
  });
});
