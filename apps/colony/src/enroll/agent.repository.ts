import type { AgentId, KeyId } from '@coral/model';
import type { ControlDb } from '../control/control-db.js';
import { agentHosts, nextFreeHost } from '../mesh/address-plan.js';

/** A permanent member of the mesh. Identity and ownership follow the key; the name is for people. */
export interface EnrolledAgent {
  agentId: AgentId;
  keyId: KeyId;
  /** WireGuard public key, 32 bytes. */
  publicKey: Uint8Array;
  name: string;
  /** A user id, or `group:name`. */
  owner: string;
  labels: Record<string, string>;
  /** Position in the mesh ranges. */
  host: number;
  /** Mesh driver `direct` only: its certificate, and where its end of the mesh listens. */
  directCertificateSha256: Uint8Array | undefined;
  directEndpoint: string | undefined;
  /** Services it spoke of. */
  services: readonly string[];
  /** Wall clock, ms since the Unix epoch. */
  enrolledAt: number;
  lastSeenAt: number | undefined;
}

/** When an agent was last heard of, and all services it spoke of. */
export interface Sighting {
  /** Wall clock, ms since the Unix epoch. */
  at: number;
  services: ReadonlySet<string>;
}

interface AgentRow {
  agent_id: string;
  key_id: string;
  public_key: Uint8Array;
  name: string;
  owner: string;
  labels: string;
  host: number;
  direct_certificate_sha256: Uint8Array | null;
  direct_endpoint: string | null;
  services: string;
  enrolled_at: number;
  last_seen_at: number | null;
}

/** The durable registry of permanent agents. */
export class AgentRepository {
  private readonly db: ControlDb;

  constructor(db: ControlDb) {
    this.db = db;
  }

  /** Part of the caller's transaction: an agent exists if and only if its join token is spent. */
  insert(agent: Omit<EnrolledAgent, 'host' | 'directEndpoint' | 'services' | 'lastSeenAt'>): EnrolledAgent {
    const taken = new Set(this.list().map((one) => one.host));
    const host = nextFreeHost(agentHosts, taken, Math.max(0, ...taken));
    this.db.sql
      .prepare(
        `INSERT INTO agents (agent_id, key_id, public_key, name, owner, labels, host, direct_certificate_sha256, enrolled_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        agent.agentId,
        agent.keyId,
        agent.publicKey,
        agent.name,
        agent.owner,
        JSON.stringify(agent.labels),
        host,
        agent.directCertificateSha256 ?? null,
        agent.enrolledAt,
      );
    return { ...agent, host, directEndpoint: undefined, services: [], lastSeenAt: undefined };
  }

  setDirectEndpoint(agentId: AgentId, endpoint: string | undefined): void {
    this.db.transaction(() =>
      this.db.sql.prepare('UPDATE agents SET direct_endpoint = ? WHERE agent_id = ?').run(endpoint ?? null, agentId),
    );
  }

  /** Several agents at once, one commit: they are heard from far more often than this needs to be on disk. */
  saveSightings(sightings: ReadonlyMap<AgentId, Sighting>): void {
    if (sightings.size === 0) return;
    this.db.transaction(() => {
      const update = this.db.sql.prepare('UPDATE agents SET last_seen_at = ?, services = ? WHERE agent_id = ?');
      for (const [agentId, { at, services }] of sightings) update.run(at, JSON.stringify([...services]), agentId);
    });
  }

  /** Takes back an enrolment that could not be audited. */
  remove(agentId: AgentId): void {
    this.db.sql.prepare('DELETE FROM agents WHERE agent_id = ?').run(agentId);
  }

  findById(agentId: string): EnrolledAgent | undefined {
    return this.select('WHERE agent_id = ?', agentId)[0];
  }

  findByKey(keyId: KeyId): EnrolledAgent | undefined {
    return this.select('WHERE key_id = ?', keyId)[0];
  }

  /** Whether the key belongs to anybody already: an agent or a lease. One key, one member. */
  isOnMesh(keyId: KeyId): boolean {
    const known = 'SELECT 1 FROM agents WHERE key_id = ?1 UNION ALL SELECT 1 FROM leases WHERE key_id = ?1';
    return this.db.sql.prepare(known).get(keyId) !== undefined;
  }

  /** By id. */
  list(): EnrolledAgent[] {
    return this.select('');
  }

  private select(where: string, ...values: string[]): EnrolledAgent[] {
    const rows = this.db.sql.prepare(`SELECT * FROM agents ${where} ORDER BY agent_id`).all(...values);
    return (rows as unknown as AgentRow[]).map(fromRow);
  }
}

function fromRow(row: AgentRow): EnrolledAgent {
  return {
    agentId: row.agent_id as AgentId,
    keyId: row.key_id as KeyId,
    publicKey: row.public_key,
    name: row.name,
    owner: row.owner,
    labels: JSON.parse(row.labels) as Record<string, string>,
    host: row.host,
    directCertificateSha256: row.direct_certificate_sha256 ?? undefined,
    directEndpoint: row.direct_endpoint ?? undefined,
    services: JSON.parse(row.services) as string[],
    enrolledAt: row.enrolled_at,
    lastSeenAt: row.last_seen_at ?? undefined,
  };
}
