import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { parseDuration, systemClock } from '@coral/model';
import { DoorKeeper } from '../mcp/door-keeper.js';
import { openDoor } from '../mcp/open-door.js';
import { StdioProxy, type StdioProxyOptions } from '../mcp/stdio-proxy.js';
import { ColonyDouble } from './colony-double.js';
import { envelopeOf } from './envelopes.js';
import type { Post } from './http-door.js';

export const modern = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};
export const healthy = envelopeOf({ services: [] });
export type Json = Record<string, unknown>;

export const rpc = (id: unknown, method: string, params: Json = {}): Json => ({ jsonrpc: '2.0', id, method, params });
export const request = (id: unknown, method: string, params: Json = {}): Json =>
  rpc(id, method, { ...params, _meta: modern });
export const call = (id: unknown, name = 'coral_get_health', args: Json = {}): Json =>
  request(id, 'tools/call', { name, arguments: args });

/** A client that writes what it likes, and the proxy it started. */
export class Wire {
  readonly input = new PassThrough();
  readonly lines: string[] = [];
  readonly said: string[] = [];
  readonly stopping = new AbortController();
  readonly keeper: DoorKeeper;
  readonly ended: Promise<void>;
  private waiting: (() => void)[] = [];

  constructor(
    open: ConstructorParameters<typeof DoorKeeper>[0]['open'],
    more: Partial<StdioProxyOptions & { idleMs: number }> = {},
  ) {
    const say = (line: string) => void this.said.push(line);
    this.keeper = new DoorKeeper({ open, idleMs: more.idleMs ?? 60_000, clock: systemClock, say });
    const write = async (text: string) => {
      if (!text.endsWith('\n')) throw new Error(`no whole line: ${text}`);
      this.lines.push(text.slice(0, -1));
      for (const wake of this.waiting.splice(0)) wake();
    };
    const { input, keeper } = this;
    this.ended = new StdioProxy({ input, write, keeper, say, signal: this.stopping.signal, ...more }).run();
  }

  send(...messages: (Json | string)[]): void {
    for (const message of messages) {
      this.input.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`);
    }
  }

  get messages(): Json[] {
    return this.lines.map((line) => JSON.parse(line) as Json);
  }

  async next(isIt: (message: Json) => boolean): Promise<Json> {
    for (;;) {
      const found = this.messages.find(isIt);
      if (found) return found;
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  answer(id: unknown): Promise<Json> {
    return this.next((message) => message['id'] === id && !('method' in message));
  }

  async close(): Promise<void> {
    this.input.end();
    await this.ended;
    await this.keeper.close();
  }
}

export type ProxySettings = Partial<StdioProxyOptions & { idleMs: number; ttl: string }>;

/** For specs: a colony, and one proxy to it that a spec starts. Every lease must be back when it is disposed of. */
export class ProxyStage implements AsyncDisposable {
  wire: Wire | undefined;

  private constructor(
    readonly colony: ColonyDouble,
    private readonly directory: string,
  ) {}

  static async open(): Promise<ProxyStage> {
    const colony = await ColonyDouble.start();
    colony.tool = async () => healthy;
    const directory = await mkdtemp(join(tmpdir(), 'coral-proxy-'));
    await writeFile(join(directory, 'credentials.yaml'), `tokens: { double: "${colony.apiToken}" }\n`, { mode: 0o600 });
    return new ProxyStage(colony, directory);
  }

  start(more: ProxySettings = {}): Wire {
    const door = {
      colony: this.colony.entry,
      credentialsFile: join(this.directory, 'credentials.yaml'),
      purpose: 'coral mcp proxy',
      ttl: more.ttl === undefined ? undefined : parseDuration(more.ttl),
      autoCleanup: true,
      clock: systemClock,
    };
    this.wire = new Wire((signal) => openDoor(door, signal), more);
    return this.wire;
  }

  /** Resolves at the next call of a tool, which is answered only when the client goes away: then the signal aborts. */
  hangingTool(): Promise<AbortSignal> {
    return new Promise((resolve) => {
      this.colony.tool = ({ signal }) => {
        resolve(signal);
        return new Promise((answer) => signal.addEventListener('abort', () => answer(healthy)));
      };
    });
  }

  post(at: number): Post {
    const found = this.colony.posts[at];
    if (!found) throw new Error(`there is no post ${at}`);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.wire?.close();
    const { open } = this.colony;
    await this.colony[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true });
    if (open.length > 0) throw new Error(`leases were left: ${open.join(', ')}`);
  }
}
