import type { AuditLog, JsonValue } from '@coral/audit';
import { CoralError, toCoralError } from '@coral/errors';
import type { UserId } from '@coral/model';
import type { ApiTokenFacts, ApiTokenRepository } from '../credentials/api-token.repository.js';
import type { JoinTokenFacts, JoinTokenRepository } from '../credentials/join-token.repository.js';
import { BadLabels, BadLifetime, BadName, BadNote, NoSuchToken } from './admin.errors.js';

const dayMs = 86_400_000;
export const defaultApiTokenMs = 30 * dayMs;
export const maxApiTokenMs = 366 * dayMs;
export const defaultJoinTokenMs = 3_600_000;
export const maxJoinTokenMs = 30 * dayMs;
export const maxNameLength = 256;
export const maxNoteLength = 200;
export const maxLabels = 32;

export interface AdminParts {
  apiTokens: ApiTokenRepository;
  joinTokens: JoinTokenRepository;
  audit: Pick<AuditLog, 'append'>;
  endLeasesOf(tokenId: string): Promise<void>;
}

/**
 * Acts of the administrator. Secrets are told only after their row is durable; what could not be recorded is taken back.
 * Durations are milliseconds, undefined for the default.
 */
export class AdminService {
  private readonly parts: AdminParts;

  constructor(parts: AdminParts) {
    this.parts = parts;
  }

  async createApiToken(request: {
    userId: string;
    lifetimeMs: number | undefined;
    note: string;
  }): Promise<ApiTokenFacts & { token: string }> {
    const { userId, note } = request;
    const facts = { action: 'create_api_token', for_user_id: userId, note };
    return await this.recordingRefusals(facts, async () => {
      checkName('user_id', userId);
      if (note.length > maxNoteLength) throw new BadNote(maxNoteLength);
      const lifetimeMs = lifetime(request.lifetimeMs, defaultApiTokenMs, maxApiTokenMs);
      const made = this.parts.apiTokens.create({ userId: userId as UserId, lifetimeMs, note });
      try {
        await this.record({ ...facts, token_id: made.tokenId, expires_at: new Date(made.expiresAt).toISOString() });
      } catch (thrown) {
        this.parts.apiTokens.revoke(made.tokenId);
        throw thrown;
      }
      return made;
    });
  }

  /** The token is dead and its leases are over when this resolves. Revoking twice is fine. */
  async revokeApiToken(tokenId: string): Promise<void> {
    const facts = { action: 'revoke_api_token', token_id: tokenId };
    await this.recordingRefusals(facts, async () => {
      const revoked = this.parts.apiTokens.revoke(tokenId);
      if (revoked === undefined) throw new NoSuchToken();
      await this.parts.endLeasesOf(tokenId);
      await this.record({ ...facts, for_user_id: revoked.userId });
    });
  }

  async createJoinToken(request: {
    owner: string;
    labels: Record<string, string>;
    lifetimeMs: number | undefined;
  }): Promise<JoinTokenFacts & { token: string }> {
    const { owner, labels } = request;
    const facts = { action: 'create_join_token', owner, labels };
    return await this.recordingRefusals(facts, async () => {
      checkName('owner', owner.startsWith('group:') ? owner.slice('group:'.length) : owner);
      checkLabels(labels);
      const lifetimeMs = lifetime(request.lifetimeMs, defaultJoinTokenMs, maxJoinTokenMs);
      const made = this.parts.joinTokens.create({ owner, labels, lifetimeMs });
      try {
        await this.record({ ...facts, token_id: made.tokenId, expires_at: new Date(made.expiresAt).toISOString() });
      } catch (thrown) {
        this.parts.joinTokens.discard(made.tokenId);
        throw thrown;
      }
      return made;
    });
  }

  async recordListing(): Promise<void> {
    await this.record({ action: 'list_agents' });
  }

  private async record(payload: Record<string, JsonValue>): Promise<void> {
    await this.parts.audit.append({
      kind: 'admin',
      user_id: null,
      agent_id: null,
      payload: { ...payload, door: 'admin' },
    });
  }

  private async recordingRefusals<T>(facts: Record<string, JsonValue>, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof CoralError && thrown.reason === 'audit_unavailable') throw thrown;
      const { kind, reason } = toCoralError(thrown);
      await this.record({ ...facts, refused: { kind, reason } });
      throw thrown;
    }
  }
}

function lifetime(requestedMs: number | undefined, defaultMs: number, maxMs: number): number {
  const ms = requestedMs ?? defaultMs;
  if (!(ms >= 1 && ms <= maxMs)) throw new BadLifetime(maxMs);
  return Math.floor(ms);
}

function isVisible(text: string): boolean {
  return text !== '' && text.length <= maxNameLength && !/[\p{C}\s]/u.test(text);
}

function checkName(where: string, name: string): void {
  if (!isVisible(name)) throw new BadName(where, maxNameLength);
}

function checkLabels(labels: Record<string, string>): void {
  const entries = Object.entries(labels);
  const good = entries.length <= maxLabels && entries.every(([key, value]) => isVisible(key) && isVisible(value));
  if (!good) throw new BadLabels(maxLabels, maxNameLength);
}
