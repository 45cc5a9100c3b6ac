import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { projectRoot } from '../../scripts/demo/processes.js';
import { ColonyUnderTest, runColony, type Ended } from '../support/start-colony.js';
import { ended, type Fault, type Seen } from './fault.js';
import type { FaultWorld } from './world.js';

/** A colony of its own that is prepared by `spoil` and must not start. */
const colony = (spoil: (prepared: ColonyUnderTest) => Promise<unknown>) => async (): Promise<Seen> => {
  await using prepared = await ColonyUnderTest.prepare();
  await using undo = new AsyncDisposableStack();
  const holder = await spoil(prepared);
  if (isDisposable(holder)) undo.use(holder);
  return ended(await runColony(['--config', prepared.configFile]));
};

function isDisposable(value: unknown): value is AsyncDisposable {
  return typeof value === 'object' && value !== null && Symbol.asyncDispose in value;
}

/** A port in use, until it is disposed. */
async function takenPort(): Promise<AsyncDisposable & { address: string }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}

async function runAgent(configFile: string): Promise<Ended> {
  const args = [join(projectRoot, 'dist/agent.js'), '--config', configFile];
  const child = spawn(process.execPath, args, { env: { PATH: process.env['PATH'] } });
  const out = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (out.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (out.stderr += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, ...out };
}

/** Another agent with the configuration of the world's, changed by `over`, that must not start. */
const agent =
  (over: (world: FaultWorld, port: string) => object) =>
  async (world: FaultWorld): Promise<Seen> => {
    await using holder = await takenPort();
    const { endpoint, ca_fingerprint } = world.system.colony.ready;
    const listen = '127.0.0.1:0';
    const file = join(world.system.folder, 'agent-refused.yaml');
    const configuration = {
      name: 'refused-1',
      data_dir: join(world.system.folder, 'agent-refused'),
      environment: 'development',
      colony: { endpoint, ca_fingerprint },
      otlp: { grpc: { listen }, http: { listen } },
      ops: { listen },
      ...over(world, holder.address),
    };
    await writeFile(file, stringify(configuration));
    return ended(await runAgent(file));
  };

async function malformedAgentFile(world: FaultWorld): Promise<Seen> {
  const file = join(world.system.folder, 'agent-malformed.yaml');
  await writeFile(file, 'name: edge-1\ncolony: {endpoint\n');
  return ended(await runAgent(file));
}

/** Programs that must not start, and say which line of which file to change. */
export const startFaults: Fault[] = [
  {
    input: 'malformed YAML in colony.yaml',
    see: colony((prepared) => writeFile(prepared.configFile, 'colony:\n  id: "shop\n')),
    kind: 'failed_precondition',
    reason: 'bad_config',
    exit: 78,
    next: /colony\.yaml/,
  },
  {
    input: 'malformed YAML in agent.yaml',
    see: malformedAgentFile,
    kind: 'failed_precondition',
    reason: 'bad_config',
    exit: 78,
    next: /agent-malformed\.yaml/,
  },
  {
    input: 'a model in colony.yaml',
    see: colony(async (prepared) => {
      await writeFile(prepared.configFile, `${await readFile(prepared.configFile, 'utf8')}ai: {provider: openai}\n`);
    }),
    kind: 'failed_precondition',
    reason: 'bad_config',
    exit: 78,
    next: /colony\.yaml/,
  },
  {
    input: 'a broken policy',
    see: colony((prepared) => writeFile(prepared.policyFile, 'version: 1\nroles:\n  a: {permissions: [read:all]}\n')),
    kind: 'failed_precondition',
    reason: 'bad_config',
    exit: 78,
    next: /policy\.yaml/,
  },
  {
    input: 'a data directory in use, by a colony',
    see: colony((prepared) => prepared.run()),
    kind: 'failed_precondition',
    reason: 'data_directory_in_use',
    exit: 78,
    next: /data_dir|directory/,
  },
  {
    input: 'a data directory in use, by an agent',
    see: agent((world) => ({ data_dir: join(world.system.folder, 'agent-orders-1') })),
    kind: 'failed_precondition',
    reason: 'data_dir_in_use',
    exit: 78,
    next: /data_dir/,
  },
  {
    input: "a colony's port taken",
    see: colony(async (prepared) => {
      const holder = await takenPort();
      await prepared.configure({ listen: holder.address });
      return holder;
    }),
    kind: 'failed_precondition',
    reason: 'port_taken',
    exit: 78,
    next: /`listen`/,
  },
  {
    input: "an agent's port taken",
    see: agent((_world, port) => ({ otlp: { grpc: { listen: '127.0.0.1:0' }, http: { listen: port } } })),
    kind: 'failed_precondition',
    reason: 'port_taken',
    exit: 78,
    next: /otlp\.http\.listen/,
  },
  {
    input: 'an agent without a join token',
    see: agent(() => ({})),
    kind: 'failed_precondition',
    reason: 'not_enrolled',
    exit: 78,
    next: /join token/,
  },
  {
    input: 'an agent that is shown the fingerprint of another CA',
    see: agent((world) => ({
      join_token: 'coral_join_abcdefghijkl_nonsense',
      colony: { endpoint: world.system.colony.ready.endpoint, ca_fingerprint: `sha256:${'0'.repeat(64)}` },
    })),
    kind: 'failed_precondition',
    reason: 'wrong_ca',
    exit: 78,
    next: /fingerprint/,
  },
  {
    input: 'an audit directory that cannot be one',
    see: colony(async (prepared) => {
      await mkdir(prepared.dataDirectory);
      await writeFile(join(prepared.dataDirectory, 'audit'), 'in the way');
    }),
    kind: 'unavailable',
    reason: 'audit_unavailable',
    exit: 6,
    next: /audit directory/,
  },
];
