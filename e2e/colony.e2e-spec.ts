import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { callUnary, colonyV1, fetchPinnedCa, openMeshChannel, pinnedCredentials } from '@coral/rpc';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  bearer,
  closing,
  ColonyUnderTest,
  jsonRpc,
  newIdentity,
  runColony,
  slowSql,
  toolCall,
} from './support/start-colony.js';
import { until } from './support/until.js';

describe('a colony', () => {
  let colony: ColonyUnderTest;
  beforeEach(async () => {
    colony = await ColonyUnderTest.start();
  });
  afterEach(() => colony[Symbol.asyncDispose]());

  it('tells strangers its name, and people who they are', async () => {
    using door = await colony.publicDoor();
    const nobody = await callUnary(door.colony, door.colony.describeColony, {});
    expect(nobody).toMatchObject({ colonyId: 'coral', version: '0.1.0', userId: '', roles: [], permissions: [] });
    const { token } = await colony.apiToken('alex');
    const alex = await callUnary(door.colony, door.colony.describeColony, {}, { metadata: bearer(token) });
    expect(alex).toMatchObject({
      userId: 'alex',
      roles: ['developer'],
      permissions: ['read:metrics', 'read:topology', 'read:events', 'read:health'],
    });
    const wrong = { metadata: bearer(token.slice(0, -1)) };
    await expect(callUnary(door.colony, door.colony.describeColony, {}, wrong)).rejects.toMatchObject({
      kind: 'unauthenticated',
      reason: 'token_invalid',
    });
    expect(await colony.rowsOf('auth.refused')).toHaveLength(1);
  });

  it('is known by the fingerprint of its CA, and by no other', async () => {
    expect(await colony.caPem()).toContain('BEGIN CERTIFICATE');
    await expect(fetchPinnedCa(colony.ready.endpoint, `sha256:${'00'.repeat(32)}`)).rejects.toMatchObject({
      kind: 'unauthenticated',
      reason: 'wrong_ca',
    });
  });

  it('keeps its keys, its store and its admin socket to itself', async () => {
    const modes = await Promise.all(
      ['keys/ca.pem', 'keys/access-tokens.jwk', 'keys/wireguard.json', 'control.db', 'admin.sock'].map(async (name) => [
        name,
        ((await stat(join(colony.dataDirectory, name))).mode & 0o777).toString(8),
      ]),
    );
    for (const [name, mode] of modes) expect(`${name} ${mode}`).toBe(`${name} 600`);
  });

  it('serves public services outside the mesh only, and mesh services inside only', async () => {
    const alex = await colony.person('alex');
    await using lease = await alex.lease();
    const channel = await openMeshChannel(lease.mesh, lease.colonyAddress, 9_000);
    using inside = closing(new colonyV1.EphemeralAgentServiceClient(channel.target, credentials.createInsecure()));
    using insideAdmin = closing(new colonyV1.AdminServiceClient(channel.target, credentials.createInsecure()));
    const notSupported = expect.objectContaining({ reason: 'not_supported' });
    const metadata = bearer(alex.token);
    await expect(
      callUnary(inside.client, inside.client.listEphemeralAgents, { userId: '' }, { metadata }),
    ).rejects.toEqual(notSupported);
    await expect(callUnary(insideAdmin.client, insideAdmin.client.listAgents, {})).rejects.toEqual(notSupported);
    await channel.close();

    const trust = pinnedCredentials(await colony.caPem());
    using admin = closing(new colonyV1.AdminServiceClient(colony.ready.endpoint, trust));
    await expect(callUnary(admin.client, admin.client.listAgents, {})).rejects.toEqual(notSupported);
    using telemetry = closing(new colonyV1.TelemetryServiceClient(colony.ready.endpoint, trust));
    const announcement = { version: '1', directEndpoint: '', clockMs: 0 };
    await expect(
      callUnary(telemetry.client, telemetry.client.announceAgent, announcement, { metadata }),
    ).rejects.toEqual(notSupported);
    using mcp = closing(new colonyV1.McpServiceClient(colony.ready.endpoint, trust));
    const call = mcp.client.exchange({ json: Buffer.from('{}') }, bearer(lease.answer.accessToken));
    const [error] = (await once(call, 'error')) as [{ code: number }];
    expect(error.code).toBe(12);
  });

  it('is alive and ready, and measures itself', async () => {
    const get = (path: string) => fetch(`http://${colony.ready.ops}${path}`);
    expect((await get('/livez')).status).toBe(200);
    const ready = await get('/readyz');
    expect([ready.status, await ready.json()]).toEqual([
      200,
      { ready: true, checks: { started: true, audit_writable: true, control_store_open: true } },
    ]);
    expect(await (await get('/metrics')).text()).toContain('coral_leases_active 0');
    const missing = await get('/nothing');
    expect([missing.status, missing.headers.get('content-type'), await missing.json()]).toEqual([
      404,
      expect.stringContaining('application/problem+json'),
      expect.objectContaining({ status: 404, reason: 'no_such_route' }),
    ]);
  });

  it('lets one agent in per join token, under the owner and labels of the token, with a row either way', async () => {
    using door = await colony.publicDoor();
    const joinToken = await colony.joinToken('group:web');
    const enroll = async (token: string, name = 'web-1') => {
      const identity = await newIdentity();
      const request = {
        joinToken: token,
        name,
        publicKey: identity.keyPair.publicKey,
        directCertificateSha256: identity.certificate.sha256,
      };
      return await callUnary(door.enrollment, door.enrollment.enrollAgent, request);
    };
    const agent = await enroll(joinToken);
    expect(agent).toMatchObject({ colonyId: 'coral', owner: 'group:web', labels: { zone: 'a' } });
    expect(agent.agentId).toMatch(/^agt-[a-z2-7]{16}$/);
    expect(agent.mesh).toMatchObject({ addressV4: '10.137.0.2', colonyAddressV4: '10.137.0.1' });
    await expect(enroll(joinToken)).rejects.toMatchObject({ kind: 'unauthenticated', reason: 'join_token_used' });
    await expect(enroll('coral_join_nonsense')).rejects.toMatchObject({ reason: 'join_token_invalid' });
    await expect(enroll(await colony.joinToken(), '')).rejects.toMatchObject({ reason: 'bad_agent_name' });
    expect(await colony.rowsOf('agent.enroll')).toMatchObject([
      { agent_id: agent.agentId, payload: { owner: 'group:web', name: 'web-1' } },
    ]);
    expect((await colony.rowsOf('agent.refused')).map((row) => row.payload['reason'])).toEqual([
      'join_token_used',
      'join_token_invalid',
      'bad_agent_name',
    ]);
    using admin = closing(colony.admin());
    const { agents } = await callUnary(admin.client, admin.client.listAgents, {});
    expect(agents).toMatchObject([
      { agentId: agent.agentId, name: 'web-1', owner: 'group:web', labels: { zone: 'a' } },
    ]);
  });

  it('spends a join token once however many agents try it at the same moment', async () => {
    using door = await colony.publicDoor();
    const joinToken = await colony.joinToken();
    const tries = await Promise.allSettled(
      Array.from({ length: 12 }, async (_, i) => {
        const identity = await newIdentity();
        const request = {
          joinToken,
          name: `web-${i}`,
          publicKey: identity.keyPair.publicKey,
          directCertificateSha256: identity.certificate.sha256,
        };
        return await callUnary(door.enrollment, door.enrollment.enrollAgent, request);
      }),
    );
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('takes administration only with good facts, and audits each act', async () => {
    using admin = closing(colony.admin());
    const create = (userId: string, seconds: number) =>
      callUnary(admin.client, admin.client.createApiToken, { userId, ttl: { seconds, nanos: 0 }, note: '' });
    const made = await create('alex', 60);
    expect(made.token).toMatch(/^coral_pat_/);
    expect((made.expiresAt?.getTime() ?? 0) - Date.now()).toBeLessThanOrEqual(60_000);
    await expect(create('', 60)).rejects.toMatchObject({ reason: 'bad_name', where: 'user_id' });
    await expect(create('alex', 0)).rejects.toMatchObject({ reason: 'bad_ttl' });
    await expect(create('alex', 400 * 86_400)).rejects.toMatchObject({ reason: 'bad_ttl' });
    await expect(callUnary(admin.client, admin.client.revokeApiToken, { tokenId: 'nothing' })).rejects.toMatchObject({
      kind: 'not_found',
      reason: 'no_such_token',
    });
    const rows = await colony.rowsOf('admin');
    expect(rows).toHaveLength(5);
    expect(JSON.stringify(rows)).not.toContain(made.token);
  });

  it('remembers the ports it was given, so that a restart strands nobody', async () => {
    const before = colony.ready;
    await colony.kill('SIGKILL');
    await colony.run();
    expect(colony.ready).toEqual(before);
  });

  it('stops in order: not ready, drained, recorded, exit 0', async () => {
    const alex = await colony.person('alex');
    await using lease = await alex.lease();
    expect(await lease.exchange(jsonRpc('server/discover'))).toHaveLength(1);
    expect(await colony.kill('SIGTERM')).toEqual({ code: 0, signal: null });
    const rows = await colony.audit();
    expect(rows.at(-1)).toMatchObject({ kind: 'colony.stopped', payload: { why: 'SIGTERM' } });
    expect(await colony.verifyAudit()).toMatchObject({ ok: true });
  });

  it('lets a call in progress end before it stops', async () => {
    const alex = await colony.person('alex');
    await using lease = await alex.lease();
    const answer = lease.exchange(toolCall('coral_query', { query: slowSql }));
    await until(async () => (await colony.rowsOf('tool_call.intent')).length > 0, 'the call');
    const stopped = colony.kill('SIGTERM');
    expect(await answer).toMatchObject([
      { result: { isError: true, structuredContent: { error: { reason: 'sql_too_slow' } } } },
    ]);
    expect(await stopped).toEqual({ code: 0, signal: null });
    expect(await colony.rowsOf('tool_call.outcome')).toHaveLength(1);
  });

  it('takes a changed policy without a restart, and keeps the last good one when the file breaks', async () => {
    const { token } = await colony.apiToken('sam');
    using door = await colony.publicDoor();
    const rolesOfSam = async () =>
      (await callUnary(door.colony, door.colony.describeColony, {}, { metadata: bearer(token) })).roles;
    expect(await rolesOfSam()).toEqual([]);
    const text = await readFile(colony.policyFile, 'utf8');
    await writeFile(colony.policyFile, text.replace('[alex, jordan]', '[alex, jordan, sam]'));
    await until(async () => (await rolesOfSam()).includes('developer'), 'the new policy', 10_000);
    await writeFile(colony.policyFile, 'version: 1\nroles: [');
    await until(async () => (await colony.rowsOf('policy.refused')).length > 0, 'the refusal', 10_000);
    expect(await rolesOfSam()).toEqual(['developer']);
    expect(await colony.rowsOf('policy.loaded')).toHaveLength(2);
  });

  it('writes nothing but JSON lines on stderr', async () => {
    const alex = await colony.person('alex');
    await using lease = await alex.lease();
    await lease.exchange(toolCall('coral_get_health'));
    await colony.kill('SIGTERM');
    expect(colony.logLines().length).toBeGreaterThan(1);
    for (const line of colony.logLines())
      expect(line).toMatchObject({ at: expect.any(String), level: expect.any(String) });
  });
});

describe('a colony that must not start', () => {
  let colony: ColonyUnderTest;
  beforeEach(async () => {
    colony = await ColonyUnderTest.prepare();
  });
  afterEach(() => colony[Symbol.asyncDispose]());

  const start = () => runColony(['--config', colony.configFile]);

  it('names file, line and column of a bad configuration', async () => {
    await writeFile(colony.configFile, 'colony:\n  id: shop\nephemral_agents: {}\n');
    const { code, stdout, stderr } = await start();
    expect([code, stdout]).toEqual([78, '']);
    expect(stderr).toContain(`${colony.configFile}:3:1`);
    expect(stderr).toContain('ephemeral_agents');
  });

  it('names file, line and column of a broken policy', async () => {
    await writeFile(colony.policyFile, 'version: 1\nroles:\n  developer:\n    permissions: [read:everything]\n');
    const { code, stderr } = await start();
    expect(code).toBe(78);
    expect(stderr).toContain(`${colony.policyFile}:4:`);
    expect(await colony.rowsOf('policy.refused')).toHaveLength(1);
  });

  it('says which file is missing', async () => {
    const { code, stderr } = await runColony(['--config', join(colony.directory, 'nothing.yaml')]);
    expect([code, stderr.includes('nothing.yaml')]).toEqual([78, true]);
  });

  it('starts without a file of its own, and then needs a policy', async () => {
    const { code, stderr } = await runColony([], { CORAL_HOME: colony.directory });
    expect(code).toBe(78);
    expect(stderr).toContain(join(colony.directory, 'colony', 'policy.yaml'));
  });

  it('refuses a data directory that is in use', async () => {
    await colony.run();
    const { code, stderr } = await start();
    expect(code).toBe(78);
    expect(stderr).toContain('data_directory_in_use');
    await colony.kill('SIGTERM');
  });

  it.each(['listen', 'ops_listen'])('says which key to change when the port of %s is taken', async (key) => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    await colony.configure({ [key]: `127.0.0.1:${(holder.address() as AddressInfo).port}` });
    const { code, stderr } = await start();
    holder.close();
    expect(code).toBe(78);
    expect(stderr).toContain('port_taken');
    expect(stderr).toContain(`\`${key}\``);
  });

  it('refuses a key file that was damaged rather than making a new one', async () => {
    const file = join(colony.dataDirectory, 'keys', 'wireguard.json');
    await mkdir(join(colony.dataDirectory, 'keys'), { recursive: true });
    await writeFile(file, '{"public_key":"', { mode: 0o600 });
    const { code, stderr } = await start();
    expect([code, stderr.includes('key_damaged'), stderr.includes(file)]).toEqual([78, true, true]);
    expect(await readFile(file, 'utf8')).toBe('{"public_key":"');
  });

  it('does not start where it cannot write its audit', async () => {
    await mkdir(colony.dataDirectory);
    await writeFile(join(colony.dataDirectory, 'audit'), 'in the way');
    const { code, stdout } = await start();
    expect(stdout).toBe('');
    expect(code).not.toBe(0);
    await chmod(join(colony.dataDirectory, 'audit'), 0o600);
  });

  it('refuses words it does not know', async () => {
    const { code, stderr } = await runColony(['--confg', 'x']);
    expect([code, stderr.includes('bad_usage')]).toEqual([2, true]);
  });
});
