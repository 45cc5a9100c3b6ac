import { createServer, type AddressInfo } from 'node:net';
import { Server } from '@modelcontextprotocol/server';
import { toolDefinitions } from '@coral/tools';
import { HttpDoor } from '../../../apps/colony/src/http/http-door.js';
import { HttpRefusals } from '../../../apps/colony/src/http/http-refusals.js';
import { McpAdapter } from '../../../apps/colony/src/mcp/mcp-adapter.js';
import { McpDoor } from '../../../apps/colony/src/mcp/mcp-door.js';
import { McpHttp } from '../../../apps/colony/src/mcp/mcp-http.js';
import { mcpPath } from '../../../apps/colony/src/mcp/mcp-path.js';
import { BackChannel } from './back-channel.js';
import { putFixturesOn } from './fixtures.js';

/** From here on each `Server` of this process has the fixtures, so the colony's adapter needs no opening for tests. */
function putFixturesOnEveryServer(): void {
  const backChannel = new BackChannel();
  const connect = Server.prototype.connect;
  Server.prototype.connect = async function (transport) {
    putFixturesOn(this);
    await connect.call(this, transport);
    backChannel.joinedBy(transport);
  };
}

/**
 * The colony's HTTP door, MCP door and adapter on a plain port of loopback, with the fixtures in place of its tools.
 * Anybody may come in: who may do what is not what the conformance suite asks about, and other specs do.
 */
export async function openFixtureDoor(): Promise<{ url: string; close(): Promise<void> }> {
  putFixturesOnEveryServer();
  const troubles: unknown[] = [];
  const logger = { failure: (_message: string, thrown: unknown) => void troubles.push(thrown) };
  const adapter = new McpAdapter({ id: 'conformance', version: '1.0.0' });
  const everybody = {
    visibleTools: async () => [...toolDefinitions],
    call: () => Promise.reject(new Error('a tool of the colony was called in place of a fixture')),
    refuse: async () => undefined,
  };
  const door = new McpDoor(adapter, everybody);
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  const http = new HttpDoor({
    entrance: { audience: 'public', hosts: new Set(['127.0.0.1']), origins: new Set([`http://${host}`]) },
    routes: new Map([[mcpPath, new McpHttp({ door, audience: 'public', resourceMetadata: undefined, logger })]]),
    refusals: new HttpRefusals({ append: async () => ({}) as never }),
    logger,
  });
  listener.on('connection', (socket) => http.accept(socket, { peer: undefined, remoteAddress: '127.0.0.1' }));
  return {
    url: `http://${host}${mcpPath}`,
    close: async () => {
      listener.close();
      await http.close(0);
      await adapter.close();
      if (troubles.length > 0) throw new AggregateError(troubles, 'the door failed while it served the fixtures');
    },
  };
}
