import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ColonyDouble } from '../../apps/cli/src/testing/colony-double.js';
import { envelopeOf } from '../../apps/cli/src/testing/envelopes.js';
import { projectRoot } from '../../scripts/demo/processes.js';

export const binary = join(projectRoot, 'bin', 'coral');

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A home directory, and the built CLI in it. Nothing of the caller's environment reaches it but PATH. */
export class Laptop implements AsyncDisposable {
  private constructor(
    readonly home: string,
    readonly env: NodeJS.ProcessEnv,
  ) {}

  static async open(env: NodeJS.ProcessEnv = {}): Promise<Laptop> {
    const home = await mkdtemp(join(tmpdir(), 'coral-laptop-'));
    return new Laptop(home, { PATH: process.env['PATH'], HOME: home, ...env });
  }

  get config(): string {
    return join(this.home, '.coral', 'config.yaml');
  }

  /** A config with one colony whose token is in CORAL_TOKEN, and `more` after it. */
  async configure(colony: { id: string; endpoint: string; ca_fingerprint: string }, more = ''): Promise<void> {
    await mkdir(join(this.home, '.coral'), { recursive: true, mode: 0o700 });
    const entry = JSON.stringify({ ...colony, token: 'env://CORAL_TOKEN' });
    await writeFile(this.config, `colonies: [${entry}]\n${more}`, { mode: 0o600 });
  }

  start(args: string[], env: NodeJS.ProcessEnv = {}, command = binary): ChildProcessWithoutNullStreams {
    return spawn(command, args, { env: { ...this.env, ...env }, cwd: this.home, stdio: 'pipe' });
  }

  coral(args: string[], env?: NodeJS.ProcessEnv, stdin = ''): Promise<Ended> {
    const child = this.start(args, env);
    child.stdin.end(stdin);
    return end(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.home, { recursive: true, force: true });
  }
}

export function end(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const ended: Ended = { code: null, stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (ended.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (ended.stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ ...ended, code }));
  });
}

/** Waits for something that only a running child can bring. */
export function unlessEnded(wanted: Promise<unknown>, ended: Promise<Ended>): Promise<unknown> {
  const tooEarly = ended.then(({ code, stderr }) => {
    throw new Error(`it ended with ${code} before that: ${stderr}`);
  });
  return Promise.race([wanted, tooEarly]);
}

/** Resolves at the next call of a tool, which is answered only when the client goes away. */
export function hangingTool(colony: ColonyDouble): Promise<void> {
  return new Promise((resolve) => {
    colony.tool = ({ signal }) => {
      resolve();
      return new Promise((answer) => signal.addEventListener('abort', () => answer(envelopeOf({ services: [] }))));
    };
  });
}

/** A colony whose tools answer that there are no services, and a laptop configured for it. */
export async function openDouble(): Promise<{ colony: ColonyDouble; laptop: Laptop }> {
  const colony = await ColonyDouble.start();
  colony.tool = async () => envelopeOf({ services: [] });
  const laptop = await Laptop.open({ CORAL_TOKEN: colony.apiToken });
  await laptop.configure(colony.entry);
  return { colony, laptop };
}
