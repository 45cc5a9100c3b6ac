import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { coral, projectRoot, start, type Finished, type Running } from './processes.js';

interface ColonyReady {
  endpoint: string;
  ca_fingerprint: string;
  ops: string;
}

export interface AgentReady {
  agent_id: string;
  otlp_grpc: string;
  otlp_http: string;
  ops: string;
}

/** A colony with its agents, and people with tokens, in one folder; every port is chosen by the machine. */
export class CoralSystem implements AsyncDisposable {
  readonly folder: string;
  readonly agents = new Map<string, Running<AgentReady>>();
  #colony: Running<ColonyReady>;

  readonly #env: NodeJS.ProcessEnv;

  private constructor(folder: string, colony: Running<ColonyReady>, env: NodeJS.ProcessEnv) {
    this.folder = folder;
    this.#colony = colony;
    this.#env = env;
  }

  /** The colony's process of now. */
  get colony(): Running<ColonyReady> {
    return this.#colony;
  }

  /**
   * `policy` is what a policy file says; `colonyId` names the colony to its users; `settings` go over colony.yaml, `env`
   * over the environment of its process.
   */
  static async open(
    folder: string,
    policy: object,
    colonyId = 'demo',
    settings: object = {},
    env: NodeJS.ProcessEnv = {},
  ): Promise<CoralSystem> {
    await mkdir(join(folder, 'colony'), { recursive: true, mode: 0o700 });
    await writeFile(join(folder, 'policy.yaml'), stringify(policy));
    const configuration = {
      colony: { id: colonyId },
      data_dir: join(folder, 'colony'),
      listen: '127.0.0.1:0',
      ops_listen: '127.0.0.1:0',
      policy_file: join(folder, 'policy.yaml'),
      ...settings,
    };
    await writeFile(join(folder, 'colony.yaml'), stringify(configuration));
    return new CoralSystem(folder, await startColony(folder, env), env);
  }

  /** After its process ended. It gets the ports it had. */
  async restartColony(): Promise<void> {
    this.#colony = await startColony(this.folder, this.#env);
  }

  get auditFolder(): string {
    return join(this.folder, 'colony', 'audit');
  }

  /** A new agent joins with a token of its own, which fixes who owns it; `settings` go over its agent.yaml. */
  async startAgent(
    name: string,
    owner: string,
    settings: object = {},
    env: NodeJS.ProcessEnv = {},
  ): Promise<Running<AgentReady>> {
    const made = await this.#admin(['colony', 'join-token', 'create', '--owner', owner, '--label', 'env=demo']);
    const configuration = {
      name,
      data_dir: join(this.folder, `agent-${name}`),
      environment: 'development',
      colony: { endpoint: this.colony.ready.endpoint, ca_fingerprint: this.colony.ready.ca_fingerprint },
      join_token: 'env://CORAL_JOIN_TOKEN',
      otlp: { grpc: { listen: '127.0.0.1:0' }, http: { listen: '127.0.0.1:0' } },
      ops: { listen: '127.0.0.1:0' },
      summaries: { interval: '2s' },
      ...settings,
    };
    await writeFile(this.#agentFile(name), stringify(configuration));
    return this.#runAgent(name, { ...env, CORAL_JOIN_TOKEN: String(made['join_token']) });
  }

  /** After its process ended: the same agent, taking telemetry where it did before. */
  async restartAgent(name: string): Promise<Running<AgentReady>> {
    const before = this.agents.get(name);
    if (before === undefined) throw new Error(`there is no agent ${name}`);
    const { otlp_grpc: grpc, otlp_http: http } = before.ready;
    const configuration = parse(await readFile(this.#agentFile(name), 'utf8')) as object;
    const otlp = { grpc: { listen: grpc }, http: { listen: http } };
    await writeFile(this.#agentFile(name), stringify({ ...configuration, otlp }));
    return this.#runAgent(name, {});
  }

  #agentFile(name: string): string {
    return join(this.folder, `agent-${name}.yaml`);
  }

  async #runAgent(name: string, env: NodeJS.ProcessEnv): Promise<Running<AgentReady>> {
    const args = [join(projectRoot, 'dist/agent.js'), '--config', this.#agentFile(name)];
    const agent = await start<AgentReady>({ name: `agent ${name}`, args, env });
    this.agents.set(name, agent);
    return agent;
  }

  /** Someone with a laptop: an API token, and a home with a configured CLI. */
  async addUser(user: string): Promise<User> {
    const home = join(this.folder, `home-${user}`);
    await mkdir(home, { recursive: true, mode: 0o700 });
    const made = await this.#admin(['colony', 'token', 'create', '--user', user]);
    const someone = new User(user, home, String(made['token']));
    const { endpoint, ca_fingerprint: fingerprint } = this.colony.ready;
    const pinned = ['--ca-fingerprint', fingerprint, '--token', 'env://CORAL_TOKEN'];
    const added = await someone.coral(['colony', 'add', 'demo', endpoint, ...pinned]);
    if (added.code !== 0) throw new Error(`coral colony add failed\n${added.stderr}`);
    return someone;
  }

  async #admin(words: string[]): Promise<Record<string, unknown>> {
    const socket = join(this.folder, 'colony', 'admin.sock');
    const done = await coral([...words, '--admin-socket', socket, '--json'], { HOME: this.folder });
    if (done.code !== 0) throw new Error(`coral ${words.join(' ')} failed\n${done.stderr}`);
    return JSON.parse(done.stdout) as Record<string, unknown>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.agents.values()].map((agent) => agent.stop()));
    await this.#colony.stop();
  }

  /** After disposal: nothing of it stays on the disk. */
  async erase(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

function startColony(folder: string, env: NodeJS.ProcessEnv): Promise<Running<ColonyReady>> {
  const args = [join(projectRoot, 'dist/colony.js'), '--config', join(folder, 'colony.yaml')];
  return start<ColonyReady>({ name: 'colony', args, env });
}

export class User {
  readonly name: string;
  readonly home: string;
  readonly #token: string;

  constructor(name: string, home: string, token: string) {
    this.name = name;
    this.home = home;
    this.#token = token;
  }

  /** What to type before a command to be this user. */
  get environment(): { HOME: string; CORAL_TOKEN: string } {
    return { HOME: this.home, CORAL_TOKEN: this.#token };
  }

  coral(args: string[], onStdout?: (text: string) => void): Promise<Finished> {
    return coral(args, this.environment, onStdout);
  }
}
