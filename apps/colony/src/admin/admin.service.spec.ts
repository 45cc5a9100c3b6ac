import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asker, openRooms } from '../spec-support/rooms.js';
import type { Rooms } from '../spec-support/rooms.js';
import { defaultApiTokenMs, defaultJoinTokenMs, maxApiTokenMs, maxJoinTokenMs, maxLabels } from './admin.service.js';

describe('AdminService', () => {
  let rooms: Rooms;
  beforeEach(async () => {
    rooms = await openRooms();
  });
  afterEach(() => rooms[Symbol.asyncDispose]());

  const forAlex = { userId: 'alex', lifetimeMs: undefined, note: 'laptop' };
  const forWeb = { owner: 'group:web', labels: {}, lifetimeMs: undefined };

  it('makes tokens that work, with a row that does not tell them', async () => {
    const made = await rooms.admin.createApiToken(forAlex);
    expect(rooms.apiTokens.verify(made.token)).toMatchObject({ userId: 'alex', tokenId: made.tokenId });
    expect(made.expiresAt - made.createdAt).toBe(defaultApiTokenMs);
    const join = await rooms.admin.createJoinToken(forWeb);
    expect(rooms.joinTokens.check(join.token)).toMatchObject({ owner: 'group:web' });
    expect(join.expiresAt - rooms.clock.now()).toBeLessThanOrEqual(defaultJoinTokenMs);
    const rows = await rooms.rows('admin');
    expect(rows).toMatchObject([
      { payload: { action: 'create_api_token', for_user_id: 'alex', token_id: made.tokenId } },
      { payload: { action: 'create_join_token', owner: 'group:web', token_id: join.tokenId } },
    ]);
    for (const { token } of [made, join]) expect(JSON.stringify(rows)).not.toContain(token.split('_')[3]);
  });

  it('makes nothing when the audit cannot be written', async () => {
    rooms.disk.full = true;
    await expect(rooms.admin.createApiToken(forAlex)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    await expect(rooms.admin.createJoinToken(forWeb)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    const usable = 'SELECT count(*) AS n FROM api_tokens WHERE revoked_at IS NULL';
    expect(rooms.db.sql.prepare(usable).get()).toEqual({ n: 0 });
    expect(rooms.db.sql.prepare('SELECT count(*) AS n FROM join_tokens').get()).toEqual({ n: 0 });
  });

  it('revokes although the audit cannot be written, and says so', async () => {
    const made = await rooms.admin.createApiToken(forAlex);
    rooms.disk.full = true;
    await expect(rooms.admin.revokeApiToken(made.tokenId)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    expect(() => rooms.apiTokens.verify(made.token)).toThrow(expect.objectContaining({ reason: 'token_revoked' }));
  });

  it('ends the leases of a revoked token, and no others', async () => {
    const made = await rooms.admin.createApiToken(forAlex);
    const ask = {
      userId: '',
      ttl: undefined,
      purpose: '',
      clientPublicKey: Buffer.alloc(0),
      directCertificateSha256: Buffer.alloc(0),
    };
    await rooms.ephemeral.requestAccess(ask, asker('alex', made.tokenId));
    const kept = await rooms.ephemeral.requestAccess(ask, asker('alex', 'another'));
    await rooms.admin.revokeApiToken(made.tokenId);
    expect(rooms.leases.listAlive().map((lease) => lease.agentId)).toEqual([kept.lease.agentId]);
  });

  it.each<[string, (r: Rooms) => Promise<unknown>, string]>([
    ['a user without a name', (r) => r.admin.createApiToken({ ...forAlex, userId: '' }), 'bad_name'],
    ['a user with a line break', (r) => r.admin.createApiToken({ ...forAlex, userId: 'a\nb' }), 'bad_name'],
    ['a lifetime of zero', (r) => r.admin.createApiToken({ ...forAlex, lifetimeMs: 0 }), 'bad_ttl'],
    ['a lifetime without end', (r) => r.admin.createApiToken({ ...forAlex, lifetimeMs: maxApiTokenMs + 1 }), 'bad_ttl'],
    ['no number of a lifetime', (r) => r.admin.createApiToken({ ...forAlex, lifetimeMs: Number.NaN }), 'bad_ttl'],
    ['a note like a novel', (r) => r.admin.createApiToken({ ...forAlex, note: 'x'.repeat(201) }), 'bad_note'],
    ['an owner without a name', (r) => r.admin.createJoinToken({ ...forWeb, owner: 'group:' }), 'bad_name'],
    ['an endless join token', (r) => r.admin.createJoinToken({ ...forWeb, lifetimeMs: maxJoinTokenMs + 1 }), 'bad_ttl'],
    ['an empty label', (r) => r.admin.createJoinToken({ ...forWeb, labels: { zone: '' } }), 'bad_labels'],
    ['too many labels', (r) => r.admin.createJoinToken({ ...forWeb, labels: manyLabels() }), 'bad_labels'],
    ['a token nobody made', (r) => r.admin.revokeApiToken('nothing'), 'no_such_token'],
  ])('refuses %s, with a row', async (_name, act, reason) => {
    await expect(act(rooms)).rejects.toMatchObject({ reason });
    expect(await rooms.rows('admin')).toMatchObject([{ payload: { refused: { reason } } }]);
  });
});

function manyLabels(): Record<string, string> {
  return Object.fromEntries(Array.from({ length: maxLabels + 1 }, (_, i) => [`k${i}`, 'v']));
}
