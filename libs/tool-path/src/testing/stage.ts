import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditLog, nodeSegmentFiles, readAudit, type AuditRow, type SegmentFiles } from '@coral/audit';
import { AccessTokens } from '@coral/auth';
import type { CoralError } from '@coral/errors';
import { agentIdOf, keyIdOf, type AgentId, type Clock, type KeyId, type Permission, type UserId } from '@coral/model';
import { parsePolicy } from '@coral/policy';
import { toolNames, type ToolEnvelope, type ToolHandler, type ToolName } from '@coral/tools';
import type { ToolPathDeps, ToolRequest, ToolRules } from '../contract.js';
import { ToolPath } from '../tool-call.js';

export type Run = ToolHandler['run'];

export const resource = 'https://colony.test/mcp';

export const policyText = `
version: 1
roles:
  developer: { permissions: ["read:metrics", "read:live_data", "read:topology", "read:events", "read:health"] }
  onlooker: { permissions: ["read:health"] }
groups: { payments: [alex] }
bindings:
  - { role: developer, users: [alex, robin] }
  - { role: onlooker, users: [jordan] }
`;

const required: ToolRules['required'] = {
  coral_query: { permission: 'read:metrics' },
  coral_fetch_live: { permission: 'read:live_data', additionalCheck: 'agent_owner_match' },
  coral_get_topology: { permission: 'read:topology' },
  coral_query_events: { permission: 'read:events' },
  coral_get_health: { permission: 'read:health' },
};

export function envelope(data: unknown = { services: [] }): ToolEnvelope {
  return {
    data: data as ToolEnvelope['data'],
    status: 'ok',
    window: { from: '2026-01-01T00:00:00.000Z', to: '2026-01-01T01:00:00.000Z' },
    freshness: { newest: null, age_ms: null },
    coverage: { asked: 2, answered: ['agt-a'], late: [], silent: ['agt-b'], denied: [] },
    sampling: { factor: 1 },
    truncation: { truncated: false },
    notes: [],
  };
}

/** Holds or fails the syncs of a real log: the moment in which a row becomes durable. */
export class SyncGate implements SegmentFiles {
  /** Runs when bytes are written and not yet known to be durable; what it throws, the write throws. Counts from 1. */
  before: (sync: number) => void | Promise<void> = () => undefined;
  syncs = 0;
  makeDirectory = nodeSegmentFiles.makeDirectory;
  list = nodeSegmentFiles.list;
  syncDirectory = nodeSegmentFiles.syncDirectory;

  async open(path: string): ReturnType<SegmentFiles['open']> {
    const file = await nodeSegmentFiles.open(path);
    const write = async (bytes: Uint8Array, position: number): Promise<number> => {
      const written = await file.write(bytes, position);
      this.syncs += 1;
      await this.before(this.syncs);
      return written;
    };
    return { ...file, write };
  }
}

export interface Lessee {
  token: string;
  peer: KeyId | undefined;
  agentId: AgentId;
  lease: { expiresAt: number; keyId: KeyId | undefined };
}

export interface Stage extends AsyncDisposable {
  path: ToolPath;
  clock: Clock & { at: number };
  gate: SyncGate;
  log: AuditLog;
  handlers: Map<ToolName, ToolHandler>;
  leases: Map<string, Lessee['lease']>;
  internal: CoralError[];
  /** Calls of handlers, in order. */
  ran: { name: ToolName; args: unknown }[];
  setPolicy(text: string): void;
  lessee(user: string, leaseMs?: number): Promise<Lessee>;
  /** Somebody at the public door. */
  guest(user: string, scope?: Permission[]): Promise<Lessee>;
  /** Ends a lease before its time. */
  end(who: Lessee): void;
  request(who: Lessee, more?: Partial<ToolRequest>): ToolRequest;
  /** Rows of the log but the genesis. */
  rows(): Promise<AuditRow[]>;
}

export async function openStage(rules: Partial<ToolRules> = {}): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'coral-tool-path-'));
  const audit = join(directory, 'audit');
  const clock = { at: Date.UTC(2026, 0, 1), now: () => clock.at, monotonic: () => clock.at };
  const gate = new SyncGate();
  const log = await AuditLog.open({ directory: audit, clock, files: gate });
  const tokens = await AccessTokens.open({ keyFile: join(directory, 'token.key'), colonyId: 'shop', clock });
  const leases: Stage['leases'] = new Map();
  const ends = new Map<string, AbortController>();
  const ran: Stage['ran'] = [];
  const internal: CoralError[] = [];
  let policy = parsePolicy(policyText, 'policy.yaml');
  const handlers = new Map<ToolName, ToolHandler>(
    toolNames.map((name) => [name, { name, run: () => Promise.resolve(envelope()) }]),
  );
  const spied = new Map<ToolName, ToolHandler>(
    toolNames.map((name) => [
      name,
      {
        name,
        run: async (args, context) => {
          ran.push({ name, args });
          const handler = handlers.get(name);
          if (!handler) throw new Error('no handler');
          return handler.run(args, context);
        },
      },
    ]),
  );
  const deps: ToolPathDeps = {
    verifyToken: (token, now, audience) => tokens.verify(token, now, audience === 'mesh' ? 'mesh' : { resource }),
    lease: (agentId) => leases.get(agentId),
    leaseEnd: (agentId) => {
      const end = ends.get(agentId) ?? new AbortController();
      ends.set(agentId, end);
      return end.signal;
    },
    policy: () => policy,
    audit: log,
    handlers: spied,
    ownerOfAgent: (agentId) => ({ 'agt-pay': 'group:payments', 'agt-web': 'robin' })[agentId],
    rules: {
      enabled: toolNames,
      required,
      redactFields: ['*.password', '*.api_key', '*.secret'],
      maxResponseBytes: 1_048_576,
      deadlineMs: 10_000,
      ...rules,
    },
    clock,
    onInternalError: (error) => internal.push(error),
  };
  const leave = async (): Promise<void> => {
    await log.close();
    await rm(directory, { recursive: true });
  };
  let path: ToolPath;
  try {
    path = new ToolPath(deps);
  } catch (thrown) {
    await leave();
    throw thrown;
  }
  let keys = 0;
  return {
    path,
    clock,
    gate,
    log,
    handlers,
    leases,
    ran,
    internal,
    setPolicy: (text) => (policy = parsePolicy(text, 'policy.yaml')),
    async lessee(user, leaseMs = 300_000) {
      const publicKey = new Uint8Array(32).fill((keys += 1));
      const keyId = keyIdOf(publicKey);
      const agentId = agentIdOf(publicKey, 'eph');
      const expiresAt = clock.at + leaseMs;
      const lease = { expiresAt, keyId };
      leases.set(agentId, lease);
      const token = await tokens.issue({ userId: user as UserId, agentId, keyId, permissions: [], expiresAt });
      return { token, peer: keyId, agentId, lease };
    },
    async guest(user, scope) {
      const agentId = agentIdOf(new Uint8Array(32).fill((keys += 1)), 'pub');
      const expiresAt = clock.at + 300_000;
      const lease = { expiresAt, keyId: undefined };
      leases.set(agentId, lease);
      const grant = { userId: user as UserId, agentId, resource, permissions: [], expiresAt };
      const token = await tokens.issue(scope === undefined ? grant : { ...grant, scope });
      return { token, peer: undefined, agentId, lease };
    },
    end: ({ agentId }) => {
      leases.delete(agentId);
      ends.get(agentId)?.abort();
    },
    request: (who, more = {}) => ({
      token: who.token,
      peer: who.peer,
      audience: who.peer === undefined ? 'public' : 'mesh',
      door: 'grpc',
      remoteAddress: '10.137.64.2',
      name: 'coral_get_health',
      args: {},
      signal: new AbortController().signal,
      ...more,
    }),
    async rows() {
      const rows: AuditRow[] = [];
      for await (const row of readAudit(audit, { fromSeq: 1 })) rows.push(row);
      return rows;
    },
    [Symbol.asyncDispose]: leave,
  };
}

/** Serves one tool for this stage. */
export function serve(stage: Stage, name: ToolName, run: Run): void {
  stage.handlers.set(name, { name, run });
}
