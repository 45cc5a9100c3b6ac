import { join } from 'node:path';
import { fetchPinnedCa } from '@coral/rpc';
import { personOf } from '../../../e2e/support/people.js';
import { postTraces, several } from '../../../e2e/support/otlp-post.js';
import { until } from '../../../e2e/support/until.js';
import { exchangeToken } from '../../../e2e/mcp/public-token.js';
import { CoralSystem } from '../../demo/coral-system.js';
import { toolCall } from './call.js';
import { post } from './http-load.js';
import { overTls, throughMesh, type Side } from './side.js';

/** Where the colony serves MCP over HTTP inside the mesh. */
const meshHttpPort = 9_080;
/** As long as a lease may be. */
const leaseSeconds = 900;

const policy = {
  version: 1,
  roles: { reader: { permissions: ['read:health', 'read:metrics', 'read:topology', 'read:events', 'read:live_data'] } },
  bindings: [{ role: 'reader', users: ['bench'] }],
};

/** The real colony, as its configuration makes it: token, rights and the durable audit on every call. */
export async function openColony(folder: string): Promise<Side> {
  await using undo = new AsyncDisposableStack();
  const settings = { mcp_server: { public: true }, ephemeral_agents: { default_ttl: `${leaseSeconds}s` } };
  const system = undo.use(await CoralSystem.open(join(folder, 'system'), policy, 'bench', settings));
  const user = await system.addUser('bench');
  const { endpoint, ca_fingerprint: fingerprint } = system.colony.ready;
  const caPem = await fetchPinnedCa(endpoint, fingerprint);
  const person = await personOf(system, user);
  undo.defer(() => person.door[Symbol.dispose]());
  const lease = undo.use(await person.lease(leaseSeconds));
  const { access_token: token } = await exchangeToken(endpoint, caPem, person.token);
  const side: Side = {
    pid: system.colony.child.pid ?? 0,
    ways: {
      public: overTls(endpoint, caPem),
      mesh: throughMesh(lease.mesh, lease.colonyAddress, meshHttpPort),
    },
    tokens: { public: token, mesh: lease.answer.accessToken },
    [Symbol.asyncDispose]: async () => undefined,
  };
  await putOneServiceIn(system, side);
  const opened = undo.move();
  return { ...side, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** A store with one service in it; its agent is gone before anything is measured. */
async function putOneServiceIn(system: CoralSystem, side: Side): Promise<void> {
  const agent = await system.startAgent('bench', 'bench', { summaries: { interval: '1s' } });
  await postTraces(agent.ready.otlp_http, several(100, { service: 'bench' }));
  await until(async () => (await askOnce(side)).body.includes('\\"bench\\"'), 'a service in the answer');
  await agent.stop();
}

export async function askOnce(side: Side): Promise<{ status: number; body: string }> {
  return await post({ ...side.ways.public, ...toolCall(side.tokens.public) });
}
