// The official TypeScript clients, of both generations, inside this process.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { VersionNegotiationOptions } from '@modelcontextprotocol/client';
import { Client as FirstClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as FirstTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { answerOf, type Door, type IndependentClient, type Revision } from './client.js';

const self = { name: 'e2e', version: '1.0.0' };
const bearer = ({ token }: Door) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } });

async function connect(door: Door, mode: VersionNegotiationOptions['mode'], speaks: Revision): Promise<Client> {
  const client = new Client(self, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(door.url), bearer(door)));
  const agreed = client.getNegotiatedProtocolVersion();
  if (agreed !== speaks) throw new Error(`they agreed on ${agreed}, not on ${speaks}`);
  return client;
}

function second(how: string, mode: VersionNegotiationOptions['mode'], speaks: Revision): IndependentClient {
  return {
    name: `@modelcontextprotocol/client, ${how}`,
    speaks,
    knownAs: speaks === '2026-07-28' ? 'e2e/1.0.0' : 'node',
    list: async (door) => {
      await using client = closing(await connect(door, mode, speaks));
      return (await client.it.listTools()).tools.map(({ name }) => name);
    },
    call: async (door, name, args) => {
      await using client = closing(await connect(door, mode, speaks));
      // Listing first makes it hold the answer against the tool's output schema.
      await client.it.listTools();
      return answerOf(await client.it.callTool({ name, arguments: args }));
    },
  };
}

async function connectFirst(door: Door): Promise<FirstClient> {
  const client = new FirstClient(self);
  await client.connect(new FirstTransport(new URL(door.url), bearer(door)));
  return client;
}

const first: IndependentClient = {
  name: '@modelcontextprotocol/sdk 1.x',
  speaks: '2025-11-25',
  knownAs: 'node',
  list: async (door) => {
    await using client = closing(await connectFirst(door));
    return (await client.it.listTools()).tools.map(({ name }) => name);
  },
  call: async (door, name, args) => {
    await using client = closing(await connectFirst(door));
    await client.it.listTools();
    return answerOf(await client.it.callTool({ name, arguments: args }));
  },
};

function closing<C extends { close(): Promise<void> }>(it: C): AsyncDisposable & { it: C } {
  return { it, [Symbol.asyncDispose]: () => it.close() };
}

export const officialClients: IndependentClient[] = [
  second('auto', 'auto', '2026-07-28'),
  second('pinned', { pin: '2026-07-28' }, '2026-07-28'),
  second('legacy', 'legacy', '2025-11-25'),
  first,
];
