import { newApiToken, parseToken, tokenMatches } from '@coral/auth';
import type { Clock, UserId } from '@coral/model';
import type { ControlDb } from '../control/control-db.js';
import { ApiTokenExpired, ApiTokenInvalid, ApiTokenRevoked } from './credential.errors.js';

export interface ApiTokenFacts {
  tokenId: string;
  userId: UserId;
  note: string;
  /** Wall clock, ms since the Unix epoch. */
  createdAt: number;
  expiresAt: number;
  revokedAt: number | undefined;
}

interface ApiTokenRow {
  token_id: string;
  hash: string;
  user_id: string;
  note: string;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
}

/** API tokens of people: shown once, kept as hashes. */
export class ApiTokenRepository {
  private readonly db: ControlDb;
  private readonly clock: Clock;

  constructor(db: ControlDb, clock: Clock) {
    this.db = db;
    this.clock = clock;
  }

  /** `lifetimeMs` is positive; the caller has checked it against the maximum. */
  create(request: { userId: UserId; lifetimeMs: number; note: string }): ApiTokenFacts & { token: string } {
    const { id, token, hash } = newApiToken();
    const now = this.clock.now();
    const facts: ApiTokenFacts = {
      tokenId: id,
      userId: request.userId,
      note: request.note,
      createdAt: now,
      expiresAt: now + request.lifetimeMs,
      revokedAt: undefined,
    };
    this.db.transaction(() =>
      this.db.sql
        .prepare(
          `INSERT INTO api_tokens (token_id, hash, user_id, note, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)`,
        )
        .run(id, hash, facts.userId, facts.note, facts.createdAt, facts.expiresAt),
    );
    return { ...facts, token };
  }

  /** Whose token this is, now; otherwise throws `unauthenticated`. Expiry is inclusive. */
  verify(text: string): ApiTokenFacts {
    const parsed = parseToken(text);
    const row = parsed?.kind === 'pat' ? this.select(parsed.id) : undefined;
    if (row === undefined || !tokenMatches(text, row.hash)) throw new ApiTokenInvalid();
    if (row.revoked_at !== null) throw new ApiTokenRevoked();
    if (row.expires_at <= this.clock.now()) throw new ApiTokenExpired(row.expires_at);
    return fromRow(row);
  }

  find(tokenId: string): ApiTokenFacts | undefined {
    const row = this.select(tokenId);
    return row === undefined ? undefined : fromRow(row);
  }

  /** Idempotent. Returns the token as it stands, undefined when there is none. */
  revoke(tokenId: string): ApiTokenFacts | undefined {
    this.db.transaction(() =>
      this.db.sql
        .prepare('UPDATE api_tokens SET revoked_at = ? WHERE token_id = ? AND revoked_at IS NULL')
        .run(this.clock.now(), tokenId),
    );
    return this.find(tokenId);
  }

  private select(tokenId: string): ApiTokenRow | undefined {
    return this.db.sql.prepare('SELECT * FROM api_tokens WHERE token_id = ?').get(tokenId) as unknown as
      | ApiTokenRow
      | undefined;
  }
}

function fromRow(row: ApiTokenRow): ApiTokenFacts {
  return {
    tokenId: row.token_id,
    userId: row.user_id as UserId,
    note: row.note,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at ?? undefined,
  };
}
