import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder: the nearest one above this program that holds package-lock.json. */
export const projectRoot = ((): string => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package-lock.json'))) folder = dirname(folder);
  return folder;
})();

export interface Running<Ready> {
  name: string;
  child: ChildProcess;
  ready: Ready;
  /** The last lines on standard error, for when something goes wrong. */
  log(): string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface Program {
  name: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  /** How long it may take until its ready line. */
  startMs?: number;
}

/** What every child gets of our environment: enough to find programs, and none of the caller's settings. */
const plainEnvironment = (): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  HOME: process.env['HOME'],
  LANG: process.env['LANG'],
  TMPDIR: process.env['TMPDIR'],
});

/** Starts a Node program and waits for the one line of JSON with `"event":"ready"` on its standard output. */
export async function start<Ready>(program: Program): Promise<Running<Ready>> {
  const child = spawn(process.execPath, program.args, {
    cwd: projectRoot,
    env: { ...plainEnvironment(), ...program.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-20_000)));
  const ready = await new Promise<Ready>((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${program.name} was not ready after ${program.startMs ?? 60_000} ms\n${log}`));
    }, program.startMs ?? 60_000);
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(new Error(`${program.name} ended (${signal ?? code}) before it was ready\n${log}`)),
    );
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!line.includes('"ready"')) return;
      clearTimeout(late);
      resolve(JSON.parse(line) as Ready);
    });
  });
  return {
    name: program.name,
    child,
    ready,
    log: () => log,
    stop: (signal = 'SIGTERM') => stopChild(child, signal),
  };
}

async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  const impatient = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await gone;
  clearTimeout(impatient);
}

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the built CLI to its end. */
export function coral(args: string[], env: NodeJS.ProcessEnv, onStdout?: (text: string) => void): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(projectRoot, 'bin', 'coral'), args, {
      env: { ...plainEnvironment(), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const finished: Finished = { code: null, stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      finished.stdout += chunk.toString();
      onStdout?.(chunk.toString());
    });
    child.stderr.on('data', (chunk: Buffer) => (finished.stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ ...finished, code }));
  });
}
