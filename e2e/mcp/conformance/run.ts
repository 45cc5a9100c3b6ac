import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../../scripts/demo/processes.js';

/** The official suite twice: the newest release knows the revision of 2025, the newest pre-release that of 2026 too. */
const programs = {
  stable: join(projectRoot, 'node_modules/conformance-stable/dist/index.js'),
  next: join(projectRoot, 'node_modules/conformance-next/dist/index.js'),
};

export interface Check {
  id: string;
  status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO';
  description: string;
  errorMessage?: string;
}

export interface Outcome {
  exitCode: number | null;
  /** All that it printed. */
  said: string;
  /** Checks of each scenario that ran. */
  scenarios: Map<string, Check[]>;
}

/** `args` go after `server --url …`. */
export async function runConformance(suite: keyof typeof programs, url: string, args: string[]): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'coral-conformance-'));
  try {
    const words = [programs[suite], 'server', '--url', url, '--output-dir', folder, ...args];
    const child = spawn(process.execPath, words, {
      cwd: folder,
      env: { PATH: process.env['PATH'], HOME: folder, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [exitCode] = (await once(child, 'close')) as [number | null];
    return { exitCode, said, scenarios: await readResults(folder) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readResults(folder: string): Promise<Map<string, Check[]>> {
  const scenarios = new Map<string, Check[]>();
  for (const name of await readdir(folder)) {
    const scenario = /^server-(.+)-\d{4}-\d{2}-\d{2}T[\dZ-]+$/.exec(name)?.[1];
    if (scenario === undefined) continue;
    scenarios.set(scenario, JSON.parse(await readFile(join(folder, name, 'checks.json'), 'utf8')) as Check[]);
  }
  return scenarios;
}

/** `scenario:check` with what it complained of. */
export function failuresOf({ scenarios }: Outcome, among?: ReadonlySet<string>): string[] {
  return [...scenarios]
    .filter(([scenario]) => among?.has(scenario) ?? true)
    .flatMap(([scenario, checks]) =>
      checks
        .filter(({ status }) => status === 'FAILURE')
        .map(({ id, errorMessage }) => `${scenario}:${id} ${errorMessage ?? ''}`),
    );
}

export function countOf({ scenarios }: Outcome, status: Check['status'], among?: ReadonlySet<string>): number {
  return [...scenarios]
    .filter(([scenario]) => among?.has(scenario) ?? true)
    .flatMap(([, checks]) => checks)
    .filter((check) => check.status === status).length;
}
