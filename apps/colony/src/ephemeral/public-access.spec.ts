import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asker, openRooms } from '../spec-support/rooms.js';
import type { Rooms } from '../spec-support/rooms.js';

const resource = 'https://colony.test/mcp';
const alex = asker('alex');
const wanted = { ttl: undefined, purpose: 'an agent', scope: undefined, resource };

describe('PublicAccess', () => {
  let rooms: Rooms;
  beforeEach(async () => {
    rooms = await openRooms();
  });
  afterEach(() => rooms[Symbol.asyncDispose]());

  it('is a lease without a seat, with a token for the resource alone', async () => {
    const { lease, accessToken } = await rooms.publicAccess.grant({ ...wanted, scope: ['read:health'] }, alex);
    expect(lease).toMatchObject({ agentId: expect.stringMatching(/^pub-[a-z2-7]{16}$/), seat: undefined });
    expect(await rooms.tokens.verify(accessToken, rooms.clock.now(), { resource })).toMatchObject({
      userId: 'alex',
      agentId: lease.agentId,
      keyId: undefined,
      scope: ['read:health'],
    });
    expect(await rooms.rows('ephemeral.request_access')).toMatchObject([
      {
        user_id: 'alex',
        agent_id: lease.agentId,
        payload: { door: 'public', resource, scope: ['read:health'], ttl_seconds: 300, purpose: 'an agent' },
      },
    ]);
    expect(await rooms.ephemeral.list('', alex)).toMatchObject([{ agentId: lease.agentId }]);
  });

  it('is limited per user, apart from leases in the mesh', async () => {
    await rooms.publicAccess.grant(wanted, alex);
    await rooms.publicAccess.grant(wanted, alex);
    await expect(rooms.publicAccess.grant(wanted, alex)).rejects.toMatchObject({ reason: 'too_many_leases' });
    await rooms.publicAccess.grant(wanted, asker('jordan'));
    expect(await rooms.rows('ephemeral.denied')).toMatchObject([
      { user_id: 'alex', payload: { action: 'request_public_access', reason: 'too_many_leases' } },
    ]);
  });

  it.each([
    ['too long', { ttl: { seconds: 901, nanos: 0 } }, 'bad_ttl'],
    ['for a purpose that floods', { purpose: 'x'.repeat(201) }, 'bad_purpose'],
  ])('is refused %s', async (_name, change, reason) => {
    await expect(rooms.publicAccess.grant({ ...wanted, ...change }, alex)).rejects.toMatchObject({ reason });
    expect(rooms.leases.listAlive()).toEqual([]);
  });

  it('ends by release, by revocation of its API token and by time, and tells those who work under it', async () => {
    const grant = async () =>
      (await rooms.publicAccess.grant({ ...wanted, ttl: { seconds: 1, nanos: 0 } }, alex)).lease;
    const released = await grant();
    const first = rooms.ends.signalOf(released.agentId);
    expect(first.aborted).toBe(false);
    expect(rooms.ends.signalOf(released.agentId)).toBe(first);
    await rooms.ephemeral.release(released.agentId, alex);
    expect(first.aborted).toBe(true);
    expect(rooms.ends.signalOf(released.agentId).aborted).toBe(true);

    const revoked = await grant();
    const second = rooms.ends.signalOf(revoked.agentId);
    await rooms.ephemeral.endLeasesOf(alex.person.tokenId);
    expect(second.aborted).toBe(true);

    const expired = await grant();
    const third = rooms.ends.signalOf(expired.agentId);
    rooms.clock.wallOffset = 1_001;
    expect(rooms.leases.findAlive(expired.agentId)).toBeUndefined();
    await rooms.ends.sweep();
    expect(third.aborted).toBe(true);
    const ended = await rooms.rows('ephemeral.release_access', 'ephemeral.expired');
    expect(ended.map(({ agent_id, payload }) => [agent_id, payload['cause']])).toEqual([
      [released.agentId, 'released'],
      [revoked.agentId, 'revoked'],
      [expired.agentId, 'expired'],
    ]);
  });

  it('grants nothing when the audit cannot be written', async () => {
    rooms.disk.full = true;
    await expect(rooms.publicAccess.grant(wanted, alex)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    expect([rooms.leases.listAlive(), rooms.leases.listEnded()]).toEqual([[], []]);
  });

  it('survives a restart without a place in the mesh', async () => {
    const { lease } = await rooms.publicAccess.grant(wanted, alex);
    await rooms.ephemeral.resume();
    expect(rooms.leases.findAlive(lease.agentId)).toMatchObject({ seat: undefined });
  });

  it('is refused where no leases are granted', async () => {
    await using closed = await openRooms({ enabled: false });
    await expect(closed.publicAccess.grant(wanted, alex)).rejects.toMatchObject({
      reason: 'ephemeral_agents_disabled',
    });
  });
});
