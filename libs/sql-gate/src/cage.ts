import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CoralError } from '@coral/errors';
import { checkSize } from './gate.js';
import type { CageReply, CageRequest, CageResult } from './protocol.js';

/** Limits of the process that runs a stranger's SQL, besides the ones each question brings. */
export const cageLimits = {
  /** From its deadline to SIGKILL, for statements that do not heed an interrupt. */
  killGraceMs: 500,
  /** Process start and opening the snapshot; not charged to the statement. */
  startMs: 5_000,
  /** Resident memory, watched; the engine's own limit does not cover scalar values. */
  maxResidentBytes: 900_000_000,
  watchEveryMs: 50,
  /** RLIMIT_DATA in KiB. */
  dataKiB: 1_048_576,
  /** RLIMIT_CPU in seconds. */
  cpuSeconds: 30,
} as const;

export interface CagedQuery {
  /** DuckDB file that holds the published tables and nothing else. Opened read-only; its owner deletes it. */
  snapshot: string;
  /** Names that the SQL may read. */
  views: readonly string[];
  sql: string;
  maxRows: number;
  /** Of the rows as JSON. */
  maxBytes: number;
  timeoutMs: number;
  signal?: AbortSignal;
}

/**
 * Runs SQL that a stranger wrote: gate, then a separate process with nothing worth stealing, then a locked engine.
 * Errors: `invalid_argument` sql_refused, sql_invalid; `deadline_exceeded` sql_too_slow; `resource_exhausted`
 * sql_too_large; `unavailable` sql_cage_failed; `cancelled`.
 */
export async function runCaged(query: CagedQuery): Promise<CageResult> {
  checkSize(query.sql);
  query.signal?.throwIfAborted();
  const { signal, ...rest } = query;
  const reply = await inCage({ ...rest, views: [...query.views] }, signal);
  if (reply.ok) return reply.result;
  throw new CoralError(reply.error);
}

/** The child's program: built beside ours. Run from sources, it is the one of the last build. */
function childProgram(): string {
  const places = ['sql-cage.js', '../sql-cage.js', '../../../dist/sql-cage.js'];
  const found = places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find((path) => existsSync(path));
  if (found === undefined) throw cageFailed('its program sql-cage.js is missing: build first');
  return found;
}

function cageFailed(why: string): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'sql_cage_failed',
    message: `The process that runs SQL did not finish: ${why}.`,
    next: 'Try again; if it stays, ask a smaller question.',
  });
}

function startChild(): ChildProcess {
  const limits = `ulimit -c 0; ulimit -f 0; ulimit -t ${cageLimits.cpuSeconds}; ulimit -d ${cageLimits.dataKiB}; ulimit -n 64`;
  return spawn(
    '/bin/sh',
    ['-c', `${limits}; exec "$0" "$@"`, process.execPath, '--max-old-space-size=256', childProgram()],
    { cwd: '/', env: {}, stdio: ['pipe', 'pipe', 'pipe'] },
  );
}

function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4_096;
  } catch {
    return 0; // The process has ended, or this system has no /proc; the other limits hold.
  }
}

function inCage(request: CageRequest, signal: AbortSignal | undefined): Promise<CageReply> {
  return new Promise((resolve, reject) => {
    const child = startChild();
    const output: Buffer[] = [];
    let complaint = '';
    let killedFor: CoralError | undefined;

    const kill = (why: CoralError): void => {
      killedFor ??= why;
      child.kill('SIGKILL');
    };
    const stopAfter = (ms: number): NodeJS.Timeout => setTimeout(() => kill(tooSlow(request.timeoutMs)), ms);
    let deadline = stopAfter(cageLimits.startMs);
    const watch = setInterval(() => {
      if (child.pid !== undefined && residentBytes(child.pid) > cageLimits.maxResidentBytes) kill(tooLarge());
    }, cageLimits.watchEveryMs);
    const onAbort = (): void =>
      kill(new CoralError({ kind: 'cancelled', reason: 'cancelled', message: 'The caller went away.' }));
    signal?.addEventListener('abort', onAbort, { once: true });

    child.stdout?.once('data', () => {
      clearTimeout(deadline);
      deadline = stopAfter(request.timeoutMs + cageLimits.killGraceMs);
    });
    child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2_000)));
    child.on('error', (error) => (killedFor ??= cageFailed(error.message)));
    // EPIPE when the child was killed before it read its request: `close` tells why.
    child.stdin?.on('error', () => child.kill('SIGKILL'));
    child.stdin?.end(JSON.stringify(request));
    child.on('close', (code, how) => {
      clearTimeout(deadline);
      clearInterval(watch);
      signal?.removeEventListener('abort', onAbort);
      if (killedFor) reject(killedFor);
      else if (code === 0) resolve(JSON.parse(Buffer.concat(output).toString()) as CageReply);
      else if (how === 'SIGXCPU' || how === 'SIGKILL') reject(tooSlow(request.timeoutMs));
      else
        reject(/alloc|memory/i.test(complaint) || how === 'SIGABRT' ? tooLarge() : cageFailed(how ?? `exit ${code}`));
    });
  });
}

function tooSlow(timeoutMs: number): CoralError {
  return new CoralError({
    kind: 'deadline_exceeded',
    reason: 'sql_too_slow',
    message: `The SQL was stopped: it ran longer than ${timeoutMs} ms.`,
    next: 'Narrow the time range, or aggregate less.',
  });
}

function tooLarge(): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'sql_too_large',
    message: 'The SQL was stopped: it needs more memory than one question may use.',
    next: 'Filter earlier, or ask for fewer and shorter values.',
  });
}
