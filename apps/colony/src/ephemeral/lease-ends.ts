import type { AuditKind, AuditLog } from '@coral/audit';
import type { AgentId, KeyId, UserId } from '@coral/model';
import type { EndedAs, EndedLease, LeaseRepository } from './lease.repository.js';
import type { Lease } from './lease.js';

const kinds: Record<EndedAs, AuditKind> = {
  released: 'ephemeral.release_access',
  revoked: 'ephemeral.release_access',
  expired: 'ephemeral.expired',
  unanswered: 'ephemeral.expired',
};

/**
 * How leases end: first they stop being a permission (durably), then the peer is cut off, then the audit row is written,
 * then they are forgotten. Access never waits for the audit to end; a row that could not be written is written by a later
 * {@link sweep}, in this life of the colony or the next.
 */
export class LeaseEnds {
  private readonly leases: LeaseRepository;
  private readonly mesh: { remove(keyId: KeyId): void };
  private readonly audit: Pick<AuditLog, 'append'>;
  /** Rows on their way, so that a release and a sweep at the same moment write one. */
  private readonly recording = new Map<AgentId, Promise<void>>();

  /** Of leases under which something was called. */
  private readonly watches = new Map<AgentId, AbortController>();

  constructor(leases: LeaseRepository, mesh: { remove(keyId: KeyId): void }, audit: Pick<AuditLog, 'append'>) {
    this.leases = leases;
    this.mesh = mesh;
    this.audit = audit;
  }

  /** Resolves when the peers are gone and the audit rows durable; rejects when only the first is true. */
  async end(leases: readonly Lease[], as: EndedAs, by?: UserId): Promise<void> {
    for (const lease of leases) this.cut(lease, as, by);
    await this.recordEnded();
  }

  /** Ends what is over and writes the rows that are due. */
  async sweep(): Promise<void> {
    for (const lease of this.leases.listExpired()) this.cut(lease, 'expired');
    await this.recordEnded();
  }

  private cut(lease: Lease, as: EndedAs, by?: UserId): void {
    this.leases.markEnded(lease.agentId, as, by);
    const watch = this.watches.get(lease.agentId);
    this.watches.delete(lease.agentId);
    watch?.abort();
    if (lease.seat !== undefined) this.mesh.remove(lease.seat.keyId);
  }

  /** Aborts in the moment the lease ends: what is still being done under it may stop. */
  signalOf(agentId: AgentId): AbortSignal {
    const known = this.watches.get(agentId);
    if (known !== undefined) return known.signal;
    if (this.leases.findAlive(agentId) === undefined) return AbortSignal.abort();
    const watch = new AbortController();
    this.watches.set(agentId, watch);
    return watch.signal;
  }

  private async recordEnded(): Promise<void> {
    await Promise.all(
      this.leases.listEnded().map((lease) => {
        const known = this.recording.get(lease.agentId);
        if (known !== undefined) return known;
        const row = this.record(lease).finally(() => this.recording.delete(lease.agentId));
        this.recording.set(lease.agentId, row);
        return row;
      }),
    );
  }

  private async record(lease: EndedLease): Promise<void> {
    await this.audit.append({
      kind: kinds[lease.endedAs],
      user_id: lease.endedBy ?? lease.userId,
      agent_id: lease.agentId,
      payload: {
        cause: lease.endedAs,
        lease_user_id: lease.userId,
        purpose: lease.purpose,
        ...(lease.seat === undefined ? {} : { key_id: lease.seat.keyId }),
        granted_at: new Date(lease.createdAt).toISOString(),
        expires_at: new Date(lease.expiresAt).toISOString(),
      },
    });
    this.leases.remove(lease.agentId);
  }
}
