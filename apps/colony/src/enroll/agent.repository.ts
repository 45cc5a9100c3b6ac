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
  /** As it announced itself last. */
  version: string | undefined;
  /** Wall clock, ms since the Unix epoch. */
  enrolledAt: number;
  lastSeenAt: number | undefined;
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
  version: string | null;
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
  insert(agent: Omit<EnrolledAgent, 'host' | 'directEndpoint' | 'version' | 'lastSeenAt'>): EnrolledAgent {
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
    return { ...agent, host, directEndpoint: undefined, version: undefined, lastSeenAt: undefined };
  }

  /** What an agent says of itself at each start. */
  announce(keyId: KeyId, said: { version: string; directEndpoint: string | undefined; at: number }): void {
    this.db.transaction(() =>
      this.db.sql
        .prepare('UPDATE agents SET version = ?, direct_endpoint = ?, last_seen_at = ? WHERE key_id = ?')
        .run(said.version, said.directEndpoint ?? null, said.at, keyId),
    );
  }

  /** Several agents at once, one commit: they are heard from far more often than this needs to be on disk. */
  sawAll(seen: ReadonlyMap<KeyId, number>): void {
    if (seen.size === 0) return;
    this.db.transaction(() => {
      const update = this.db.sql.prepare('UPDATE agents SET last_seen_at = ? WHERE key_id = ?');
      for (const [keyId, at] of seen) update.run(at, keyId);
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
    version: row.version ?? undefined,
    enrolledAt: row.enrolled_at,
    lastSeenAt: row.last_seen_at ?? undefined,
  };
}
