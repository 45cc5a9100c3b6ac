import type { Clock } from '@coral/model';
import type { Alarm } from '../retry.js';

interface Bell {
  at: number;
  ring: () => void;
}

/** A clock and the alarms set on it; time passes only in {@link FakeTime.advance}. */
export class FakeTime implements Clock {
  /** Milliseconds of every alarm that was set, in order. */
  readonly set: number[] = [];
  private time = 0;
  private readonly bells = new Set<Bell>();

  now(): number {
    return this.time;
  }

  monotonic(): number {
    return this.time;
  }

  readonly alarm: Alarm = (ms, ring) => {
    const bell = { at: this.time + ms, ring };
    this.set.push(ms);
    this.bells.add(bell);
    return () => this.bells.delete(bell);
  };

  /** How many would still ring. */
  get pending(): number {
    return this.bells.size;
  }

  /** The clock alone goes on, as over a laptop's sleep: what is due rings in the next {@link FakeTime.advance}. */
  skip(ms: number): void {
    this.time += ms;
  }

  /** Rings what is due on the way, earliest first, letting the woken work run between. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      await settle();
      const due = [...this.bells].filter((bell) => bell.at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.time = Math.max(this.time, due.at);
      this.bells.delete(due);
      due.ring();
    }
    this.time = Math.max(this.time, end);
    await settle();
  }
}

/** Until no promise that is already settled has work left. */
async function settle(): Promise<void> {
  await new Promise<void>((done) => setImmediate(done));
}
