import { readdir, readFile } from 'node:fs/promises';

/**
 * CPU time a process has used so far in all its threads, µs. Read from schedstat (nanoseconds): the ticks of
 * /proc/<pid>/stat are 10 ms, longer than twenty calls. Threads that ended are not in it; servers keep theirs.
 */
export async function cpuMicros(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const used = await Promise.all(threads.map((thread) => nanosOf(pid, thread)));
  return used.reduce((sum, nanos) => sum + nanos, 0) / 1_000;
}

async function nanosOf(pid: number, thread: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'utf8');
  return Number(text.split(' ')[0]);
}
