import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newApiToken, newJoinToken } from '@coral/auth';
import type { AgentId, UserId } from '@coral/model';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlDb } from '../control/control-db.js';
import { ApiTokenRepository } from './api-token.repository.js';
import { JoinTokenRepository } from './join-token.repository.js';

describe('tokens', () => {
  let directory: string;
  let db: ControlDb;
  let now: number;
  const clock = { now: () => now, monotonic: () => now };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'coral-tokens-'));
    db = ControlDb.open(directory);
    now = 1_700_000_000_000;
  });

  afterEach(() => {
    db[Symbol.dispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  describe('of people', () => {
    const alex = { userId: 'alex' as UserId, lifetimeMs: 60_000, note: 'laptop' };

    it('say whose they are, until their inclusive end', () => {
      const tokens = new ApiTokenRepository(db, clock);
      const { token, tokenId } = tokens.create(alex);
      now += 59_999;
      expect(tokens.verify(token)).toMatchObject({ userId: 'alex', tokenId, note: 'laptop' });
      now += 1;
      expect(() => tokens.verify(token)).toThrow(
        expect.objectContaining({ kind: 'unauthenticated', reason: 'token_expired' }),
      );
    });

    it('are kept as hashes only', () => {
      const { token } = new ApiTokenRepository(db, clock).create(alex);
      const secret = token.split('_').at(-1) as string;
      const rows = JSON.stringify(db.sql.prepare('SELECT * FROM api_tokens').all());
      expect(rows).toContain('sha256:');
      expect(rows).not.toContain(secret);
    });

    it('are refused once revoked, and revoking twice is fine', () => {
      const tokens = new ApiTokenRepository(db, clock);
      const { token, tokenId } = tokens.create(alex);
      expect(tokens.revoke(tokenId)?.revokedAt).toBe(now);
      now += 5;
      expect(tokens.revoke(tokenId)?.revokedAt).toBe(now - 5);
      expect(() => tokens.verify(token)).toThrow(expect.objectContaining({ reason: 'token_revoked' }));
      expect(tokens.revoke('nobodysToken')).toBeUndefined();
    });

    it('are refused when unknown, mistyped, of another kind or empty, always in the same words', () => {
      const tokens = new ApiTokenRepository(db, clock);
      const { token } = tokens.create(alex);
      const join_ = new JoinTokenRepository(db, clock).create({ owner: 'alex', labels: {}, lifetimeMs: 1_000 }).token;
      const elsewhere = mkdtempSync(join(tmpdir(), 'coral-tokens-'));
      using other = ControlDb.open(elsewhere);
      const foreign = new ApiTokenRepository(other, clock).create(alex).token;
      const last = token.endsWith('0') ? '1' : '0';
      for (const text of [foreign, token.slice(0, -1) + last, join_, '', 'coral_pat_', "' OR 1=1 --"]) {
        expect(() => tokens.verify(text)).toThrow(expect.objectContaining({ reason: 'token_invalid' }));
      }
      rmSync(elsewhere, { recursive: true });
    });
  });

  it('are refused when the id is right and the secret is another', () => {
    const api = new ApiTokenRepository(db, clock);
    const join_ = new JoinTokenRepository(db, clock);
    api.create({ userId: 'alex' as UserId, lifetimeMs: 60_000, note: '' });
    join_.create({ owner: 'alex', labels: {}, lifetimeMs: 60_000 });
    const [guess, joinGuess] = [newApiToken(), newJoinToken()];
    db.sql.prepare('UPDATE api_tokens SET token_id = ?').run(guess.id);
    db.sql.prepare('UPDATE join_tokens SET token_id = ?').run(joinGuess.id);
    expect(() => api.verify(guess.token)).toThrow(expect.objectContaining({ reason: 'token_invalid' }));
    expect(() => join_.check(joinGuess.token)).toThrow(expect.objectContaining({ reason: 'join_token_invalid' }));
  });

  describe('to join', () => {
    const request = { owner: 'group:payments', labels: { zone: 'a' }, lifetimeMs: 60_000 };

    it('are spent by exactly one of many', async () => {
      const tokens = new JoinTokenRepository(db, clock);
      const { token } = tokens.create(request);
      const answers = await Promise.allSettled(
        Array.from({ length: 20 }, async (_, i) => {
          await Promise.resolve();
          return db.transaction(() => tokens.spend(token, `agt-${i}` as AgentId));
        }),
      );
      const passed = answers.filter((answer) => answer.status === 'fulfilled');
      expect(passed).toHaveLength(1);
      expect(passed[0]?.value).toMatchObject({ owner: 'group:payments', labels: { zone: 'a' } });
      const reasons = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []));
      expect(reasons).toEqual(Array.from({ length: 19 }, () => expect.objectContaining({ reason: 'join_token_used' })));
    });

    it('stay spent over a restart', () => {
      const { token } = new JoinTokenRepository(db, clock).create(request);
      db.transaction(() => new JoinTokenRepository(db, clock).spend(token, 'agt-1' as AgentId));
      db[Symbol.dispose]();
      db = ControlDb.open(directory);
      expect(() => new JoinTokenRepository(db, clock).check(token)).toThrow(
        expect.objectContaining({ reason: 'join_token_used' }),
      );
    });

    it('end, inclusively', () => {
      const tokens = new JoinTokenRepository(db, clock);
      const { token } = tokens.create(request);
      now += 60_000;
      expect(() => tokens.check(token)).toThrow(expect.objectContaining({ reason: 'join_token_expired' }));
    });

    it('can be given back when the agent was not let in', () => {
      const tokens = new JoinTokenRepository(db, clock);
      const { token, tokenId } = tokens.create(request);
      db.transaction(() => tokens.spend(token, 'agt-1' as AgentId));
      db.transaction(() => tokens.giveBack(tokenId));
      expect(tokens.check(token).tokenId).toBe(tokenId);
    });
  });
});
