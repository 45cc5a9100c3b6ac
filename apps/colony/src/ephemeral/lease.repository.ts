import type { StatementResultingChanges, StatementSync } from 'node:sqlite';
import type { AgentId, KeyId, UserId } from '@coral/model';
import type { BootClock } from '../control/boot-clock.js';
import type { ControlDb } from '../control/control-db.js';
import { leaseHosts, nextFreeHost } from '../mesh/address-plan.js';
import { KeyInUse } from './lease.errors.js';
import { grant, isExpired, rebaseMonotonicEnd } from './lease.js';
import type { Lease, LeaseRequest, LeaseRules, MeshSeat, Moment } from './lease.js';

interface LeaseRow {
  agent_id: string;
  user_id: string;
  key_id: string | null;
  public_key: Uint8Array | null;
  token_id: string;
  purpose: string;
  host: number | null;
  direct_certificate_sha256: Uint8Array | null;
  created_at: number;
  expires_at: number;
  boot_id: string;
  ends_at_monotonic: number;
  state: 'reserved' | 'active' | 'ended';
  ended_as: EndedAs | null;
  ended_by: string | null;
}

/** A lease to be: its seat, if it is to have one, gets its addresses when the place is taken. */
export interface ReservationRequest extends Omit<LeaseRequest, 'seat'> {
  seat?: Omit<MeshSeat, 'host'>;
}

/** Why a lease is over. `revoked`: its API token was. `unanswered`: the colony died before it could say yes. */
export type EndedAs = 'released' | 'expired' | 'revoked' | 'unanswered';

/** A lease that is over and whose last audit row is still to be written. */
export interface EndedLease extends Lease {
  endedAs: EndedAs;
  /** Who ended it, when a person did. */
  endedBy: UserId | undefined;
}

/**
 * The durable table of leases. Every change is on disk when the method returns.
 *
 * The granted ones are also kept in memory, because each call asks for its lease several times. The row stays the truth:
 * nobody else can write the table (the control store is locked by this process), every change to a row goes through here,
 * and after each the copy is taken from the row again, whether the change succeeded or not. Whether a lease is over is
 * never remembered: it is asked of the clock each time.
 */
export class LeaseRepository {
  private readonly db: ControlDb;
  private readonly clock: BootClock;
  readonly rules: LeaseRules;
  private lastHost: number;
  private readonly oneActive: StatementSync;
  /** Of the rows that are active. */
  private readonly granted = new Map<AgentId, Lease>();

  constructor(db: ControlDb, clock: BootClock, rules: LeaseRules) {
    this.db = db;
    this.clock = clock;
    this.rules = rules;
    this.rebase();
    this.oneActive = db.sql.prepare("SELECT * FROM leases WHERE agent_id = ? AND state = 'active'");
    for (const lease of this.select("WHERE state = 'active'")) this.granted.set(lease.agentId, Object.freeze(lease));
    this.lastHost = Number(db.sql.prepare('SELECT max(host) AS host FROM leases').get()?.['host'] ?? 0);
  }

  moment(): Moment {
    return { wall: this.clock.now(), monotonic: this.clock.monotonic() };
  }

  /**
   * Takes a place for the user, or says why not, in one transaction: of any number of parallel requests exactly as many
   * pass as the rules allow. The lease counts from here on, but is nobody's permission until {@link activate}.
   */
  reserve(request: ReservationRequest): Lease {
    return this.db.transaction(() => {
      const rows = this.rows('');
      const seat = request.seat === undefined ? undefined : this.seatFor(request.seat, rows);
      const held = rows.filter((row) => row.state !== 'ended').map(fromRow);
      const lease = grant({ ...request, seat }, held, this.rules, this.moment());
      this.insert(lease);
      if (seat !== undefined) this.lastHost = seat.host;
      return lease;
    });
  }

  /** {@link reserve} for a lease in the mesh. */
  reserveSeat(request: ReservationRequest & { seat: Omit<MeshSeat, 'host'> }): { lease: Lease; seat: MeshSeat } {
    const lease = this.reserve(request);
    if (lease.seat === undefined) throw new TypeError('a lease in the mesh came back without its seat');
    return { lease, seat: lease.seat };
  }

  /** False when it was ended meanwhile; then it stays so. */
  activate(agentId: AgentId): boolean {
    return this.change(agentId, () =>
      this.db.sql.prepare("UPDATE leases SET state = 'active' WHERE agent_id = ? AND state = 'reserved'").run(agentId),
    );
  }

  /** From here on it is nobody's permission, whatever happens next. False when it was over already, or never was. */
  markEnded(agentId: AgentId, as: EndedAs, by?: UserId): boolean {
    return this.change(agentId, () =>
      this.db.sql
        .prepare(
          "UPDATE leases SET state = 'ended', ended_as = ?, ended_by = ? WHERE agent_id = ? AND state <> 'ended'",
        )
        .run(as, by ?? null, agentId),
    );
  }

  /** Forgets it, once its last audit row is durable (or its first one could not be written). */
  remove(agentId: AgentId): void {
    this.change(agentId, () => this.db.sql.prepare('DELETE FROM leases WHERE agent_id = ?').run(agentId));
  }

  /** The lease if it holds right now; reserved and expired ones do not. */
  findAlive(agentId: AgentId): Lease | undefined {
    const lease = this.granted.get(agentId);
    return lease !== undefined && !isExpired(lease, this.moment()) ? lease : undefined;
  }

  /** Oldest first. */
  listAlive(): Lease[] {
    const at = this.moment();
    return this.select("WHERE state = 'active'").filter((lease) => !isExpired(lease, at));
  }

  /** Active leases whose time is over and that nobody has tidied up yet. */
  listExpired(): Lease[] {
    const at = this.moment();
    return this.select("WHERE state = 'active'").filter((lease) => isExpired(lease, at));
  }

  listEnded(): EndedLease[] {
    return this.rows("WHERE state = 'ended'").map((row) => ({
      ...fromRow(row),
      endedAs: row.ended_as as EndedAs,
      endedBy: (row.ended_by ?? undefined) as UserId | undefined,
    }));
  }

  /** Granted or about to be. */
  find(agentId: string): Lease | undefined {
    return this.select("WHERE agent_id = ? AND state <> 'ended'", agentId)[0];
  }

  /** Granted, or about to be, to this API token. */
  listByToken(tokenId: string): Lease[] {
    return this.select("WHERE token_id = ? AND state <> 'ended'", tokenId);
  }

  hasKey(keyId: KeyId): boolean {
    return this.rows('WHERE key_id = ?', keyId).length > 0;
  }

  /** At start: what was reserved when the process died was never answered, so nobody holds it. */
  endUnanswered(): void {
    for (const lease of this.select("WHERE state = 'reserved'")) this.markEnded(lease.agentId, 'unanswered');
  }

  private seatFor(seat: Omit<MeshSeat, 'host'>, rows: readonly LeaseRow[]): MeshSeat {
    if (rows.some((row) => row.key_id === seat.keyId)) throw new KeyInUse();
    const taken = new Set(rows.map((row) => row.host).filter((host) => host !== null));
    return { ...seat, host: nextFreeHost(leaseHosts, taken, this.lastHost) };
  }

  /** True when a row was changed. */
  private change(agentId: AgentId, write: () => StatementResultingChanges): boolean {
    try {
      return this.db.transaction(write).changes > 0;
    } finally {
      // Gone first: if the row cannot be read either, nobody holds the lease.
      this.granted.delete(agentId);
      const row = this.db.isOpen() ? (this.oneActive.get(agentId) as unknown as LeaseRow | undefined) : undefined;
      if (row !== undefined) this.granted.set(agentId, Object.freeze(fromRow(row)));
    }
  }

  private select(where: string, ...values: string[]): Lease[] {
    return this.rows(where, ...values).map(fromRow);
  }

  private rows(where: string, ...values: string[]): LeaseRow[] {
    const statement = this.db.sql.prepare(`SELECT * FROM leases ${where} ORDER BY created_at, agent_id`);
    return statement.all(...values) as unknown as LeaseRow[];
  }

  private insert(lease: Lease): void {
    this.db.sql
      .prepare(
        `INSERT INTO leases (agent_id, user_id, key_id, public_key, token_id, purpose, host, direct_certificate_sha256,
           created_at, expires_at, boot_id, ends_at_monotonic, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'reserved')`,
      )
      .run(
        lease.agentId,
        lease.userId,
        lease.seat?.keyId ?? null,
        lease.seat?.publicKey ?? null,
        lease.tokenId,
        lease.purpose,
        lease.seat?.host ?? null,
        lease.seat?.directCertificateSha256 ?? null,
        lease.createdAt,
        lease.expiresAt,
        this.clock.bootId,
        lease.endsAtMonotonic,
      );
  }

  /** Once per start: stored monotonic ends become comparable with this boot's clock. */
  private rebase(): void {
    const at = this.moment();
    this.db.transaction(() => {
      const update = this.db.sql.prepare('UPDATE leases SET boot_id = ?, ends_at_monotonic = ? WHERE agent_id = ?');
      for (const row of this.rows('')) {
        const end = rebaseMonotonicEnd({ ...fromRow(row), sameBoot: row.boot_id === this.clock.bootId }, at);
        update.run(this.clock.bootId, end, row.agent_id);
      }
    });
  }
}

function fromRow(row: LeaseRow): Lease {
  return {
    agentId: row.agent_id as AgentId,
    userId: row.user_id as UserId,
    tokenId: row.token_id,
    purpose: row.purpose,
    seat: seatOf(row),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    endsAtMonotonic: row.ends_at_monotonic,
  };
}

function seatOf({ key_id, public_key, host, direct_certificate_sha256 }: LeaseRow): MeshSeat | undefined {
  // All three or none: the table checks it.
  if (key_id === null || public_key === null || host === null) return undefined;
  return {
    keyId: key_id as KeyId,
    publicKey: public_key,
    host,
    directCertificateSha256: direct_certificate_sha256 ?? undefined,
  };
}
