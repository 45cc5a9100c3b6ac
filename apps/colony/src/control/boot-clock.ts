import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Clock } from '@coral/model';

/** A clock whose monotonic hand goes on across restarts of the process, within one boot of the machine. */
export interface BootClock extends Clock {
  /** Same value, same boot: monotonic readings may be compared. */
  readonly bootId: string;
}

/** Linux's boot id; where there is none, a fresh one per process, so that no stored reading is ever trusted. */
function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return randomUUID();
  }
}

/** CLOCK_MONOTONIC (hrtime) counts from boot and is the same for every process, unlike `performance.now()`. */
export function openBootClock(): BootClock {
  return {
    bootId: readBootId(),
    now: () => Date.now(),
    monotonic: () => Number(process.hrtime.bigint() / 1_000n) / 1_000,
  };
}
