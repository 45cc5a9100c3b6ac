import type { Clock } from '@coral/model';
import { TimeQueue } from './time-queue.js';

/** What a core in test looks like to the clock. A `WireGuardDevice` and an `IpStack` fit as they are. */
export interface TimedPart {
  /** Monotonic milliseconds; `Infinity` when there is nothing to wait for. */
  nextTimerAt(): number;
  onTimer(): void;
  /** Called for every part when all that was due at one instant has been done. */
  endOfTurn?(): void;
  /** Handshakes that waited for the data to go first: served once in a turn. */
  readonly backlog?: number;
  runBacklog?(max: number): void;
}

export interface VirtualClockOptions {
  /** Wall clock at the start, milliseconds since the Unix epoch. */
  wall?: number;
  /** Monotonic milliseconds at the start: not 0, so that a zero meaning "never" shows. */
  monotonic?: number;
}

/** How often one instant may be gone through before it counts as a loop that never ends. */
export const maxTurnsPerInstant = 10_000;

/**
 * Time that passes only when a test says so. Tasks and the timers of attached parts run in the order of their time, each at
 * exactly its time; hours of waiting take milliseconds, and the same seed gives the same run.
 */
export class VirtualClock implements Clock {
  #wall: number;
  #monotonic: number;
  readonly #tasks = new TimeQueue<() => void>();
  readonly #parts = new Set<TimedPart>();

  constructor(options: VirtualClockOptions = {}) {
    this.#wall = options.wall ?? Date.UTC(2030, 0, 1);
    this.#monotonic = options.monotonic ?? 1_000_000;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** The wall clock is set; monotonic time does not notice. */
  stepWall(milliseconds: number): void {
    this.#wall += milliseconds;
  }

  /** From now on the part's timers fire; the returned function takes it away again. */
  attach(part: TimedPart): () => void {
    this.#parts.add(part);
    return () => {
      this.#parts.delete(part);
    };
  }

  /** Runs `run` in so many milliseconds, even 0 of them: never before the caller returns. */
  after(milliseconds: number, run: () => void): void {
    this.#tasks.push(this.#monotonic + Math.max(0, milliseconds), run);
  }

  /** Goes on for so many milliseconds, whether something happens in them or not. */
  advance(milliseconds: number): void {
    const end = this.#monotonic + milliseconds;
    this.#runUntil(end, () => false);
    this.#moveTo(end);
  }

  /**
   * Goes on until `done` holds, looking after every instant at which something happened.
   * Returns the milliseconds it took. Throws when `limitMs` pass first, or when nothing is left to wait for.
   */
  runUntil(done: () => boolean, limitMs: number): number {
    const start = this.#monotonic;
    this.#runUntil(start + limitMs, done);
    if (done()) return this.#monotonic - start;
    const idle = this.nextAt() === Infinity;
    throw new Error(
      `what the test waits for did not come within ${limitMs} ms of virtual time${idle ? '; nothing is left to wait for' : ''}`,
    );
  }

  /** Goes on until no task and no timer is left, or for `limitMs`. Returns the milliseconds that passed. */
  runUntilIdle(limitMs: number): number {
    const start = this.#monotonic;
    this.#runUntil(start + limitMs, () => false);
    return this.#monotonic - start;
  }

  /** When something happens next, monotonic; `Infinity` when nothing will. */
  nextAt(): number {
    let next = this.#tasks.nextAt;
    for (const part of this.#parts) next = Math.min(next, part.nextTimerAt());
    return next;
  }

  #runUntil(end: number, done: () => boolean): void {
    this.#finishTurn();
    let turns = 0;
    for (let next = this.nextAt(); next <= end && !done(); next = this.nextAt()) {
      if (next > this.#monotonic) turns = 0;
      else if ((turns += 1) > maxTurnsPerInstant)
        throw new Error(
          `time stands still: ${maxTurnsPerInstant} turns at one instant; a timer stays due after it fired`,
        );
      this.#moveTo(next);
      this.#turn();
    }
  }

  #moveTo(at: number): void {
    const passed = at - this.#monotonic;
    if (passed <= 0) return;
    this.#monotonic = at;
    this.#wall += passed;
  }

  #turn(): void {
    // Only what was there when the turn began: what it adds at the same instant is the next turn's.
    const before = this.#tasks.order;
    for (
      let due = this.#tasks.takeDue(this.#monotonic, before);
      due;
      due = this.#tasks.takeDue(this.#monotonic, before)
    )
      due.item();
    for (const part of this.#parts) if (part.nextTimerAt() <= this.#monotonic) part.onTimer();
    this.#finishTurn();
  }

  #finishTurn(): void {
    for (const part of this.#parts) {
      if (part.backlog) part.runBacklog?.(part.backlog);
      part.endOfTurn?.();
    }
  }
}
