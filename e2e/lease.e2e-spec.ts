import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Metadata } from '@grpc/grpc-js';
import { newWireGuardKeyPair } from '@coral/auth';
import { CoralError } from '@coral/errors';
import { agentIdOf, keyIdOf } from '@coral/model';
import { callUnary, colonyV1 } from '@coral/rpc';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  bearer,
  closing,
  ColonyUnderTest,
  jsonRpc,
  joinAs,
  Leased,
  newIdentity,
  toolCall,
} from './support/start-colony.js';
import type { Person } from './support/start-colony.js';
import { until } from './support/until.js';

describe('a lease', () => {
  let colony: ColonyUnderTest;
  let alex: Person;
  beforeEach(async () => {
    colony = await ColonyUnderTest.start();
    alex = await colony.person('alex');
  });
  afterEach(async () => {
    alex.door[Symbol.dispose]();
    await colony.mustVerify();
    await colony[Symbol.asyncDispose]();
  });

  it('is granted, listed, used, released and gone', async () => {
    const before = Date.now();
    await using lease = await alex.lease(120);
    const { answer, identity } = lease;
    expect(answer.agentId).toBe(agentIdOf(identity.keyPair.publicKey, 'eph'));
    expect(answer.colonyMcpEndpoint).toBe('10.137.0.1:9000');
    const left = (answer.expiresAt?.getTime() ?? 0) - before;
    expect(left).toBeGreaterThan(119_000);
    expect(left).toBeLessThanOrEqual(125_000);

    expect(await alex.list()).toMatchObject([
      { agentId: answer.agentId, userId: 'alex', purpose: 'coral ask', expiresAt: answer.expiresAt },
    ]);
    const [tools] = await lease.exchange(jsonRpc('tools/list'));
    const names = (tools as { result: { tools: { name: string }[] } }).result.tools.map(({ name }) => name);
    expect(names).toEqual(['coral_query', 'coral_get_topology', 'coral_query_events', 'coral_get_health']);
    const [health] = await lease.exchange(toolCall('coral_get_health'));
    expect(health).toMatchObject({ result: { isError: false, structuredContent: { status: 'no_data' } } });

    expect(await alex.release(answer.agentId)).toEqual({ success: true });
    await expect(lease.exchange(toolCall('coral_get_health'))).rejects.toMatchObject({ code: 14 });
    expect(await alex.list()).toEqual([]);
    expect(await alex.release(answer.agentId)).toEqual({ success: true });

    const rows = (await colony.audit()).filter((row) => row.agent_id === answer.agentId);
    expect(rows.map((row) => row.kind)).toEqual([
      'ephemeral.request_access',
      'tool_call.intent',
      'tool_call.outcome',
      'ephemeral.release_access',
      'ephemeral.release_access',
    ]);
    expect(rows[0]).toMatchObject({
      user_id: 'alex',
      payload: { ttl_seconds: 120, purpose: 'coral ask', token_id: alex.tokenId, key_id: lease.identity.keyId },
    });
    expect(rows[0]?.payload['ip_address']).toMatch(/127\.0\.0\.1/);
  });

  it('comes with a complete WireGuard configuration, and with a private key only when the colony made it', async () => {
    const own = newWireGuardKeyPair();
    const mine = await alex.request({ clientPublicKey: own.publicKey });
    const theirs = await alex.request();
    expect(mine.wireguardConfig).not.toContain('PrivateKey');
    expect(theirs.wireguardConfig).toMatch(/^\[Interface\]\nPrivateKey = [A-Za-z0-9+/]{43}=\n/);
    for (const { wireguardConfig, mesh } of [mine, theirs]) {
      expect(wireguardConfig).toContain(`Address = ${mesh?.addressV4}/32, ${mesh?.addressV6}/128\n`);
      expect(wireguardConfig).toContain(`[Peer]\nPublicKey = ${mesh?.colonyPublicKey.toString('base64')}\n`);
      expect(wireguardConfig).toContain('AllowedIPs = 10.137.0.0/16, fd42:c0a1::/48\n');
      expect(wireguardConfig).toContain(`Endpoint = ${mesh?.endpoint}\n`);
    }
    expect(mine.mesh?.addressV4).not.toBe(theirs.mesh?.addressV4);
  });

  it('leaves no private key behind, anywhere', async () => {
    const { wireguardConfig } = await alex.request();
    const key = /PrivateKey = (\S+)/.exec(wireguardConfig)?.[1] as string;
    const raw = Buffer.from(key, 'base64');
    await colony.kill('SIGTERM');
    const files = await readdir(colony.directory, { recursive: true, withFileTypes: true });
    for (const file of files.filter((one) => one.isFile())) {
      const bytes = await readFile(join(file.parentPath, file.name));
      expect([file.name, bytes.includes(key), bytes.includes(raw)]).toEqual([file.name, false, false]);
    }
    expect(JSON.stringify(colony.logLines())).not.toContain(key);
  });

  it.each<[string, colonyV1.RequestEphemeralAccessRequest['ttl'], string]>([
    ['zero', { seconds: 0, nanos: 0 }, 'bad_ttl'],
    ['minus one second', { seconds: -1, nanos: 0 }, 'bad_ttl'],
    ['one second over the maximum', { seconds: 901, nanos: 0 }, 'bad_ttl'],
    ['one nanosecond over the maximum', { seconds: 900, nanos: 1 }, 'bad_ttl'],
    ['2^53 - 1 seconds', { seconds: Number.MAX_SAFE_INTEGER, nanos: 0 }, 'bad_ttl'],
  ])('is refused with a ttl of %s, naming the maximum, and the refusal is audited', async (_name, ttl, reason) => {
    await expect(alex.request({ ttl })).rejects.toMatchObject({
      kind: 'invalid_argument',
      reason,
      where: 'ttl',
      message: expect.stringContaining('15m'),
    });
    expect(await colony.rowsOf('ephemeral.denied')).toMatchObject([
      { user_id: 'alex', payload: { action: 'request_access', reason } },
    ]);
  });

  it('is refused with a ttl that no number can hold', async () => {
    const client = alex.door.ephemeral;
    // ttl { seconds: 2^63 - 1 }: field 2, a message of one varint.
    const bytes = Buffer.from([0x12, 0x0a, 0x08, ...Array.from({ length: 8 }, () => 0xff), 0x7f]);
    const call = client.makeUnaryRequest(
      colonyV1.EphemeralAgentServiceService.requestEphemeralAccess.path,
      (raw: Buffer) => raw,
      (raw: Buffer) => raw,
      bytes,
      bearer(alex.token),
      () => undefined,
    );
    const [status] = (await once(call, 'status')) as [{ code: number; details: string }];
    expect(status).toMatchObject({ code: 3 });
    expect(await colony.rowsOf('ephemeral.denied')).toMatchObject([
      { user_id: 'alex', payload: { reason: 'malformed_request' } },
    ]);
  });

  it('takes the default ttl when none is asked for', async () => {
    const { expiresAt } = await alex.request();
    expect((expiresAt?.getTime() ?? 0) - Date.now()).toBeGreaterThan(295_000);
    expect((expiresAt?.getTime() ?? 0) - Date.now()).toBeLessThanOrEqual(300_000);
  });

  it('is refused to a fourth holder of the same name, naming the three', async () => {
    const held = [await alex.request(), await alex.request(), await alex.request()];
    const refusal = await alex.request().catch((thrown: unknown) => thrown);
    expect(refusal).toMatchObject({ kind: 'resource_exhausted', reason: 'too_many_leases' });
    for (const { agentId } of held) expect((refusal as Error).message).toContain(agentId);
    await alex.release(held[0]?.agentId ?? '');
    expect((await alex.request()).agentId).toMatch(/^eph-/);
  });

  it('is granted exactly three times to each of three people who ask fifty times at once', async () => {
    const people = [alex, await colony.person('jordan'), await colony.person('sam')];
    const answers = await Promise.allSettled(
      people.flatMap((person) => Array.from({ length: 50 }, () => person.request())),
    );
    const granted = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    expect(granted).toHaveLength(9);
    expect(new Set(granted.map(({ mesh }) => mesh?.addressV4)).size).toBe(9);
    for (const person of people) expect(await person.list()).toHaveLength(3);
    expect(await colony.rowsOf('ephemeral.request_access')).toHaveLength(9);
    expect(await colony.rowsOf('ephemeral.denied')).toHaveLength(141);
  });

  it('is refused in another name, and the row names who really asked', async () => {
    await expect(alex.request({ userId: 'riley' })).rejects.toMatchObject({
      kind: 'permission_denied',
      reason: 'user_mismatch',
    });
    expect(await colony.rowsOf('ephemeral.denied')).toMatchObject([
      { user_id: 'alex', payload: { action: 'request_access', reason: 'user_mismatch' } },
    ]);
    expect(await colony.rowsOf('ephemeral.request_access')).toEqual([]);
  });

  it.each<[string, (alex: Person) => Metadata, string]>([
    ['no token', () => new Metadata(), 'token_missing'],
    ['a token of nobody', () => bearer('coral_pat_abcdefghijkl_nonsense'), 'token_invalid'],
    [
      'a token with one letter changed',
      ({ token }) => bearer(token.replace(/.$/, (c) => (c === '0' ? '1' : '0'))),
      'token_invalid',
    ],
    ['another scheme', ({ token }) => basic(token), 'token_missing'],
  ])('is refused with %s', async (_name, metadataOf, reason) => {
    const { ephemeral } = alex.door;
    const options = { metadata: metadataOf(alex) };
    await expect(callUnary(ephemeral, ephemeral.listEphemeralAgents, { userId: '' }, options)).rejects.toMatchObject({
      kind: 'unauthenticated',
      reason,
    });
    expect(await colony.rowsOf('auth.refused')).toMatchObject([{ user_id: null, payload: { reason } }]);
  });

  it('ends with the API token it was granted to', async () => {
    await using lease = await alex.lease();
    using admin = closing(colony.admin());
    await callUnary(admin.client, admin.client.revokeApiToken, { tokenId: alex.tokenId });
    await expect(lease.exchange(jsonRpc('server/discover'))).rejects.toMatchObject({ code: 14 });
    await expect(alex.request()).rejects.toMatchObject({ kind: 'unauthenticated', reason: 'token_revoked' });
    expect(await colony.rowsOf('ephemeral.release_access')).toMatchObject([
      { agent_id: lease.answer.agentId, payload: { cause: 'revoked' } },
    ]);
  });

  it('is released by its holder, by those who manage leases, and by nobody else', async () => {
    const { agentId } = await alex.request();
    const jordan = await colony.person('jordan');
    const riley = await colony.person('riley');
    await expect(jordan.release(agentId)).rejects.toMatchObject({
      kind: 'permission_denied',
      reason: 'not_your_lease',
    });
    await expect(jordan.list('alex')).rejects.toMatchObject({ kind: 'permission_denied', reason: 'not_your_leases' });
    expect(await jordan.list()).toEqual([]);
    expect(await riley.list()).toHaveLength(1);
    expect(await riley.list('alex')).toHaveLength(1);
    await riley.release(agentId);
    expect(await alex.list()).toEqual([]);
    expect(
      (await colony.rowsOf('ephemeral.denied')).map(({ user_id, payload }) => [user_id, payload['reason']]),
    ).toEqual([
      ['jordan', 'not_your_lease'],
      ['jordan', 'not_your_leases'],
    ]);
    expect(await colony.rowsOf('ephemeral.release_access')).toMatchObject([
      { user_id: 'riley', agent_id: agentId, payload: { lease_user_id: 'alex' } },
    ]);
  });

  it('is refused on a key that is on the mesh already, or that is none', async () => {
    const { publicKey } = newWireGuardKeyPair();
    await alex.request({ clientPublicKey: publicKey });
    const jordan = await colony.person('jordan');
    await expect(jordan.request({ clientPublicKey: publicKey })).rejects.toMatchObject({ reason: 'key_in_use' });
    const colonyKey = (await alex.request()).mesh?.colonyPublicKey ?? Buffer.alloc(0);
    await expect(jordan.request({ clientPublicKey: colonyKey })).rejects.toMatchObject({ reason: 'key_in_use' });
    for (const bad of [Buffer.alloc(31, 1), Buffer.alloc(32), Buffer.alloc(33, 1)]) {
      await expect(jordan.request({ clientPublicKey: bad })).rejects.toMatchObject({ reason: 'bad_public_key' });
    }
  });

  it('ends at its time: streams are cut, its token is worth nothing, and the row says expired', async () => {
    await using lease = await alex.lease(2);
    const [first] = await lease.exchange(jsonRpc('tools/list'));
    expect(first).toHaveProperty('result');
    const socket = await lease.mesh.dial(lease.colonyAddress, 9_000);
    socket.on('error', () => undefined);
    const cut = new Promise<number>((resolve) => socket.once('close', () => resolve(Date.now())));
    socket.resume();
    const late = (await cut) - (lease.answer.expiresAt?.getTime() ?? 0);
    expect(late).toBeLessThan(1_000);
    await expect(lease.exchange(jsonRpc('tools/list'))).rejects.toMatchObject({ code: 14 });
    await until(async () => (await colony.rowsOf('ephemeral.expired')).length > 0, 'the row', 5_000);
    expect(await colony.rowsOf('ephemeral.expired')).toMatchObject([
      { user_id: 'alex', agent_id: lease.answer.agentId, payload: { cause: 'expired' } },
    ]);
    expect(await alex.list()).toEqual([]);
  });

  it('keeps its end over kill -9 and restart, and every answered call has its rows', async () => {
    await using lease = await alex.lease(600);
    const short = await alex.request({ ttl: { seconds: 1, nanos: 0 } });
    await lease.exchange(toolCall('coral_get_health'));
    await colony.kill('SIGKILL');
    await colony.run();
    using door = await colony.publicDoor();
    const { agents } = await callUnary(
      door.ephemeral,
      door.ephemeral.listEphemeralAgents,
      { userId: '' },
      {
        metadata: bearer(alex.token),
      },
    );
    expect(agents.find(({ agentId }) => agentId === lease.answer.agentId)?.expiresAt).toEqual(lease.answer.expiresAt);
    await lease.mesh.close();
    await using rejoined = new Leased(
      lease.answer,
      lease.identity,
      await joinAs(lease.answer, lease.identity, colony.ready.endpoint),
    );
    const [again] = await rejoined.exchange(toolCall('coral_get_health'));
    expect(again).toMatchObject({ result: { isError: false } });
    await until(async () => (await colony.rowsOf('ephemeral.expired')).length > 0, 'the row of the short one', 5_000);
    expect(await colony.rowsOf('ephemeral.expired')).toMatchObject([{ agent_id: short.agentId }]);
    expect(await colony.rowsOf('tool_call.outcome')).toHaveLength(2);
  });

  it('is accounted for over twenty times kill -9 under load: every answered call has its row', async () => {
    const lease = await alex.lease(900);
    // One key is one machine's: two ends that use it would take the session from each other.
    await lease.mesh.close();
    const answered: string[] = [];
    let lives = 0;
    while (lives < 20) {
      await using mine = new Leased(
        lease.answer,
        lease.identity,
        await joinAs(lease.answer, lease.identity, colony.ready.endpoint),
      );
      let running = true;
      const callers = Array.from({ length: 4 }, async (_, caller) => {
        for (let i = 0; running; i += 1) {
          const name = `call-${lives}-${caller}-${i}`;
          const frames = await mine.exchange(toolCall('coral_get_health', { service_filter: name })).catch(() => []);
          if (frames.length > 0) answered.push(name);
        }
      });
      const enough = answered.length + 4 + lives;
      await until(() => answered.length >= enough, 'answers', 20_000);
      await colony.kill('SIGKILL');
      running = false;
      // Nobody says goodbye for it: what was under way hears of its end from the next life.
      await colony.run();
      await Promise.all(callers);
      lives += 1;
    }
    const told = new Set(
      (await colony.rowsOf('tool_call.outcome')).map(
        ({ payload }) => (payload['tool_args'] as { service_filter: string }).service_filter,
      ),
    );
    expect(answered.filter((name) => !told.has(name))).toEqual([]);
    expect(answered.length).toBeGreaterThan(80);
  });
});

describe('the mesh', () => {
  it('lets in nobody whose key has no lease, and says so in the audit', async () => {
    await using colony = await ColonyUnderTest.start();
    const alex = await colony.person('alex');
    await using lease = await alex.lease();
    const stranger = await newIdentity();
    await using mesh = await joinAs(lease.answer, stranger, colony.ready.endpoint);
    // WireGuard answers strangers with silence.
    await expect(mesh.dial(lease.colonyAddress, 9_000, { timeoutMs: 1_000 })).rejects.toBeInstanceOf(CoralError);
    await until(async () => (await colony.rowsOf('auth.refused')).length > 0, 'the row', 5_000);
    expect((await colony.rowsOf('auth.refused')).slice(0, 1)).toMatchObject([
      {
        user_id: null,
        payload: {
          door: 'mesh',
          reason: 'unknown_peer',
          key_id: keyIdOf(stranger.keyPair.publicKey),
        },
      },
    ]);
    alex.door[Symbol.dispose]();
  });
});

function basic(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Basic ${token}`);
  return metadata;
}
