import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { stringify } from 'yaml';

const program = join(import.meta.dirname, '../../dist/agent.js');

export interface AgentReady {
  agent_id: string;
  otlp_grpc: string;
  otlp_http: string;
  ops: string;
}

export interface AgentSettings {
  colony: { endpoint: string; caFingerprint: string };
  joinToken: string;
  /** Merged over what every spec needs. */
  config?: Record<string, unknown>;
}

/** The real agent program in a folder of its own. */
export class AgentUnderTest implements AsyncDisposable {
  readonly directory: string;
  ready: AgentReady = { agent_id: '', otlp_grpc: '', otlp_http: '', ops: '' };
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcess | undefined;
  #log: string[] = [];

  private constructor(directory: string, joinToken: string) {
    this.directory = directory;
    this.#env = { PATH: process.env['PATH'], JOIN_TOKEN: joinToken };
  }

  static async start(settings: AgentSettings): Promise<AgentUnderTest> {
    const agent = await AgentUnderTest.prepare(settings);
    await agent.run();
    return agent;
  }

  /** Everything but the process. */
  static async prepare({ colony, joinToken, config }: AgentSettings): Promise<AgentUnderTest> {
    const directory = await mkdtemp(join(tmpdir(), 'coral-e2e-agent-'));
    const agent = new AgentUnderTest(directory, joinToken);
    const needed = {
      name: 'e2e',
      data_dir: agent.dataDirectory,
      environment: 'development',
      colony: { endpoint: colony.endpoint, ca_fingerprint: colony.caFingerprint },
      join_token: 'env://JOIN_TOKEN',
      otlp: { grpc: { listen: '127.0.0.1:0' }, http: { listen: '127.0.0.1:0' } },
      ops: { listen: '127.0.0.1:0' },
      summaries: { interval: '1s' },
    };
    await writeFile(agent.configFile, stringify({ ...needed, ...config }));
    return agent;
  }

  get dataDirectory(): string {
    return join(this.directory, 'data');
  }

  get configFile(): string {
    return join(this.directory, 'agent.yaml');
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async run(): Promise<void> {
    const child = spawn(process.execPath, [program, '--config', this.configFile], {
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    child.stderr.on('data', (chunk: Buffer) => this.#log.push(chunk.toString()));
    const [line] = (await Promise.race([
      once(createInterface({ input: child.stdout }), 'line'),
      once(child, 'exit').then(([code, signal]) => {
        throw new Error(`the agent ended with ${code ?? signal}\n${this.log}`);
      }),
    ])) as [string];
    this.ready = JSON.parse(line) as AgentReady;
  }

  /** Runs it to its end; for configurations that cannot work. */
  async runToEnd(): Promise<number | null> {
    const child = spawn(process.execPath, [program, '--config', this.configFile], {
      env: this.#env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr.on('data', (chunk: Buffer) => this.#log.push(chunk.toString()));
    await once(child, 'close');
    return child.exitCode;
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
    return child.exitCode;
  }

  /** RLIMIT_FSIZE of the running process: writes beyond it fail, as on a full disk. */
  async limitFileSize(bytes: number | 'unlimited'): Promise<void> {
    await promisify(execFile)('prlimit', ['--pid', String(this.pid), `--fsize=${bytes}:unlimited`]);
  }

  /** Highest resident memory so far, bytes. */
  async peakMemory(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
  }

  get log(): string {
    return this.#log.join('');
  }

  /** Lines of the log with this message. */
  logLines(message: string): Record<string, unknown>[] {
    return this.log
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => String(line['message']).includes(message));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
    await rm(this.directory, { recursive: true, force: true });
  }
}
