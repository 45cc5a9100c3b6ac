import { setTimeout as pause } from 'node:timers/promises';

/** Waits for something that another process will make true. What it waits for decides the test, not how long it took. */
export async function until(
  isTrue: () => Promise<boolean> | boolean,
  what = 'the condition',
  limitMs = 60_000,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`${what} did not come true within ${limitMs} ms`);
    await pause(100);
  }
}
