import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditLog, nodeSegmentFiles, readAudit } from '@coral/audit';
import type { AuditKind, AuditRow, SegmentFiles } from '@coral/audit';
import { AccessTokens, newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { openDirectMesh } from '@coral/mesh';
import type { DirectMesh } from '@coral/mesh';
import { keyIdOf, parseDuration } from '@coral/model';
import type { UserId } from '@coral/model';
import { parsePolicy } from '@coral/policy';
import type { colonyV1 } from '@coral/rpc';
import { AdminService } from '../admin/admin.service.js';
import { openBootClock } from '../control/boot-clock.js';
import type { BootClock } from '../control/boot-clock.js';
import { ControlDb } from '../control/control-db.js';
import { ApiTokenRepository } from '../credentials/api-token.repository.js';
import { JoinTokenRepository } from '../credentials/join-token.repository.js';
import type { CallContext } from '../edge/call-context.js';
import { AgentRepository } from '../enroll/agent.repository.js';
import { AgentRoster } from '../enroll/agent-roster.js';
import { EnrollService } from '../enroll/enroll.service.js';
import { AccessAudit } from '../ephemeral/access-audit.js';
import type { Asker } from '../ephemeral/access-audit.js';
import { EphemeralService } from '../ephemeral/ephemeral.service.js';
import { LeaseEnds } from '../ephemeral/lease-ends.js';
import { LeaseRepository } from '../ephemeral/lease.repository.js';
import { PublicAccess } from '../ephemeral/public-access.js';
import { AddressPlan } from '../mesh/address-plan.js';
import { ColonyMesh } from '../mesh/colony-mesh.js';

/** A disk under the audit that can be told to be full. */
export class FaultyDisk implements SegmentFiles {
  full = false;
  readonly makeDirectory = nodeSegmentFiles.makeDirectory;
  readonly list = nodeSegmentFiles.list;
  readonly syncDirectory = nodeSegmentFiles.syncDirectory;

  readonly open: SegmentFiles['open'] = async (path) => {
    const file = await nodeSegmentFiles.open(path);
    const write = async (bytes: Uint8Array, position: number): Promise<number> => {
      const written = await file.write(bytes, position);
      if (this.full) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      return written;
    };
    return { ...file, write };
  };
}

/** A wall clock that can be set; the monotonic hand is the machine's. */
export class SettableClock implements BootClock {
  private readonly real = openBootClock();
  readonly bootId = this.real.bootId;
  wallOffset = 0;
  readonly now = () => this.real.now() + this.wallOffset;
  readonly monotonic = () => this.real.monotonic();
}

export const callFromHere: CallContext = {
  remoteAddress: '127.0.0.1',
  userAgent: 'spec',
  reachedAs: 'coral.example.com:41820',
  isGone: () => false,
  person: undefined,
  peer: undefined,
};

export function asker(userId: string, tokenId = `token-of-${userId}`): Asker {
  return { person: { userId: userId as UserId, tokenId }, call: callFromHere };
}

export const specPolicy = parsePolicy(
  'version: 1\nroles:\n  security:\n    permissions: [manage:leases]\nbindings:\n  - role: security\n    users: [riley]\n',
  'policy.yaml',
);

/** The rooms around leases and agents, all real, on a disk that can fail. */
export async function openRooms({ enabled = true } = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'coral-rooms-'));
  const stack = new AsyncDisposableStack();
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const clock = new SettableClock();
  const disk = new FaultyDisk();
  const db = stack.use(ControlDb.open(directory));
  const auditDirectory = join(directory, 'audit');
  const audit = stack.use(await AuditLog.open({ directory: auditDirectory, clock, files: disk }));
  const mesh = stack.use(
    await ColonyMesh.open({
      driver: 'direct',
      keysDirectory: join(directory, 'keys'),
      plan: new AddressPlan('10.137.0.0/16', 'fd42:c0a1::/48'),
      listen: { host: '127.0.0.1', port: 0 },
      production: false,
      clock,
      onRefused: () => undefined,
      onEvent: () => undefined,
    }),
  );
  const agents = new AgentRepository(db);
  const roster = stack.use(
    new AgentRoster(agents, (thrown) => {
      throw thrown;
    }),
  );
  roster.admitAll(mesh);
  const leases = new LeaseRepository(db, clock, {
    defaultTtl: parseDuration('5m'),
    maxTtl: parseDuration('15m'),
    maxConcurrentPerUser: 3,
    maxPublicPerUser: 2,
  });
  const ends = new LeaseEnds(leases, mesh, audit);
  const tokens = await AccessTokens.open({ keyFile: join(directory, 'keys', 'token.jwk'), colonyId: 'spec', clock });
  const publicAccess = new PublicAccess({
    enabled,
    leases,
    ends,
    tokens,
    audit: new AccessAudit(audit),
    policy: () => specPolicy,
  });
  const ephemeral = new EphemeralService({
    enabled,
    leases,
    ends,
    mesh,
    tokens,
    audit: new AccessAudit(audit),
    policy: () => specPolicy,
    isPermanentKey: (key) => mesh.isOwnKey(key) || agents.findByKey(keyIdOf(key)) !== undefined,
  });
  const apiTokens = new ApiTokenRepository(db, clock);
  const joinTokens = new JoinTokenRepository(db, clock);
  return {
    directory,
    clock,
    disk,
    db,
    audit,
    mesh,
    agents,
    roster,
    leases,
    ends,
    tokens,
    ephemeral,
    publicAccess,
    apiTokens,
    joinTokens,
    enrolment: new EnrollService({ db, agents, joinTokens, mesh, audit, clock }),
    admin: new AdminService({ apiTokens, joinTokens, audit, endLeasesOf: (id) => ephemeral.endLeasesOf(id) }),
    rows: async (...kinds: AuditKind[]): Promise<AuditRow[]> => {
      const rows: AuditRow[] = [];
      for await (const row of readAudit(auditDirectory)) if (kinds.includes(row.kind)) rows.push(row);
      return rows;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

export type Rooms = Awaited<ReturnType<typeof openRooms>>;

/** Key pair and certificate of a member of the mesh. */
export async function newMember() {
  return { keyPair: newWireGuardKeyPair(), certificate: await newSelfSigned('spec') };
}

/** A member's own end of the mesh, told where the colony is. */
export async function joinAs(
  member: Awaited<ReturnType<typeof newMember>>,
  settings: colonyV1.MeshSettings,
  listen?: { host: string; port: number },
): Promise<DirectMesh> {
  const clock = openBootClock();
  const mesh = await openDirectMesh({
    ...member,
    production: false,
    clock,
    ...(listen === undefined ? {} : { listen }),
  });
  mesh.addPeer({
    keyId: keyIdOf(settings.colonyPublicKey),
    publicKey: settings.colonyPublicKey,
    addresses: [settings.colonyAddressV4, settings.colonyAddressV6],
    direct: {
      certificateSha256: settings.direct?.certificateSha256 ?? Buffer.alloc(0),
      endpoint: settings.direct?.endpoint ?? '',
    },
  });
  return mesh;
}
