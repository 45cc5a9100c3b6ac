import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as FirstClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as FirstStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { binary, end, type Ended, type Laptop } from '../support/laptop.js';
import { answerOf, type Answer, type Revision } from './clients/client.js';

export type Json = Record<string, unknown>;

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};
export const request = (id: unknown, method: string, params: Json = {}): Json => ({
  jsonrpc: '2.0',
  id,
  method,
  params: { ...params, _meta: meta },
});
export const call = (id: unknown, name = 'coral_get_health', args: Json = {}): Json =>
  request(id, 'tools/call', { name, arguments: args });

/** `coral mcp proxy` as a client sees it that writes the protocol by hand. */
export class Proxied {
  /** Everything on standard output, line by line. */
  readonly lines: string[] = [];
  stderr = '';
  readonly ended: Promise<Ended>;
  private waiting: (() => void)[] = [];

  constructor(readonly child: ChildProcessWithoutNullStreams) {
    this.ended = end(child);
    child.stderr.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
      this.wake();
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.lines.push(line);
      this.wake();
    });
  }

  send(...messages: (Json | string)[]): void {
    for (const message of messages) {
      this.child.stdin.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`);
    }
  }

  get messages(): Json[] {
    return this.lines.map((line) => JSON.parse(line) as Json);
  }

  answer(id: unknown): Promise<Json> {
    return this.until(() => this.messages.find((message) => message['id'] === id));
  }

  /** Looks again whenever the proxy says something. */
  async until<T>(found: () => T | undefined): Promise<T> {
    for (;;) {
      const it = found();
      if (it !== undefined) return it;
      const woken = new Promise<void>((resolve) => this.waiting.push(resolve));
      const gone = this.ended.then(({ code }) => {
        throw new Error(`the proxy ended with ${code}\n${this.stderr}`);
      });
      await Promise.race([woken, gone]);
    }
  }

  private wake(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }
}

/** An official client that has started the proxy itself, as desktop programs do. */
export interface StdioClient extends AsyncDisposable {
  revision: string | undefined;
  pid: number | null;
  list(): Promise<string[]>;
  call(tool: string, args?: Json): Promise<Answer>;
  /** What the transport could not read. */
  errors: Error[];
}

export interface StdioClientKind {
  name: string;
  speaks: Revision;
  start(laptop: Laptop, args?: string[]): Promise<StdioClient>;
}

const self = { name: 'e2e', version: '1.0.0' };

function server(laptop: Laptop, args: string[]) {
  const env = Object.fromEntries(Object.entries(laptop.env).map(([name, value]) => [name, String(value)]));
  return { command: binary, args: ['mcp', 'proxy', ...args], env, cwd: laptop.home, stderr: 'ignore' as const };
}

function secondGeneration(mode: 'auto' | 'legacy', speaks: Revision): StdioClientKind {
  return {
    name: `@modelcontextprotocol/client, ${mode}`,
    speaks,
    start: async (laptop, args = []) => {
      const client = new Client(self, { versionNegotiation: { mode } });
      const transport = new StdioClientTransport(server(laptop, args));
      const errors: Error[] = [];
      client.onerror = (error) => errors.push(error);
      await client.connect(transport);
      return {
        revision: client.getNegotiatedProtocolVersion(),
        pid: transport.pid,
        errors,
        list: async () => (await client.listTools()).tools.map(({ name }) => name),
        call: async (name, args = {}) => answerOf(await client.callTool({ name, arguments: args })),
        [Symbol.asyncDispose]: () => client.close(),
      };
    },
  };
}

const firstGeneration: StdioClientKind = {
  name: '@modelcontextprotocol/sdk 1.x',
  speaks: '2025-11-25',
  start: async (laptop, args = []) => {
    const client = new FirstClient(self);
    const transport = new FirstStdio(server(laptop, args));
    const errors: Error[] = [];
    client.onerror = (error) => errors.push(error);
    let revision: string | undefined;
    // How it tells transports what it agreed on; this one does not ask.
    Object.assign(transport, { setProtocolVersion: (agreed: string) => (revision = agreed) });
    await client.connect(transport);
    return {
      revision,
      pid: transport.pid,
      errors,
      list: async () => (await client.listTools()).tools.map(({ name }) => name),
      call: async (name, args = {}) => answerOf(await client.callTool({ name, arguments: args })),
      [Symbol.asyncDispose]: () => client.close(),
    };
  },
};

export const stdioClients = [
  secondGeneration('auto', '2026-07-28'),
  secondGeneration('legacy', '2025-11-25'),
  firstGeneration,
];
