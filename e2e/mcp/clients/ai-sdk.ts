import { createMCPClient, type MCPClient } from '@ai-sdk/mcp';
import { answerOf, type Door, type IndependentClient, type Revision } from './client.js';

async function open({ url, token }: Door, discover: boolean): Promise<AsyncDisposable & { it: MCPClient }> {
  const it = await createMCPClient({
    transport: { type: 'http', url, headers: { authorization: `Bearer ${token}` } },
    protocolVersionDiscovery: discover,
  });
  return { it, [Symbol.asyncDispose]: () => it.close() };
}

function client(how: string, speaks: Revision): IndependentClient {
  const discover = speaks === '2026-07-28';
  return {
    name: `@ai-sdk/mcp, ${how}`,
    speaks,
    knownAs: discover ? 'ai-sdk-mcp-client/' : 'ai-sdk/',
    list: async (door) => {
      await using mcp = await open(door, discover);
      return (await mcp.it.listTools()).tools.map(({ name }) => name);
    },
    call: async (door, name, args) => {
      await using mcp = await open(door, discover);
      return answerOf(await mcp.it.callTool({ name, arguments: args }));
    },
  };
}

/** A client of its own making: nothing of the official SDK is in it. */
export const aiSdkClients = [client('as it comes', '2026-07-28'), client('without discovery', '2025-11-25')];
