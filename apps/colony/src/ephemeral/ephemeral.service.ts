import { newWireGuardKeyPair } from '@coral/auth';
import type { AccessTokens } from '@coral/auth';
import { agentIdOf, keyIdOf } from '@coral/model';
import type { Policy } from '@coral/policy';
import { ApiTokenRevoked } from '../credentials/credential.errors.js';
import type { ColonyMesh } from '../mesh/colony-mesh.js';
import { BadCertificateHash, BadPublicKey, DirectCertificateMissing } from '../mesh/key.errors.js';
import { certificateHashProblem, publicKeyProblem } from '../mesh/public-key.js';
import { isAuditFailure } from './access-audit.js';
import type { AccessAudit, Asker } from './access-audit.js';
import { BadAgentId, NotYourLease, NotYourList, UserMismatch } from './access.errors.js';
import { KeyInUse, LeasesDisabled } from './lease.errors.js';
import type { LeaseEnds } from './lease-ends.js';
import type { LeaseRepository } from './lease.repository.js';
import { ttlOf } from './lease.js';
import type { Lease, MeshSeat, WireDuration } from './lease.js';

const leaseIdShape = /^(eph|pub)-[a-z2-7]{16}$/;

export interface AccessRequest {
  /** Empty, or compared with the verified caller. */
  userId: string;
  ttl: WireDuration | undefined;
  purpose: string;
  /** Empty: the colony makes the key pair. */
  clientPublicKey: Uint8Array;
  /** Empty unless the mesh driver is `direct`. */
  directCertificateSha256: Uint8Array;
}

export interface GrantedAccess {
  lease: Lease;
  seat: MeshSeat;
  accessToken: string;
  wireguardConfig: string;
}

export interface EphemeralParts {
  enabled: boolean;
  leases: LeaseRepository;
  ends: LeaseEnds;
  mesh: ColonyMesh;
  tokens: AccessTokens;
  audit: AccessAudit;
  policy(): Policy;
  /** True for keys that are on the mesh for good: the colony's and the agents'. */
  isPermanentKey(publicKey: Uint8Array): boolean;
}

/** Who may be on the mesh, and until when. Every answer, yes or no, has its audit row first. */
export class EphemeralService {
  private readonly parts: EphemeralParts;

  constructor(parts: EphemeralParts) {
    this.parts = parts;
  }

  async requestAccess(request: AccessRequest, asker: Asker): Promise<GrantedAccess> {
    return await this.parts.audit.refusals('request_access', asker, () => this.grantAccess(request, asker));
  }

  /** Idempotent: CLI and reaper race by design. Of a lease that is over nothing is left to say whose it was. */
  async release(agentId: string, asker: Asker): Promise<void> {
    const { leases, ends, audit } = this.parts;
    await audit.refusals('release_access', asker, async () => {
      if (!leaseIdShape.test(agentId)) throw new BadAgentId();
      const lease = leases.find(agentId);
      if (lease === undefined) {
        await audit.record('ephemeral.release_access', asker, agentId, { cause: 'released', existed: false });
        return;
      }
      if (lease.userId !== asker.person.userId && !this.mayManage(asker)) throw new NotYourLease();
      await ends.end([lease], 'released', asker.person.userId);
    });
  }

  /** The caller's own live leases; everybody's, or `userId`'s, for those who may manage leases. */
  async list(userId: string, asker: Asker): Promise<Lease[]> {
    return await this.parts.audit.refusals('list', asker, () => {
      const { person } = asker;
      const seesAll = this.mayManage(asker);
      if (userId !== '' && userId !== person.userId && !seesAll) throw new NotYourList();
      const wanted = userId === '' && !seesAll ? person.userId : userId;
      const alive = this.parts.leases.listAlive();
      return Promise.resolve(wanted === '' ? alive : alive.filter((lease) => lease.userId === wanted));
    });
  }

  /** The caller went away before it could be told of its lease: nobody will ever use it. */
  async takeBack(lease: Lease, asker: Asker): Promise<void> {
    await this.parts.ends.end([lease], 'released', asker.person.userId);
  }

  /** Ends what was granted, or is just being granted, to an API token that is no more. */
  async endLeasesOf(tokenId: string): Promise<void> {
    await this.parts.ends.end(this.parts.leases.listByToken(tokenId), 'revoked');
  }

  /** At start: those who hold a lease are let in again, those whose time ran out meanwhile are not. */
  async resume(): Promise<void> {
    this.parts.leases.endUnanswered();
    for (const { seat, expiresAt } of this.parts.leases.listAlive()) {
      if (seat !== undefined) this.parts.mesh.add({ ...seat, expiresAt });
    }
    await this.parts.ends.sweep();
  }

  private async grantAccess(request: AccessRequest, asker: Asker): Promise<GrantedAccess> {
    const { leases, mesh, tokens, policy } = this.parts;
    const { person } = asker;
    if (!this.parts.enabled) throw new LeasesDisabled();
    if (request.userId !== '' && request.userId !== person.userId) throw new UserMismatch(person.userId);
    const ttl = ttlOf(request.ttl, leases.rules);
    const keys = this.keysOf(request);
    const { lease, seat } = leases.reserveSeat({
      agentId: agentIdOf(keys.publicKey, 'eph'),
      userId: person.userId,
      tokenId: person.tokenId,
      purpose: request.purpose,
      seat: {
        keyId: keyIdOf(keys.publicKey),
        publicKey: keys.publicKey,
        directCertificateSha256: this.certificateHashOf(request),
      },
      ttl,
    });
    try {
      const accessToken = await tokens.issue({
        userId: lease.userId,
        agentId: lease.agentId,
        keyId: seat.keyId,
        permissions: policy().permissionsOf({ userId: lease.userId }),
        expiresAt: lease.expiresAt,
      });
      const wireguardConfig = mesh.wireguardConfigFor(seat.host, keys.privateKey, asker.call.reachedAs);
      // The row before the permission, and both before the answer.
      await this.recordGrant(lease, seat, asker);
      // Revoked while its row was on the way to the disk: the end was recorded by whoever revoked it.
      if (!leases.activate(lease.agentId)) throw new ApiTokenRevoked();
      mesh.add({ ...seat, expiresAt: lease.expiresAt });
      return { lease, seat, accessToken, wireguardConfig };
    } catch (thrown) {
      mesh.remove(seat.keyId);
      // Without an audit row nothing was granted, so there is no end to record either; otherwise the reaper writes it.
      if (isAuditFailure(thrown)) leases.remove(lease.agentId);
      else leases.markEnded(lease.agentId, 'unanswered');
      throw thrown;
    }
  }

  private keysOf(request: AccessRequest): { publicKey: Uint8Array; privateKey: Uint8Array | undefined } {
    if (request.clientPublicKey.length === 0) return newWireGuardKeyPair();
    const problem = publicKeyProblem(request.clientPublicKey);
    if (problem !== undefined) throw new BadPublicKey('client_public_key', problem);
    if (this.parts.isPermanentKey(request.clientPublicKey)) throw new KeyInUse();
    return { publicKey: request.clientPublicKey, privateKey: undefined };
  }

  private certificateHashOf(request: AccessRequest): Uint8Array | undefined {
    const hash = request.directCertificateSha256;
    if (!this.parts.mesh.wantsCertificate) return undefined;
    if (hash.length === 0) {
      // A client that lets the colony make its key is a stock WireGuard client, for which there is no way in anyhow.
      if (request.clientPublicKey.length === 0) return undefined;
      throw new DirectCertificateMissing();
    }
    const problem = certificateHashProblem(hash);
    if (problem !== undefined) throw new BadCertificateHash(problem);
    return hash;
  }

  private mayManage({ person }: Asker): boolean {
    return this.parts.policy().decide({ userId: person.userId }, 'manage:leases').allowed;
  }

  private async recordGrant(lease: Lease, seat: MeshSeat, asker: Asker): Promise<void> {
    const { v4, v6 } = this.parts.mesh.plan.addressesOf(seat.host);
    await this.parts.audit.record('ephemeral.request_access', asker, lease.agentId, {
      ttl_seconds: Math.ceil((lease.expiresAt - lease.createdAt) / 1_000),
      expires_at: new Date(lease.expiresAt).toISOString(),
      purpose: lease.purpose,
      key_id: seat.keyId,
      addresses: [v4, v6],
    });
  }
}
