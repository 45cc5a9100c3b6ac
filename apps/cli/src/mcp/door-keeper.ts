import { setTimeout as wait } from 'node:timers/promises';
import { CoralError } from '@coral/errors';
import type { Clock } from '@coral/model';
import type { Door } from './mesh-door.js';

/** How long a colony may be away before calls that had reached it are given up on, and how often it is asked, ms. */
export const reopenWindowMs = 15_000;
const reopenPauseMs = 300;

/** A lease is replaced when less than this is left of it, or than a quarter of its life, ms. */
export const renewBeforeMs = 30_000;

export interface DoorKeeperOptions {
  /** Asks for a lease and opens the door behind it. */
  open(signal: AbortSignal): Promise<Door>;
  /** A lease that nobody used for this long is given back, ms. */
  idleMs: number;
  clock: Clock;
  /** For people. */
  say(line: string): void;
}

/** Keeps a lease alive until it is disposed of; twice is once. */
export interface Holding extends Disposable {
  readonly door: Door;
}

export interface HoldOptions {
  signal: AbortSignal;
  /** The colony has had this call before: it may be given time to come back. */
  patient?: boolean;
}

/**
 * One open door at a time, made when it is first wanted and renewed before its lease ends. The one before stays until its calls
 * have ended. When nobody wants a door for a while there is none, and no lease.
 */
export class DoorKeeper {
  readonly #options: DoorKeeperOptions;
  readonly #closing = new AbortController();
  /** Calls under way, by door; every door that is not closed is in here. */
  readonly #calls = new Map<Door, number>();
  readonly #leaving = new Set<Promise<void>>();
  #current: Door | undefined;
  #opening: Promise<Door> | undefined;
  #idle: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: DoorKeeperOptions) {
    this.#options = options;
  }

  /** A door with life in it, for one call; dispose of it when the call has ended. */
  async hold({ signal, patient = false }: HoldOptions): Promise<Holding> {
    for (;;) {
      const door = await unlessAborted(signal, () => this.#liveDoor(patient));
      const calls = this.#calls.get(door);
      // Closed between its opening and now.
      if (calls === undefined) continue;
      clearTimeout(this.#idle);
      this.#calls.set(door, calls + 1);
      let isHeld = true;
      const letGo = () => {
        if (isHeld) this.#letGo(door);
        isHeld = false;
      };
      return { door, [Symbol.dispose]: letGo };
    }
  }

  /** Nothing comes through it any more: it is closed, whoever still waits at it. */
  async lost(door: Door): Promise<void> {
    if (this.#current === door) this.#current = undefined;
    await this.#close(door);
  }

  /** Gives every lease back. */
  close(): Promise<void> {
    return (this.#closed ??= this.#closeAll());
  }

  async #closeAll(): Promise<void> {
    clearTimeout(this.#idle);
    this.#closing.abort();
    await this.#opening?.catch(() => undefined);
    this.#current = undefined;
    for (const door of this.#calls.keys()) void this.#close(door);
    await Promise.all(this.#leaving);
  }

  async #liveDoor(patient: boolean): Promise<Door> {
    const { clock } = this.#options;
    const started = clock.monotonic();
    for (;;) {
      const door = this.#current;
      if (door && !isEnding(door)) return door;
      try {
        return await (this.#opening ??= this.#open());
      } catch (thrown) {
        if (this.#closing.signal.aborted) throw thrown;
        // The one that is ending still serves: a user may hold only so many, and this was one too many.
        if (door && door === this.#current && door.remainingMs() > 0) return door;
        const isAway = thrown instanceof CoralError && thrown.kind === 'unavailable';
        if (!patient || !isAway || clock.monotonic() - started > reopenWindowMs) throw thrown;
        await wait(reopenPauseMs, undefined, { signal: this.#closing.signal });
      }
    }
  }

  async #open(): Promise<Door> {
    try {
      const ending = this.#current;
      // What is over gives its place back first.
      if (ending && ending.remainingMs() <= 0) await this.lost(ending);
      const door = await this.#options.open(this.#closing.signal);
      this.#calls.set(door, 0);
      if (this.#closing.signal.aborted) {
        await this.#close(door);
        this.#closing.signal.throwIfAborted();
      }
      const before = this.#current;
      this.#current = door;
      if (before) this.#retireWhenUnused(before);
      this.#options.say(`${before ? 'renewed: ' : ''}lease ${door.agentId}`);
      this.#watchIdle();
      return door;
    } finally {
      this.#opening = undefined;
    }
  }

  #letGo(door: Door): void {
    const left = this.#calls.get(door);
    // Closed while the call was under way.
    if (left === undefined) return;
    this.#calls.set(door, left - 1);
    if (door === this.#current) this.#watchIdle();
    else this.#retireWhenUnused(door);
  }

  #retireWhenUnused(door: Door): void {
    if (this.#calls.get(door) === 0) void this.#close(door);
  }

  #watchIdle(): void {
    clearTimeout(this.#idle);
    const door = this.#current;
    if (!door || this.#calls.get(door) !== 0) return;
    this.#idle = setTimeout(() => {
      this.#current = undefined;
      this.#options.say(`idle: lease ${door.agentId} given back`);
      this.#retireWhenUnused(door);
    }, this.#options.idleMs);
    this.#idle.unref();
  }

  async #close(door: Door): Promise<void> {
    this.#calls.delete(door);
    const left = door.close();
    this.#leaving.add(left);
    await left;
    this.#leaving.delete(left);
  }
}

function isEnding(door: Door): boolean {
  return door.remainingMs() <= Math.min(renewBeforeMs, door.livesMs / 4);
}

/** The wait goes on for others; only this caller leaves. */
async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const left = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { signal: left.signal, once: true });
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    left.abort();
  }
}
