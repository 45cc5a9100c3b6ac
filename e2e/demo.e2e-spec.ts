import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import type { AskAnswer, Fault } from '../scripts/demo/incident.js';
import { coral, projectRoot, type Finished } from '../scripts/demo/processes.js';
import { shuffledNames, type ShopNames } from '../scripts/demo/shop.js';

/** Changes from run to run, is printed, and can be set again: no name may matter. */
const seed = Number(process.env['CORAL_SEED'] ?? Date.now() % 1_000_000);

/** What `npm run demo -- --json` prints. */
interface DemoAnswer extends AskAnswer {
  audit: { allowed: number; denied: number; verified: boolean };
  seconds: number;
}

interface Outcome {
  names: ShopNames;
  answer: DemoAnswer;
  /** For whoever reads a failure: the names, the answer and the numbers it was drawn from. */
  context: string;
  /** What the demo says can be tried, tried. */
  tried: [string, Finished][];
}

/** One demo as a person runs it with `--keep`, up to Ctrl-C, which must leave nothing behind. */
async function demo(fault: Fault, offset: number): Promise<Outcome> {
  const names = shuffledNames(seed + offset);
  const folder = await mkdtemp(join(tmpdir(), 'coral-demo-e2e-'));
  const args = ['dist/demo.js', '--keep', '--json', '--fault', fault, '--seed', String(seed + offset)];
  // A process group of its own, as a shell gives it to a command: Ctrl-C reaches all of them.
  const child = spawn(process.execPath, args, {
    cwd: projectRoot,
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const stdout = text(child.stdout);
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  try {
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        said += chunk;
        if (said.includes('Ctrl-C here ends it.')) resolve();
      });
      child.once('exit', (code) => reject(new Error(`the demo ended with ${code}\n${said}`)));
    });
    const environment = Object.fromEntries(
      [...said.matchAll(/\b(HOME|CORAL_TOKEN)=(\S+)/g)].map(([, name, value]) => [name, value]),
    );
    const tried: [string, Finished][] = [];
    for (const [, line = ''] of said.matchAll(/^ {2}bin\/coral (.+)$/gm)) {
      const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
      tried.push([line, await coral(words, environment)]);
    }
    const series = await coral(['query', 'latency by service by time, last 5m'], environment);
    process.kill(-(child.pid as number), 'SIGINT');
    expect(await ended, said).toBe(0);
    const answer = JSON.parse(await stdout) as DemoAnswer;
    const context = `seed ${seed}: ${JSON.stringify({ names, answer })}\n${series.stdout}`;
    expect(() => process.kill(-(child.pid as number), 0), 'a process was left behind').toThrow('ESRCH');
    const left = (await readdir(folder)).filter((name) => name.startsWith('coral'));
    expect(left, 'files were left behind').toEqual([]);
    return { names, answer, context, tried };
  } finally {
    if (child.exitCode === null) process.kill(-(child.pid as number), 'SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
}

describe(`the demo, under names that tell nothing (CORAL_SEED=${seed})`, { timeout: 300_000 }, () => {
  describe.concurrent('two at once', () => {
    it('payment-deploy: names the bad deployment, its version and time, with a trail of what was asked', async () => {
      const { names, answer, context, tried } = await demo('payment-deploy', 1);
      expect(answer.cause, context).toMatchObject({ service: names.payer, kind: 'deploy', version: '1.4.0' });
      expect(Date.now() - Date.parse(answer.cause?.at ?? ''), context).toBeLessThan(120_000);
      expect(answer.evidence.length, context).toBeGreaterThan(1);
      expect(answer.answer, context).toContain('1.4.0');
      expect(answer.audit, context).toEqual({ allowed: expect.any(Number), denied: 1, verified: true });
      expect(answer.audit.allowed, context).toBeGreaterThan(2);
      expect(tried.map(([line, { code }]) => [line, code])).toEqual(tried.map(([line]) => [line, 0]));
      expect(tried.length).toBeGreaterThan(4);
    });

    it('innocent-deploy: does not blame the deployment that merely came at the same time', async () => {
      const { names, answer, context } = await demo('innocent-deploy', 3);
      expect(answer.cause, context).toMatchObject({ kind: 'database' });
      expect(answer.cause?.service, context).not.toBe(names.bystander);
    });
  });

  it('slow-database: names the database behind it, and no deployment', async () => {
    const { answer, context } = await demo('slow-database', 2);
    expect(answer.cause, context).toMatchObject({ kind: 'database' });
    expect(answer.cause?.service, context).toMatch(/^postgresql:/);
  });

  it('surge: names the traffic', async () => {
    const { answer, context } = await demo('surge', 4);
    expect(answer.cause, context).toMatchObject({ kind: 'traffic' });
  });

  it('none: says that nothing is wrong', async () => {
    const { answer, context } = await demo('none', 5);
    expect(answer.cause, context).toBeNull();
    expect(answer.answer, context).toMatch(/nothing is wrong/i);
  });
});
