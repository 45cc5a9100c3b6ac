import { randomBytes } from 'node:crypto';
import type { AccessTokens } from '@coral/auth';
import { agentIdOf } from '@coral/model';
import type { Permission } from '@coral/model';
import type { Policy } from '@coral/policy';
import { ApiTokenRevoked } from '../credentials/credential.errors.js';
import { isAuditFailure } from './access-audit.js';
import type { AccessAudit, Asker } from './access-audit.js';
import { LeasesDisabled } from './lease.errors.js';
import type { LeaseEnds } from './lease-ends.js';
import type { LeaseRepository } from './lease.repository.js';
import { ttlOf } from './lease.js';
import type { Lease, WireDuration } from './lease.js';

export interface PublicAccessRequest {
  ttl: WireDuration | undefined;
  purpose: string;
  /** Limits the token to these; undefined for all that the policy gives. */
  scope: Permission[] | undefined;
  /** URI of the resource the token is for. */
  resource: string;
}

export interface PublicAccessParts {
  enabled: boolean;
  leases: LeaseRepository;
  ends: LeaseEnds;
  tokens: AccessTokens;
  audit: AccessAudit;
  policy(): Policy;
}

/**
 * Leases without a seat on the mesh: for MCP clients that cannot join it. The token counts wherever its bearer is, until the
 * lease ends; so it is listed, released, revoked and audited like every other lease.
 */
export class PublicAccess {
  private readonly parts: PublicAccessParts;

  constructor(parts: PublicAccessParts) {
    this.parts = parts;
  }

  async grant(request: PublicAccessRequest, asker: Asker): Promise<{ lease: Lease; accessToken: string }> {
    return await this.parts.audit.refusals('request_public_access', asker, () => this.grantAccess(request, asker));
  }

  /** The client went away before it could be told of its token: nobody will ever use it. */
  async takeBack(lease: Lease, { person }: Asker): Promise<void> {
    await this.parts.ends.end([lease], 'released', person.userId);
  }

  private async grantAccess(
    request: PublicAccessRequest,
    asker: Asker,
  ): Promise<{ lease: Lease; accessToken: string }> {
    const { leases, tokens, policy, audit } = this.parts;
    const { person } = asker;
    if (!this.parts.enabled) throw new LeasesDisabled();
    const lease = leases.reserve({
      agentId: agentIdOf(randomBytes(32), 'pub'),
      userId: person.userId,
      tokenId: person.tokenId,
      purpose: request.purpose,
      ttl: ttlOf(request.ttl, leases.rules),
    });
    try {
      const accessToken = await tokens.issue({
        userId: lease.userId,
        agentId: lease.agentId,
        resource: request.resource,
        permissions: policy().permissionsOf({ userId: lease.userId }),
        expiresAt: lease.expiresAt,
        ...(request.scope === undefined ? {} : { scope: request.scope }),
      });
      // The row before the permission, and both before the answer.
      await audit.record('ephemeral.request_access', asker, lease.agentId, {
        door: 'public',
        ttl_seconds: Math.ceil((lease.expiresAt - lease.createdAt) / 1_000),
        expires_at: new Date(lease.expiresAt).toISOString(),
        purpose: lease.purpose,
        resource: request.resource,
        ...(request.scope === undefined ? {} : { scope: request.scope }),
      });
      // Revoked while its row was on the way to the disk: the end was recorded by whoever revoked it.
      if (!leases.activate(lease.agentId)) throw new ApiTokenRevoked();
      return { lease, accessToken };
    } catch (thrown) {
      // Without an audit row nothing was granted, so there is no end to record either; otherwise the reaper writes it.
      if (isAuditFailure(thrown)) leases.remove(lease.agentId);
      else leases.markEnded(lease.agentId, 'unanswered');
      throw thrown;
    }
  }
}
