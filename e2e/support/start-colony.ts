import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { credentials, Metadata } from '@grpc/grpc-js';
import { readAudit, verifyAudit } from '@coral/audit';
import type { AuditRow } from '@coral/audit';
import { newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import type { Mesh } from '@coral/mesh';
import { keyIdOf, systemClock } from '@coral/model';
import {
  callUnary,
  colonyV1,
  fetchPinnedCa,
  joinMesh,
  openMeshChannel,
  pinnedCredentials,
  type JoinedMesh,
} from '@coral/rpc';
import { stringify } from 'yaml';

const program = join(import.meta.dirname, '../../dist/colony.js');

/** Three people: `alex` may do everything a developer may, `riley` manages leases, `sam` has no role. */
export const policyText = `version: 1
roles:
  developer:
    permissions: [read:metrics, read:topology, read:events, read:health]
  security:
    permissions: [manage:leases]
bindings:
  - role: developer
    users: [alex, jordan]
  - role: security
    users: [riley]
`;

interface Ready {
  endpoint: string;
  ca_fingerprint: string;
  ops: string;
}

export interface ColonySettings {
  policy?: string;
  /** Merged over the settings of colony.yaml that every spec needs. */
  config?: Record<string, unknown>;
}

/** What came of a program that ended by itself. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export async function runColony(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], { env: { PATH: process.env['PATH'], ...env } });
  const out = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (out.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (out.stderr += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, ...out };
}

/** The real program in a folder of its own, and clients of all its doors. */
export class ColonyUnderTest implements AsyncDisposable {
  readonly directory: string;
  ready: Ready;
  private child: ChildProcess | undefined;
  private log: string[] = [];

  private constructor(directory: string) {
    this.directory = directory;
    this.ready = { endpoint: '', ca_fingerprint: '', ops: '' };
  }

  static async start(settings: ColonySettings = {}): Promise<ColonyUnderTest> {
    const colony = await ColonyUnderTest.prepare(settings);
    try {
      await colony.run();
    } catch (thrown) {
      await colony[Symbol.asyncDispose]();
      throw thrown;
    }
    return colony;
  }

  /** Everything but the process. */
  static async prepare(settings: ColonySettings = {}): Promise<ColonyUnderTest> {
    const directory = await mkdtemp(join(tmpdir(), 'coral-e2e-'));
    const colony = new ColonyUnderTest(directory);
    await writeFile(colony.policyFile, settings.policy ?? policyText);
    await colony.configure(settings.config);
    return colony;
  }

  get policyFile(): string {
    return join(this.directory, 'policy.yaml');
  }
  get configFile(): string {
    return join(this.directory, 'colony.yaml');
  }
  get dataDirectory(): string {
    return join(this.directory, 'data');
  }
  get auditDirectory(): string {
    return join(this.dataDirectory, 'audit');
  }
  /** Of the process of now. */
  get pid(): number {
    return this.child?.pid ?? 0;
  }

  async configure(config: Record<string, unknown> = {}): Promise<void> {
    const needed = { data_dir: 'data', listen: '127.0.0.1:0', ops_listen: '127.0.0.1:0' };
    await writeFile(this.configFile, stringify({ ...needed, ...config }));
  }

  async run(): Promise<void> {
    const child = spawn(process.execPath, [program, '--config', this.configFile], {
      env: { PATH: process.env['PATH'] },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    child.stderr.on('data', (chunk: Buffer) => this.log.push(chunk.toString()));
    const [line] = (await Promise.race([
      once(createInterface({ input: child.stdout }), 'line'),
      once(child, 'exit').then(([code]) => {
        throw new Error(`the colony ended with ${code}\n${this.log.join('')}`);
      }),
    ])) as [string];
    this.ready = JSON.parse(line) as Ready;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    const { child } = this;
    if (child === undefined) return { code: null, signal: null };
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    }
    return { code: child.exitCode, signal: child.signalCode };
  }

  /** What the process wrote to stderr so far, one object per line. */
  logLines(): Record<string, unknown>[] {
    const lines = this.log.join('').split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async audit(): Promise<AuditRow[]> {
    const rows: AuditRow[] = [];
    for await (const row of readAudit(this.auditDirectory)) rows.push(row);
    return rows;
  }

  async verifyAudit(): ReturnType<typeof verifyAudit> {
    return await verifyAudit(this.auditDirectory);
  }

  async rowsOf(kind: AuditRow['kind']): Promise<AuditRow[]> {
    return (await this.audit()).filter((row) => row.kind === kind);
  }

  /** For hooks: throws unless the whole chain of the audit holds. */
  async mustVerify(): Promise<void> {
    const verdict = await this.verifyAudit();
    if (!verdict.ok) throw new Error(`the audit is broken: ${JSON.stringify(verdict)}`);
  }

  async caPem(): Promise<string> {
    return await fetchPinnedCa(this.ready.endpoint, this.ready.ca_fingerprint);
  }

  admin(): colonyV1.AdminServiceClient {
    return new colonyV1.AdminServiceClient(
      `unix:${join(this.dataDirectory, 'admin.sock')}`,
      credentials.createInsecure(),
    );
  }

  async apiToken(userId: string): Promise<colonyV1.CreateApiTokenResponse> {
    using admin = closing(this.admin());
    const request = { userId, ttl: undefined, note: 'e2e' };
    return await callUnary(admin.client, admin.client.createApiToken, request);
  }

  async joinToken(owner = 'alex'): Promise<string> {
    using admin = closing(this.admin());
    const request = { owner, labels: { zone: 'a' }, ttl: undefined };
    return (await callUnary(admin.client, admin.client.createJoinToken, request)).joinToken;
  }

  /** A person with an API token, and a laptop. */
  async person(userId: string): Promise<Person> {
    const { token, tokenId } = await this.apiToken(userId);
    return new Person(userId, token, tokenId, await this.publicDoor());
  }

  async publicDoor(): Promise<PublicClients> {
    return new PublicClients(this.ready.endpoint, await this.caPem());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill('SIGTERM');
    await rm(this.directory, { recursive: true, force: true });
  }
}

export function closing<C extends { close(): void }>(client: C): Disposable & { client: C } {
  return { client, [Symbol.dispose]: () => client.close() };
}

export function bearer(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** Clients of the services on the public port. */
export class PublicClients implements Disposable {
  readonly colony: colonyV1.ColonyServiceClient;
  readonly ephemeral: colonyV1.EphemeralAgentServiceClient;
  readonly enrollment: colonyV1.AgentEnrollmentServiceClient;

  readonly endpoint: string;

  constructor(endpoint: string, caPem: string) {
    this.endpoint = endpoint;
    const trust = pinnedCredentials(caPem);
    this.colony = new colonyV1.ColonyServiceClient(endpoint, trust);
    this.ephemeral = new colonyV1.EphemeralAgentServiceClient(endpoint, trust);
    this.enrollment = new colonyV1.AgentEnrollmentServiceClient(endpoint, trust);
  }

  [Symbol.dispose](): void {
    this.colony.close();
    this.ephemeral.close();
    this.enrollment.close();
  }
}

/** Key pair and certificate of one end of the mesh. */
export async function newIdentity() {
  const keyPair = newWireGuardKeyPair();
  return { keyPair, keyId: keyIdOf(keyPair.publicKey), certificate: await newSelfSigned('laptop') };
}

export type Identity = Awaited<ReturnType<typeof newIdentity>>;

/** A lease, with the laptop's end of the mesh. */
export class Leased implements AsyncDisposable {
  readonly answer: colonyV1.RequestEphemeralAccessResponse;
  readonly identity: Identity;
  readonly mesh: Mesh;

  constructor(answer: colonyV1.RequestEphemeralAccessResponse, identity: Identity, mesh: Mesh) {
    this.answer = answer;
    this.identity = identity;
    this.mesh = mesh;
  }

  get colonyAddress(): string {
    return this.answer.mesh?.colonyAddressV4 ?? '';
  }

  /** One JSON-RPC exchange over the mesh; the frames that came back. */
  async exchange(message: unknown, token = this.answer.accessToken): Promise<Record<string, unknown>[]> {
    const channel = await openMeshChannel(this.mesh, this.colonyAddress, 9_000);
    using mcp = closing(new colonyV1.McpServiceClient(channel.target, credentials.createInsecure()));
    try {
      const bytes = Buffer.isBuffer(message) ? message : Buffer.from(JSON.stringify(message));
      const call = mcp.client.exchange({ json: bytes }, bearer(token), { deadline: Date.now() + 20_000 });
      const frames: Record<string, unknown>[] = [];
      for await (const { json } of call as AsyncIterable<colonyV1.ExchangeResponse>) {
        frames.push(JSON.parse(json.toString()) as Record<string, unknown>);
      }
      return frames;
    } finally {
      await channel.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mesh.close();
  }
}

export class Person {
  readonly userId: string;
  readonly token: string;
  readonly tokenId: string;
  readonly door: PublicClients;

  constructor(userId: string, token: string, tokenId: string, door: PublicClients) {
    this.userId = userId;
    this.token = token;
    this.tokenId = tokenId;
    this.door = door;
  }

  async request(
    fields: Partial<colonyV1.RequestEphemeralAccessRequest> = {},
  ): Promise<colonyV1.RequestEphemeralAccessResponse> {
    const { ephemeral } = this.door;
    const request = {
      userId: this.userId,
      ttl: undefined,
      purpose: 'coral ask',
      clientPublicKey: Buffer.alloc(0),
      directCertificateSha256: Buffer.alloc(0),
      ...fields,
    };
    return await callUnary(ephemeral, ephemeral.requestEphemeralAccess, request, { metadata: bearer(this.token) });
  }

  /** A lease on a fresh key, and the laptop's end of the mesh opened with it. */
  async lease(ttlSeconds?: number): Promise<Leased> {
    const identity = await newIdentity();
    const answer = await this.request({
      clientPublicKey: identity.keyPair.publicKey,
      directCertificateSha256: identity.certificate.sha256,
      ttl: ttlSeconds === undefined ? undefined : { seconds: ttlSeconds, nanos: 0 },
    });
    return new Leased(answer, identity, await joinAs(answer, identity, this.door.endpoint));
  }

  async release(agentId: string): Promise<colonyV1.ReleaseEphemeralAccessResponse> {
    const { ephemeral } = this.door;
    return await callUnary(ephemeral, ephemeral.releaseEphemeralAccess, { agentId }, { metadata: bearer(this.token) });
  }

  async list(userId = ''): Promise<colonyV1.EphemeralAgent[]> {
    const { ephemeral } = this.door;
    const metadata = bearer(this.token);
    return (await callUnary(ephemeral, ephemeral.listEphemeralAgents, { userId }, { metadata })).agents;
  }
}

/** The laptop's end of the mesh, as the CLI opens it. */
export async function joinAs(
  answer: { mesh: colonyV1.MeshSettings | undefined },
  identity: Identity,
  colonyEndpoint: string,
): Promise<JoinedMesh> {
  if (answer.mesh === undefined) throw new Error('the colony gave no settings for the mesh');
  const { keyPair, certificate } = identity;
  const listen = { host: '127.0.0.1', port: 0 };
  return joinMesh({
    settings: answer.mesh,
    keyPair,
    colonyEndpoint,
    clock: systemClock,
    direct: { certificate, listen, production: false },
  });
}

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'e2e', version: '1' },
};

export function jsonRpc(method: string, params: Record<string, unknown> = {}): Record<string, unknown> {
  return { jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: meta } };
}

export function toolCall(name: string, args: Record<string, unknown> = {}): Record<string, unknown> {
  return jsonRpc('tools/call', { name, arguments: args });
}

const hundred = Array.from({ length: 100 }, (_, n) => n).join(', ');

/** Allowed by the gate, and longer than anybody waits: 10^12 products. */
export const slowSql = `WITH numbers AS (SELECT unnest([${hundred}]) AS x)
  SELECT sum(a.x * f.x) FROM numbers a, numbers b, numbers c, numbers d, numbers e, numbers f`;
