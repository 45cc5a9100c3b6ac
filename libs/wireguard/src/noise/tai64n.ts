import type { Clock } from '@coral/model';
import { TAI64N_BYTES } from '../constants.js';

/**
 * Timestamps of initiations (TAI64N: cr.yp.to/libtai/tai64.html; whitepaper §5.1). A responder answers only one that is
 * greater than all before from that key, so one device never gives out the same or a smaller one, whatever its clock
 * does.
 */

/** 2^62 is the label's zero; TAI was 10 s ahead of UTC in 1970. Leap seconds since do not matter: only order does. */
const secondsBase = (1n << 62n) + 10n;
/**
 * About 16.8 ms: finer would tell strangers how fast this machine is (whitepaper §5.1 leaves it open; wireguard-go
 * rounds so).
 */
const stepNanoseconds = 1 << 24;
const nanosecondsPerSecond = 1_000_000_000;

export class Tai64n {
  readonly #clock: Clock;
  #seconds = 0;
  #nanoseconds = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** 12 bytes, greater than all before. When the clock went back or stands still, one step after the last. */
  next(): Buffer {
    const now = this.#clock.now();
    const seconds = Math.floor(now / 1000);
    const fine = Math.floor((now - seconds * 1000) * 1_000_000);
    const nanoseconds = fine - (fine % stepNanoseconds);
    if (seconds > this.#seconds || (seconds === this.#seconds && nanoseconds > this.#nanoseconds)) {
      this.#seconds = seconds;
      this.#nanoseconds = nanoseconds;
    } else {
      this.#nanoseconds += stepNanoseconds;
      if (this.#nanoseconds >= nanosecondsPerSecond) {
        this.#nanoseconds = 0;
        this.#seconds += 1;
      }
    }
    const label = Buffer.alloc(TAI64N_BYTES);
    label.writeBigUInt64BE(secondsBase + BigInt(this.#seconds), 0);
    label.writeUInt32BE(this.#nanoseconds, 8);
    return label;
  }
}

/** Whether timestamp `a` is later than `b`: big-endian, so as bytes. */
export function isLater(a: Buffer, b: Buffer): boolean {
  return a.compare(b) > 0;
}
