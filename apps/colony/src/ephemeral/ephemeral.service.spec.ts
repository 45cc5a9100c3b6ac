import 'reflect-metadata';
import { newWireGuardKeyPair } from '@coral/auth';
import { agentIdOf, keyIdOf } from '@coral/model';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asker, joinAs, newMember, openRooms } from '../spec-support/rooms.js';
import type { Rooms } from '../spec-support/rooms.js';
import { EphemeralController } from './ephemeral.controller.js';
import type { AccessRequest } from './ephemeral.service.js';

const nothing = Buffer.alloc(0);
const alex = asker('alex');

function request(fields: Partial<AccessRequest> = {}): AccessRequest {
  return {
    userId: '',
    ttl: undefined,
    purpose: 'coral ask',
    clientPublicKey: nothing,
    directCertificateSha256: nothing,
    ...fields,
  };
}

describe('EphemeralService', () => {
  let rooms: Rooms;
  beforeEach(async () => {
    rooms = await openRooms();
  });
  afterEach(() => rooms[Symbol.asyncDispose]());

  /** A lease whose holder can dial the colony. */
  async function leaseWithMesh(ttl?: AccessRequest['ttl']) {
    const member = await newMember();
    const { lease, seat } = await rooms.ephemeral.requestAccess(
      request({
        ttl,
        clientPublicKey: member.keyPair.publicKey,
        directCertificateSha256: member.certificate.sha256,
      }),
      alex,
    );
    const mesh = await joinAs(member, rooms.mesh.settingsFor(seat.host));
    return { lease, seat, mesh, member };
  }

  it('grants nothing when the audit cannot be written', async () => {
    rooms.disk.full = true;
    const member = await newMember();
    const ask = request({
      clientPublicKey: member.keyPair.publicKey,
      directCertificateSha256: member.certificate.sha256,
    });
    await expect(rooms.ephemeral.requestAccess(ask, alex)).rejects.toMatchObject({
      kind: 'unavailable',
      reason: 'audit_unavailable',
    });
    expect(rooms.leases.listAlive()).toEqual([]);
    expect(rooms.leases.listEnded()).toEqual([]);
    await using mesh = await joinAs(member, rooms.mesh.settingsFor(0x8000));
    const listener = await rooms.mesh.mesh.listen(9_000, (socket) => socket.end('hello'));
    await expect(mesh.dial('10.137.0.1', 9_000)).rejects.toMatchObject({ kind: 'unavailable' });
    await listener.close();
  });

  it('has the row on disk before the lease can be used', async () => {
    let aliveAtAppend: number | undefined;
    const { append } = rooms.audit;
    rooms.audit.append = async (entry) => {
      if (entry.kind === 'ephemeral.request_access') aliveAtAppend = rooms.leases.listAlive().length;
      return await append.call(rooms.audit, entry);
    };
    await rooms.ephemeral.requestAccess(request(), alex);
    expect(aliveAtAppend).toBe(0);
    expect(rooms.leases.listAlive()).toHaveLength(1);
  });

  it('cuts the holder off at release even when the audit cannot be written, and writes the row later', async () => {
    const { lease, mesh } = await leaseWithMesh();
    const listener = await rooms.mesh.mesh.listen(9_000, (accepted) => accepted.on('error', () => undefined).resume());
    const socket = await mesh.dial('10.137.0.1', 9_000);
    const cut = new Promise((resolve) =>
      socket
        .on('error', () => undefined)
        .once('close', resolve)
        .resume(),
    );
    rooms.disk.full = true;
    await expect(rooms.ephemeral.release(lease.agentId, alex)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    await cut;
    expect(rooms.leases.findAlive(lease.agentId)).toBeUndefined();
    await expect(mesh.dial('10.137.0.1', 9_000)).rejects.toMatchObject({ kind: 'unavailable' });
    rooms.disk.full = false;
    await expect
      .poll(() =>
        rooms.ends.sweep().then(
          () => 'swept',
          () => 'failed',
        ),
      )
      .toBe('swept');
    expect(await rooms.rows('ephemeral.release_access')).toMatchObject([
      { user_id: 'alex', agent_id: lease.agentId, payload: { cause: 'released' } },
    ]);
    await listener.close();
    await mesh.close();
  });

  it('ends every lease of a revoked token, even when the audit cannot be written', async () => {
    for (let i = 0; i < 3; i += 1) await rooms.ephemeral.requestAccess(request(), alex);
    rooms.disk.full = true;
    await expect(rooms.ephemeral.endLeasesOf('token-of-alex')).rejects.toMatchObject({ reason: 'audit_unavailable' });
    expect(rooms.leases.listAlive()).toEqual([]);
  });

  it('grants nothing to a token that is revoked while the row is on its way to the disk', async () => {
    const { append } = rooms.audit;
    let revocation: Promise<void> | undefined;
    rooms.audit.append = async (entry) => {
      const row = await append.call(rooms.audit, entry);
      // Its own row is not written yet when the grant goes on.
      if (entry.kind === 'ephemeral.request_access') revocation = rooms.ephemeral.endLeasesOf('token-of-alex');
      return row;
    };
    await expect(rooms.ephemeral.requestAccess(request(), alex)).rejects.toMatchObject({
      kind: 'unauthenticated',
      reason: 'token_revoked',
    });
    await revocation;
    expect(rooms.leases.listAlive()).toEqual([]);
    expect(await rooms.rows('ephemeral.release_access')).toMatchObject([{ payload: { cause: 'revoked' } }]);
  });

  it('takes a lease back when nobody waited for it', async () => {
    const controller = new EphemeralController(rooms.ephemeral, rooms.mesh);
    const answer = await controller.requestEphemeralAccess(
      { ...request(), ttl: undefined, clientPublicKey: nothing, directCertificateSha256: nothing },
      alex.person,
      { ...alex.call, isGone: () => true },
    );
    expect(rooms.leases.listAlive()).toEqual([]);
    expect(await rooms.rows('ephemeral.release_access')).toMatchObject([{ agent_id: answer.agentId }]);
  });

  it('lets nobody take the certificate of another lease along', async () => {
    const { member, lease, mesh } = await leaseWithMesh();
    const thief = request({
      clientPublicKey: newWireGuardKeyPair().publicKey,
      directCertificateSha256: member.certificate.sha256,
    });
    await expect(rooms.ephemeral.requestAccess(thief, asker('jordan'))).rejects.toMatchObject({
      reason: expect.stringMatching(/peer|certificate/),
    });
    expect(rooms.leases.listAlive().map((one) => one.agentId)).toEqual([lease.agentId]);
    const listener = await rooms.mesh.mesh.listen(9_000, (socket) => socket.end('hello'));
    (await mesh.dial('10.137.0.1', 9_000)).destroy();
    await listener.close();
    await mesh.close();
  });

  it('writes one row when release and sweep meet', async () => {
    const { lease } = await rooms.ephemeral.requestAccess(request(), alex);
    await Promise.all([rooms.ephemeral.release(lease.agentId, alex), rooms.ends.sweep(), rooms.ends.sweep()]);
    expect(await rooms.rows('ephemeral.release_access', 'ephemeral.expired')).toHaveLength(1);
  });

  it.each([-86_400_000, -3_600_000, 0])('ends a lease at its time when the wall clock steps by %i ms', async (step) => {
    const { lease } = await rooms.ephemeral.requestAccess(request({ ttl: { seconds: 0, nanos: 300_000_000 } }), alex);
    const granted = rooms.clock.monotonic();
    rooms.clock.wallOffset = step;
    await expect.poll(() => rooms.leases.findAlive(lease.agentId), { interval: 20 }).toBeUndefined();
    expect(rooms.clock.monotonic() - granted).toBeLessThan(1_300);
    await rooms.ends.sweep();
    expect(await rooms.rows('ephemeral.expired')).toMatchObject([{ agent_id: lease.agentId }]);
  });

  it('lets holders in again after a restart, and drops what was never answered', async () => {
    const { lease, seat, mesh } = await leaseWithMesh();
    const key = newWireGuardKeyPair().publicKey;
    const ids = { agentId: agentIdOf(key, 'eph'), seat: { ...seat, keyId: keyIdOf(key), publicKey: key } };
    const lost = rooms.leases.reserve({ ...lease, ...ids, ttl: rooms.leases.rules.maxTtl });
    rooms.mesh.remove(seat.keyId);
    await rooms.ephemeral.resume();
    const listener = await rooms.mesh.mesh.listen(9_000, (socket) => socket.end('hello'));
    (await mesh.dial('10.137.0.1', 9_000)).destroy();
    expect(await rooms.rows('ephemeral.expired')).toMatchObject([
      { agent_id: lost.agentId, payload: { cause: 'unanswered' } },
    ]);
    await listener.close();
    await mesh.close();
  });

  it('refuses when the colony grants no leases', async () => {
    await using closed = await openRooms({ enabled: false });
    await expect(closed.ephemeral.requestAccess(request(), alex)).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'ephemeral_agents_disabled',
    });
    expect(await closed.rows('ephemeral.denied')).toHaveLength(1);
  });
});
