// A bridge for clients that know only stdio: driven here by the official clients of both generations.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Client as FirstClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as FirstStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { answerOf, type Door, type IndependentClient } from './client.js';
import { environmentOf, programOf } from './program.js';

const self = { name: 'e2e', version: '1.0.0' };

async function bridge(door: Door) {
  const headers = join(door.home, 'headers.txt');
  await writeFile(headers, `Authorization: Bearer ${door.token}\n`, { mode: 0o600 });
  return {
    command: process.execPath,
    args: [
      programOf('mcp-remote/dist/proxy.js'),
      door.url,
      '--header-file',
      headers,
      '--transport',
      'http-only',
      '--silent',
    ],
    env: { ...environmentOf(door), MCP_REMOTE_CONFIG_DIR: join(door.home, 'mcp-remote') },
    stderr: 'ignore' as const,
    cwd: door.home,
  };
}

interface Tools {
  listTools(): Promise<{ tools: { name: string }[] }>;
  callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<object>;
  close(): Promise<void>;
}

function client(
  name: string,
  speaks: IndependentClient['speaks'],
  open: (door: Door) => Promise<Tools>,
): IndependentClient {
  const using = async <T>(door: Door, work: (tools: Tools) => Promise<T>): Promise<T> => {
    const tools = await open(door);
    try {
      return await work(tools);
    } finally {
      await tools.close();
    }
  };
  return {
    name,
    speaks,
    knownAs: speaks === '2026-07-28' ? 'e2e/1.0.0' : 'undici',
    list: (door) => using(door, async (tools) => (await tools.listTools()).tools.map((tool) => tool.name)),
    call: (door, tool, args) =>
      using(door, async (tools) => answerOf(await tools.callTool({ name: tool, arguments: args }))),
  };
}

export const mcpRemoteClients = [
  client('mcp-remote, for a client of 2026', '2026-07-28', async (door) => {
    const modern = new Client(self, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
    await modern.connect(new StdioClientTransport(await bridge(door)));
    return modern;
  }),
  client('mcp-remote, for a client of 2025', '2025-11-25', async (door) => {
    const legacy = new FirstClient(self);
    await legacy.connect(new FirstStdio(await bridge(door)));
    return legacy;
  }),
];
