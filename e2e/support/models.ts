import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAudit, type AuditRow } from '@coral/audit';
import { unfence } from '@coral/llm';
import { AnthropicServer, ModelScript, OpenAiServer, type RecordedRequest, type ScriptedRequest } from '@coral/testing';
import { stringify } from 'yaml';
import type { QueryData, ToolEnvelope, MetricRow } from '@coral/tools';
import { CoralSystem, type User } from '../../scripts/demo/coral-system.js';
import { BorrowedNames, type Detour } from './borrowed-names.js';
import { end, Laptop, type Ended } from './laptop.js';
import { sendOrdinaryTraffic } from './traffic.js';
import { until } from './until.js';

/** A protocol that models are asked by, with the API that speaks it. */
export interface Wire {
  name: string;
  /** The `ai` block but for key and budget. */
  ai: { provider: string; model: string; api?: string };
  /** The provider's own API. */
  host: string;
  /** The variable that its own tools read a key from. */
  keyVariable: string;
  /** Thinking comes with a signature, or encrypted, and has to be returned. */
  thinks: boolean;
  open(script: ModelScript, key: string): Promise<ModelServer>;
}

/** What the scripted servers of all protocols have. */
export interface ModelServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly RecordedRequest[];
  readonly refusals: readonly unknown[];
  request(n: number): Promise<RecordedRequest>;
}

/** Prices of these models, US dollars per million tokens, are config/prices.yaml's. */
export const wires: readonly Wire[] = [
  {
    name: 'anthropic',
    ai: { provider: 'anthropic', model: 'claude-sonnet-5-5' },
    host: 'api.anthropic.com',
    keyVariable: 'ANTHROPIC_API_KEY',
    thinks: true,
    open: (script, key) => AnthropicServer.start(script, key),
  },
  {
    name: 'openai responses',
    ai: { provider: 'openai', model: 'gpt-6.1-sol' },
    host: 'api.openai.com',
    keyVariable: 'OPENAI_API_KEY',
    thinks: true,
    open: (script, key) => OpenAiServer.start(script, key),
  },
  {
    name: 'openai chat',
    ai: { provider: 'openai', model: 'gpt-6.1-sol', api: 'chat' },
    host: 'api.openai.com',
    keyVariable: 'OPENAI_API_KEY',
    thinks: true,
    open: (script, key) => OpenAiServer.start(script, key),
  },
];

/** The key that every scripted server takes unless it is told another. */
export const modelKey = 'sk-scripted-3f9b1c77e0a24d55';

/** Its window holds all the traffic. */
export const query = 'latency by service, last 15m';

/** What a laptop is set up with. */
export interface Setting {
  wire: Wire;
  script: ModelScript;
  /** Absent: a developer. */
  user?: string;
  /** The key that the server takes, when it is not the one that the laptop has. */
  key?: string;
  /** `ai.budget`. */
  budget?: Record<string, number>;
  /** Over the `ai` block. */
  ai?: object;
  env?: NodeJS.ProcessEnv;
  /** More host names, and the servers behind them. */
  routes?: Record<string, string>;
}

/** Together they may hold six leases at once, one more than tests run side by side. */
const developers = ['alex', 'jordan'];
const policy = {
  version: 1,
  roles: {
    developer: { permissions: ['read:metrics', 'read:topology', 'read:events', 'read:health'] },
    visitor: { permissions: ['read:health'] },
    security: { permissions: ['manage:leases'] },
  },
  bindings: [
    { role: 'developer', users: developers },
    { role: 'visitor', users: ['sam'] },
    { role: 'security', users: ['alex'] },
  ],
};

/** A colony with an agent that has seen ten minutes of ordinary traffic, and people whose models' APIs are scripted. */
export class AskedSystem implements AsyncDisposable {
  /** What there is to find: the only service that answers requests. */
  payment!: MetricRow;
  private readonly users = new Map<string, { user: User; busy: number }>();

  private constructor(
    readonly system: CoralSystem,
    private readonly names: BorrowedNames,
    private readonly undo: AsyncDisposableStack,
  ) {}

  static async open(): Promise<AskedSystem> {
    await using undo = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'coral-models-'));
    const system = await CoralSystem.open(folder, policy);
    undo.defer(() => system.erase());
    undo.use(system);
    const agent = await system.startAgent('orders-1', 'group:orders');
    const names = await BorrowedNames.issue(folder, [...new Set(wires.map(({ host }) => host))]);
    const asked = new AskedSystem(system, names, undo.move());
    try {
      const people = await Promise.all([...developers, 'sam'].map((name) => system.addUser(name)));
      for (const user of people) asked.users.set(user.name, { user, busy: 0 });
      await sendOrdinaryTraffic(`http://${agent.ready.otlp_http}`);
      await until(() => asked.knowsTraffic(), 'all of the traffic in the answers of the colony');
      return asked;
    } catch (thrown) {
      await asked[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  user(name: string): User {
    return this.entry(name).user;
  }

  async audit(): Promise<AuditRow[]> {
    const rows: AuditRow[] = [];
    for await (const row of readAudit(this.system.auditFolder)) rows.push(row);
    return rows;
  }

  /** Ids of the leases that are alive, as somebody sees them who may see all. */
  async leases(): Promise<string[]> {
    const { code, stdout, stderr } = await this.user('alex').coral(['colony', 'ephemeral', 'list', '--json']);
    if (code !== 0) throw new Error(stderr);
    return (JSON.parse(stdout) as { agents: { agent_id: string }[] }).agents.map((agent) => agent.agent_id);
  }

  /** Without a name: the developer who asks least just now. */
  async laptop(o: Setting): Promise<ModelLaptop> {
    const free = developers.map((name) => this.entry(name)).toSorted((a, b) => a.busy - b.busy)[0];
    const entry = o.user === undefined ? free : this.entry(o.user);
    if (entry === undefined) throw new Error('there is nobody');
    entry.busy += 1;
    await using undo = new AsyncDisposableStack();
    undo.defer(() => void (entry.busy -= 1));
    const server = undo.use(await o.wire.open(o.script, o.key ?? modelKey));
    const detour = undo.use(await this.names.lead({ [o.wire.host]: server.url, ...o.routes }));
    const { CORAL_TOKEN } = entry.user.environment;
    const env = { CORAL_TOKEN, MODEL_KEY: modelKey, ...detour.environment, ...o.env };
    const laptop = undo.use(await Laptop.open(env));
    const ai = { ...o.wire.ai, api_key: 'env://MODEL_KEY', ...o.ai, ...(o.budget ? { budget: o.budget } : {}) };
    const { endpoint, ca_fingerprint } = this.system.colony.ready;
    await laptop.configure({ id: 'demo', endpoint, ca_fingerprint }, stringify({ ai }));
    return new ModelLaptop(laptop, server, detour, undo.move());
  }

  private entry(name: string): { user: User; busy: number } {
    const entry = this.users.get(name);
    if (entry === undefined) throw new Error(`there is no user ${name}`);
    return entry;
  }

  private async knowsTraffic(): Promise<boolean> {
    const { stdout } = await this.user('alex').coral(['query', query, '--json']);
    const rows = stdout === '' ? [] : rowsIn(stdout);
    const found = rows.find(({ service, requests }) => service === 'payment' && requests === 1_200);
    if (found !== undefined) this.payment = found;
    return found !== undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.undo.disposeAsync();
  }
}

/** A laptop with a model, and the API of that model. */
export class ModelLaptop implements AsyncDisposable {
  constructor(
    private readonly laptop: Laptop,
    readonly server: ModelServer,
    readonly detour: Detour,
    private readonly undo: AsyncDisposableStack,
  ) {}

  get home(): string {
    return this.laptop.home;
  }

  start(...args: string[]): ChildProcessWithoutNullStreams {
    return this.laptop.start(['ask', ...args]);
  }

  async ask(...args: string[]): Promise<Asked> {
    return new Asked(await end(this.start(...args)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.undo.disposeAsync();
  }
}

/** What a question came to. */
export class Asked implements Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;

  constructor({ code, stdout, stderr }: Ended) {
    this.code = code;
    this.stdout = stdout;
    this.stderr = stderr;
  }

  /** The line about what it took. */
  get footer(): string {
    const line = this.stderr.split('\n').find((one) => one.includes(' · lease eph-'));
    if (line === undefined) throw new Error(`no footer in: ${this.stderr}`);
    return line;
  }

  /** With --json. */
  get json(): AnswerJson {
    return JSON.parse(this.stdout) as AnswerJson;
  }

  /** Of the lease that answered last. */
  get agentId(): string {
    return this.stdout.startsWith('{') ? this.json.agent_id : (/eph-[a-z2-7]{16}/.exec(this.footer)?.[0] ?? '');
  }
}

export interface AnswerJson {
  question: string;
  answer: string;
  verdict: string;
  tools: { name: string; args: Record<string, unknown>; bytes: number; is_error: boolean }[];
  usage: Record<string, number>;
  cost_usd: number | null;
  partial: boolean;
  partial_reason?: string;
  error?: { kind: string; reason: string; message: string };
  unsupported: string[];
  agent_id: string;
}

/** The rows of a metrics answer, as the colony wrote it. */
export function rowsIn(envelope: string): MetricRow[] {
  const { data } = JSON.parse(envelope) as ToolEnvelope<QueryData>;
  return data.kind === 'metrics' ? data.rows : [];
}

/** What a model reads in the newest results: the rows of its query. */
export function rowsRead({ results }: ScriptedRequest): MetricRow[] {
  const result = results.find(({ name }) => name === 'coral_query');
  if (result === undefined) throw new Error('the model got no result of coral_query');
  return rowsIn(unfence(result.text));
}
