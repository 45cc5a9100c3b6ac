import { once } from 'node:events';
import { Server } from '@grpc/grpc-js';
import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js';
import { agentV1, grpcServerOptions, MeshGrpcServer, toServiceError } from '@coral/rpc';
import { CoralError } from '@coral/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { agentGrpcPort } from '../edge/mesh-ports.js';
import { callFromHere, joinAs, newMember, openRooms } from '../spec-support/rooms.js';
import type { Rooms } from '../spec-support/rooms.js';
import { MeshAgentCaller } from './agent-caller.js';
import type { EnrolledAgent } from './agent.repository.js';

type QueryCall = ServerUnaryCall<agentV1.RunQueryRequest, agentV1.RunQueryResponse>;

describe('enrolment', () => {
  let rooms: Rooms;
  beforeEach(async () => {
    rooms = await openRooms();
  });
  afterEach(() => rooms[Symbol.asyncDispose]());

  const newToken = () =>
    rooms.joinTokens.create({ owner: 'group:web', labels: { zone: 'a' }, lifetimeMs: 60_000 }).token;

  function requestFrom(member: Awaited<ReturnType<typeof newMember>>, joinToken: string) {
    return {
      joinToken,
      name: 'web-1',
      publicKey: member.keyPair.publicKey,
      directCertificateSha256: member.certificate.sha256,
    };
  }

  it('lets nobody in, and keeps the token good, when the audit cannot be written', async () => {
    const member = await newMember();
    const joinToken = newToken();
    rooms.disk.full = true;
    await expect(rooms.enrolment.enroll(requestFrom(member, joinToken), callFromHere)).rejects.toMatchObject({
      reason: 'audit_unavailable',
    });
    expect(rooms.agents.list()).toEqual([]);
    rooms.disk.full = false;
    await expect
      .poll(() => rooms.enrolment.enroll(requestFrom(member, joinToken), callFromHere).catch(() => undefined))
      .toMatchObject({ owner: 'group:web' });
  });

  it('refuses a key that is on the mesh already, whoever holds it, and spends no token on it', async () => {
    const member = await newMember();
    const first = newToken();
    await rooms.enrolment.enroll(requestFrom(member, first), callFromHere);
    const second = newToken();
    await expect(rooms.enrolment.enroll(requestFrom(member, second), callFromHere)).rejects.toMatchObject({
      reason: 'key_in_use',
      where: 'public_key',
    });
    expect(rooms.joinTokens.check(second)).toMatchObject({ owner: 'group:web' });
  });

  it.each([
    ['a name with a line break', { name: 'a\nb' }, 'bad_agent_name'],
    ['a name of 129 characters', { name: 'x'.repeat(129) }, 'bad_agent_name'],
    ['half a key', { publicKey: Buffer.alloc(16, 1) }, 'bad_public_key'],
    ['no certificate', { directCertificateSha256: Buffer.alloc(0) }, 'bad_certificate_hash'],
  ])('refuses %s', async (_name, wrong, reason) => {
    const request = { ...requestFrom(await newMember(), newToken()), ...wrong };
    await expect(rooms.enrolment.enroll(request, callFromHere)).rejects.toMatchObject({
      kind: 'invalid_argument',
      reason,
    });
    expect(await rooms.rows('agent.refused')).toMatchObject([{ payload: { reason } }]);
  });

  it('tells those without a token nothing about the rest of their request', async () => {
    const request = { ...requestFrom(await newMember(), 'coral_join_x'), publicKey: Buffer.alloc(1) };
    await expect(rooms.enrolment.enroll(request, callFromHere)).rejects.toMatchObject({ reason: 'join_token_invalid' });
  });

  describe('an agent that joined', () => {
    let agent: EnrolledAgent;
    let member: Awaited<ReturnType<typeof newMember>>;
    beforeEach(async () => {
      member = await newMember();
      agent = await rooms.enrolment.enroll(requestFrom(member, newToken()), callFromHere);
    });

    it('is remembered with its owner, its services and its last sign of life', () => {
      rooms.roster.touch(agent.agentId, 1_000, ['web', 'api']);
      rooms.roster.touch(agent.agentId, 900, ['web', 'cart']);
      expect(rooms.roster.list()).toMatchObject([
        { agentId: agent.agentId, lastSeen: 1_000, services: ['web', 'api', 'cart'] },
      ]);
      rooms.roster[Symbol.dispose]();
      expect(rooms.agents.findById(agent.agentId)).toMatchObject({
        lastSeenAt: 1_000,
        services: ['web', 'api', 'cart'],
      });
      expect(rooms.roster.ownerOf(agent.agentId)).toBe('group:web');
      expect(rooms.roster.ownerOf('agt-nobody')).toBeUndefined();
      expect(rooms.roster.agentOf(agent.keyId)?.agentId).toBe(agent.agentId);
    });

    it('may not send the colony elsewhere than to this machine', () => {
      expect(() => rooms.roster.setDirectEndpoint(agent.agentId, '192.0.2.1:443')).toThrow(
        expect.objectContaining({ reason: 'direct_driver_forbidden' }),
      );
      expect(rooms.agents.findById(agent.agentId)?.directEndpoint).toBeUndefined();
    });

    it('answers SQL over the mesh, with its own errors and under our limits', async () => {
      const server = new Server(grpcServerOptions);
      const asked: agentV1.RunQueryRequest[] = [];
      server.addService(agentV1.AgentServiceService, {
        runQuery: (call: QueryCall, callback: sendUnaryData<agentV1.RunQueryResponse>) => {
          asked.push(call.request);
          if (call.request.sql === 'hang') return;
          if (call.request.sql === 'refuse') {
            const problem = { kind: 'invalid_argument', reason: 'sql_refused', message: 'not this' } as const;
            callback(toServiceError(new CoralError(problem)));
            return;
          }
          callback(null, {
            columns: [{ name: 'n', type: 'INTEGER' }],
            rowsJson: Buffer.from('[[1],[2]]'),
            rowCount: 2,
            truncated: false,
            asOfMs: 5,
            oldestMs: 4,
          });
        },
      });
      const end = await joinAs(member, rooms.mesh.settingsFor(agent.host), { host: '127.0.0.1', port: 0 });
      const meshServer = new MeshGrpcServer(server);
      await end.listen(agentGrpcPort, meshServer.serve);
      const caller = new MeshAgentCaller(rooms.mesh, rooms.roster);
      const limits = { maxRows: 10, maxBytes: 1_000, timeoutMs: 5_000 };
      const never = new AbortController().signal;
      const ask = (sql: string, signal = never) => caller.runQuery(agent.agentId, sql, limits, signal);

      await expect(ask('SELECT 1')).rejects.toMatchObject({ kind: 'unavailable' });
      rooms.roster.setDirectEndpoint(agent.agentId, end.endpoint ?? '');
      await expect
        .poll(() => ask('SELECT 1').catch(() => undefined), { timeout: 10_000 })
        .toEqual({
          columns: [{ name: 'n', type: 'INTEGER' }],
          rows: [[1], [2]],
          truncated: false,
          asOf: 5,
          oldest: 4,
        });
      expect(asked.at(-1)).toMatchObject({ maxRows: 10, maxBytes: 1_000, timeout: { seconds: 5, nanos: 0 } });
      await expect(ask('refuse')).rejects.toMatchObject({ kind: 'invalid_argument', reason: 'sql_refused' });
      const gone = new AbortController();
      const hanging = ask('hang', gone.signal).catch((thrown: unknown) => thrown);
      await expect.poll(() => asked.at(-1)?.sql).toBe('hang');
      gone.abort();
      expect(await hanging).toMatchObject({ kind: 'cancelled' });

      await caller[Symbol.asyncDispose]();
      await meshServer.close(0);
      await end.close();
      server.forceShutdown();
    });

    it('is let in again after a restart', async () => {
      rooms.mesh.remove(agent.keyId);
      rooms.roster.admitAll(rooms.mesh);
      await using end = await joinAs(member, rooms.mesh.settingsFor(agent.host));
      const listener = await rooms.mesh.mesh.listen(9_000, (socket) => socket.end('hello'));
      const socket = await end.dial('10.137.0.1', 9_000);
      const [bytes] = (await once(socket, 'data')) as [Buffer];
      expect(bytes.toString()).toBe('hello');
      socket.destroy();
      await listener.close();
    });
  });
});
