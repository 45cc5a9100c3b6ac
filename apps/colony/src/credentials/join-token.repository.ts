import { newJoinToken, parseToken, tokenMatches } from '@coral/auth';
import type { AgentId, Clock } from '@coral/model';
import type { ControlDb } from '../control/control-db.js';
import { JoinTokenRefused } from './credential.errors.js';

export interface JoinTokenFacts {
  tokenId: string;
  owner: string;
  labels: Record<string, string>;
  /** Wall clock, ms since the Unix epoch. */
  expiresAt: number;
}

interface JoinTokenRow {
  token_id: string;
  hash: string;
  owner: string;
  labels: string;
  expires_at: number;
  used_at: number | null;
}

/** Join tokens: each lets one agent onto the mesh, and fixes its owner and labels. Kept as hashes. */
export class JoinTokenRepository {
  private readonly db: ControlDb;
  private readonly clock: Clock;

  constructor(db: ControlDb, clock: Clock) {
    this.db = db;
    this.clock = clock;
  }

  create(
    request: Pick<JoinTokenFacts, 'owner' | 'labels'> & { lifetimeMs: number },
  ): JoinTokenFacts & { token: string } {
    const { id, token, hash } = newJoinToken();
    const now = this.clock.now();
    const expiresAt = now + request.lifetimeMs;
    this.db.transaction(() =>
      this.db.sql
        .prepare(
          'INSERT INTO join_tokens (token_id, hash, owner, labels, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)',
        )
        .run(id, hash, request.owner, JSON.stringify(request.labels), now, expiresAt),
    );
    return { tokenId: id, owner: request.owner, labels: request.labels, expiresAt, token };
  }

  /** Looks without spending; throws `unauthenticated` when {@link spend} would. */
  check(text: string): JoinTokenFacts {
    const parsed = parseToken(text);
    const row = parsed?.kind === 'join' ? this.select(parsed.id) : undefined;
    if (row === undefined || !tokenMatches(text, row.hash)) throw new JoinTokenRefused('unknown');
    if (row.used_at !== null) throw new JoinTokenRefused('used');
    if (row.expires_at <= this.clock.now()) throw new JoinTokenRefused('expired');
    return {
      tokenId: row.token_id,
      owner: row.owner,
      labels: JSON.parse(row.labels) as Record<string, string>,
      expiresAt: row.expires_at,
    };
  }

  /** Part of the caller's transaction. Of any number of agents with the same token one gets past this line. */
  spend(text: string, by: AgentId): JoinTokenFacts {
    const facts = this.check(text);
    this.db.sql
      .prepare('UPDATE join_tokens SET used_at = ?, used_by = ? WHERE token_id = ?')
      .run(this.clock.now(), by, facts.tokenId);
    return facts;
  }

  /** Takes back {@link spend}: the agent was not let in after all. */
  giveBack(tokenId: string): void {
    this.db.sql.prepare('UPDATE join_tokens SET used_at = NULL, used_by = NULL WHERE token_id = ?').run(tokenId);
  }

  /** A token that was never told to anybody. */
  discard(tokenId: string): void {
    this.db.transaction(() => this.db.sql.prepare('DELETE FROM join_tokens WHERE token_id = ?').run(tokenId));
  }

  private select(tokenId: string): JoinTokenRow | undefined {
    return this.db.sql.prepare('SELECT * FROM join_tokens WHERE token_id = ?').get(tokenId) as unknown as
      | JoinTokenRow
      | undefined;
  }
}
