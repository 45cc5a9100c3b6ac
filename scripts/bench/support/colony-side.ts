import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fetchPinnedCa } from '@coral/rpc';
import { stringify } from 'yaml';
import { exchangeToken } from '../../../e2e/mcp/public-token.js';
import { postTraces, several } from '../../../e2e/support/otlp-post.js';
import { Person, PublicClients } from '../../../e2e/support/start-colony.js';
import { until } from '../../../e2e/support/until.js';
import type { AgentReady } from '../../demo/coral-system.js';
import { coral, projectRoot, start } from '../../demo/processes.js';
import { toolCall } from './call.js';
import { post } from './http-load.js';
import { overTls, throughMesh, type Side } from './side.js';

/** Where the colony serves MCP over HTTP inside the mesh. */
const meshHttpPort = 9_080;
/** As long as a lease may be. */
const leaseSeconds = 900;
const user = 'bench';

const policy = {
  version: 1,
  roles: { reader: { permissions: ['read:health', 'read:metrics', 'read:topology', 'read:events', 'read:live_data'] } },
  bindings: [{ role: 'reader', users: [user] }],
};

interface ColonyReady {
  endpoint: string;
  ca_fingerprint: string;
}

/** A colony as its configuration makes it, with one service in its store. `program` is a file in dist, `node` options of Node. */
export async function openColony(folder: string, program: string, node: string[] = []): Promise<Side> {
  await using undo = new AsyncDisposableStack();
  await mkdir(folder, { mode: 0o700 });
  await writeFile(join(folder, 'policy.yaml'), stringify(policy));
  const configuration = {
    data_dir: join(folder, 'colony'),
    listen: '127.0.0.1:0',
    ops_listen: '127.0.0.1:0',
    policy_file: join(folder, 'policy.yaml'),
    // As the bare server's: what a call costs is asked here, not what carries it.
    mesh: { driver: 'direct' },
    mcp_server: { public: true },
    ephemeral_agents: { default_ttl: `${leaseSeconds}s` },
  };
  const file = join(folder, 'colony.yaml');
  await writeFile(file, stringify(configuration));
  const args = [...node, join(projectRoot, 'dist', program), '--config', file];
  const colony = await start<ColonyReady>({ name: program, args });
  undo.defer(() => colony.stop());
  const { endpoint, ca_fingerprint: fingerprint } = colony.ready;
  const caPem = await fetchPinnedCa(endpoint, fingerprint);
  const { token } = await administer(folder, ['colony', 'token', 'create', '--user', user]);
  const person = new Person(user, String(token), '', new PublicClients(endpoint, caPem));
  undo.defer(() => person.door[Symbol.dispose]());
  const lease = undo.use(await person.lease(leaseSeconds));
  const exchanged = await exchangeToken(endpoint, caPem, person.token);
  const side: Omit<Side, typeof Symbol.asyncDispose> = {
    pid: colony.child.pid ?? 0,
    ways: {
      public: overTls(endpoint, caPem),
      mesh: throughMesh(lease.mesh, lease.colonyAddress, meshHttpPort),
    },
    tokens: { public: exchanged.access_token, mesh: lease.answer.accessToken },
  };
  await putOneServiceIn(folder, colony.ready, side);
  const opened = undo.move();
  return { ...side, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** What a command of the CLI said that talks to the colony's admin socket. */
async function administer(folder: string, words: string[]): Promise<Record<string, unknown>> {
  const socket = join(folder, 'colony', 'admin.sock');
  const done = await coral([...words, '--admin-socket', socket, '--json'], { HOME: folder });
  if (done.code !== 0) throw new Error(`coral ${words.join(' ')} failed\n${done.stderr}`);
  return JSON.parse(done.stdout) as Record<string, unknown>;
}

/** Its agent is gone before anything is measured. */
async function putOneServiceIn(
  folder: string,
  colony: ColonyReady,
  side: Pick<Side, 'ways' | 'tokens'>,
): Promise<void> {
  const { join_token: joinToken } = await administer(folder, ['colony', 'join-token', 'create', '--owner', user]);
  const configuration = {
    name: 'bench',
    data_dir: join(folder, 'agent'),
    environment: 'development',
    colony: { endpoint: colony.endpoint, ca_fingerprint: colony.ca_fingerprint },
    join_token: 'env://CORAL_JOIN_TOKEN',
    otlp: { grpc: { listen: '127.0.0.1:0' }, http: { listen: '127.0.0.1:0' } },
    ops: { listen: '127.0.0.1:0' },
    summaries: { interval: '1s' },
  };
  const file = join(folder, 'agent.yaml');
  await writeFile(file, stringify(configuration));
  const args = [join(projectRoot, 'dist/agent.js'), '--config', file];
  const agent = await start<AgentReady>({ name: 'agent', args, env: { CORAL_JOIN_TOKEN: String(joinToken) } });
  try {
    await postTraces(agent.ready.otlp_http, several(100, { service: 'one-service' }));
    await until(async () => (await askOnce(side)).body.includes('one-service'), 'a service in the answer');
  } finally {
    await agent.stop();
  }
}

export async function askOnce(side: Pick<Side, 'ways' | 'tokens'>): Promise<{ status: number; body: string }> {
  return await post({ ...side.ways.public, ...toolCall(side.tokens.public) });
}
