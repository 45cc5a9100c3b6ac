import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { projectRoot } from '../../../scripts/demo/processes.js';
import type { Door } from './client.js';

/** Path of a package's program, run with our own Node. */
export const programOf = (path: string): string => join(projectRoot, 'node_modules', path);

/** What a client's program may know: where it lives, whom to trust. Nothing of ours, and no proxy to go round by. */
export function environmentOf({ home, caFile }: Door): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    XDG_CONFIG_HOME: join(home, '.config'),
    XDG_CACHE_HOME: join(home, '.cache'),
    XDG_DATA_HOME: join(home, '.local'),
    NODE_EXTRA_CA_CERTS: caFile,
    NO_COLOR: '1',
    // Words that several tools understand as: tell nobody.
    DO_NOT_TRACK: '1',
    NO_UPDATE_NOTIFIER: '1',
    CI: '1',
    // No browser, whatever a tool thinks it needs one for.
    BROWSER: '/bin/false',
    // The Inspector would look for a keychain.
    MCP_INSPECTOR_SECRET_STORE: 'memory',
  };
}

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a client to its end. */
export async function run(program: string, args: string[], door: Door): Promise<Finished> {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: door.home,
    env: environmentOf(door),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (out.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (out.stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...out };
}

/** JSON that a program printed; its own words when it did not. */
export function printed<T>({ stdout, stderr, code }: Finished): T {
  try {
    return JSON.parse(stdout) as T;
  } catch {
    throw new Error(`it ended with ${code} and printed no JSON\n${stdout}\n${stderr}`);
  }
}
