import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { callUnary } from '@coral/rpc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Forger } from './support/forged-tokens.js';
import { HttpEntrance, type HttpAnswer } from './support/http-entrance.js';
import { SpyAgent } from './support/spy-agent.js';
import { closing, ColonyUnderTest, jsonRpc, policyText, slowSql, toolCall } from './support/start-colony.js';
import { TwoDoors, type Caller } from './support/two-doors.js';
import { until } from './support/until.js';

/** Of a lease or token that ends in the middle of a call: the time until its caller is told. */
const endsWithinMs = 1_000;
const slow = toolCall('coral_query', { query: slowSql });

/** Both eras say everything twice: what holds for one must hold for the other. */
const eras = ['modern', 'legacy'] as const;

describe('who gets in over HTTP', () => {
  let doors: TwoDoors;
  let alex: Caller;

  beforeAll(async () => {
    doors = await TwoDoors.start({
      config: {
        mcp_server: { allowed_origins: ['https://console.example.com'] },
        tools: { deadline: '20s' },
        ephemeral_agents: { max_concurrent_per_user: 20, max_public_per_user: 20 },
      },
    });
    alex = await doors.caller('alex');
  });

  afterAll(async () => {
    await alex[Symbol.asyncDispose]();
    await doors.colony.mustVerify();
    await doors[Symbol.asyncDispose]();
  });

  describe('item 1: another Host or Origin', () => {
    const strangers: [string, Record<string, string | string[]>, string][] = [
      ['a rebound name', { host: 'evil.example.com' }, 'host_refused'],
      ['a name that begins like ours', { host: '127.0.0.1.evil.example.com' }, 'host_refused'],
      ['two names', { host: 'evil.example.com, 127.0.0.1' }, 'host_refused'],
      ['a web page', { origin: 'https://evil.example.com' }, 'origin_refused'],
      ['a page without a name', { origin: 'null' }, 'origin_refused'],
      ['a page on this machine', { origin: 'http://127.0.0.1:41820' }, 'origin_refused'],
      ['an allowed page over plain HTTP', { origin: 'http://console.example.com' }, 'origin_refused'],
    ];

    it.each(strangers)('of %s gets 403 before anything else, with a row', async (_name, headers, reason) => {
      for (const door of alex.doors) {
        for (const era of eras) {
          let answer: HttpAnswer | undefined;
          const rows = await doors.rowsDuring(async () => {
            answer = await door[era](toolCall('coral_get_health'), headers);
          });
          expect(answer).toMatchObject({ status: 403, messages: [{ error: { data: { error: { reason } } } }] });
          expect(answer?.headers).not.toHaveProperty('access-control-allow-origin');
          expect(rows).toMatchObject([
            {
              kind: 'auth.refused',
              user_id: null,
              payload: { door: 'http', audience: door.name, error_reason: reason },
            },
          ]);
        }
      }
    });

    it('of a page that is allowed, in any of the names of the door, gets its answer', async () => {
      const origin = 'https://console.example.com';
      for (const door of alex.doors) {
        const answer = await door.modern(toolCall('coral_get_health'), { origin });
        expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([200, origin]);
        const asked = { origin, 'access-control-request-method': 'POST' };
        const preflight = await door.send({ method: 'OPTIONS', headers: asked });
        expect(preflight).toMatchObject({ status: 204, headers: { 'access-control-allow-methods': 'POST' } });
      }
      for (const host of ['localhost', 'LOCALHOST:1', '[::1]:41820']) {
        expect((await alex.public.modern(jsonRpc('tools/list'), { host })).status).toBe(200);
      }
    });
  });

  it('item 2: by default nothing listens but on loopback, and nobody speaks HTTP on the TLS port', async () => {
    await using colony = await ColonyUnderTest.start();
    const listening = await listeningAddresses(colony.pid);
    expect(listening.length).toBeGreaterThanOrEqual(3);
    for (const address of listening) expect(['127.0.0.1', '::1']).toContain(address);
    const stranger = HttpEntrance.inPublic(colony.ready.endpoint, await colony.caPem());
    for (const path of ['/mcp', '/oauth/token', '/.well-known/oauth-protected-resource']) {
      expect((await stranger.send({ path })).status).toBe(404);
    }
  });

  it('item 3: without a good token there is 401, the way to one, and no word about tools', async () => {
    const forger = await Forger.at(doors.colony);
    for (const door of alex.doors) {
      const bad: [string, string][] = [['none', ''], ...forger.all(door.token)];
      for (const [name, token] of bad) {
        for (const message of [toolCall('coral_get_health'), jsonRpc('tools/list'), jsonRpc('server/discover')]) {
          let answer: HttpAnswer | undefined;
          const rows = await doors.rowsDuring(async () => {
            answer = await door.with(token).modern(message);
          });
          expect([name, answer?.status]).toEqual([name, 401]);
          expect(answer?.text).not.toContain('coral_query');
          expectChallenge(answer, door, token === '');
          expect([name, rows.length]).toEqual([name, 1]);
          expect(rows[0]).toMatchObject({ payload: { door: 'http', audience: door.name } });
        }
        const legacy = await door.with(token).legacy(toolCall('coral_get_health'));
        expect([name, legacy.status]).toEqual([name, 401]);
      }
      const credential = `authorization: Bearer ${door.token}\r\n`;
      const head = `POST /mcp HTTP/1.1\r\nhost: ${door.host}\r\ncontent-type: application/json\r\nconnection: close\r\n`;
      const twice = await door.raw(`${head}${credential.repeat(2)}content-length: 2\r\n\r\n{}`);
      expect(twice).toMatch(/^HTTP\/1\.1 401 .*token_missing/s);
    }
    // So that every refusal above has one cause.
    expect((await alex.public.with(forger.change(alex.public.token, {})).modern(jsonRpc('tools/list'))).status).toBe(
      200,
    );
  });

  function expectChallenge(answer: HttpAnswer | undefined, door: HttpEntrance, missing: boolean): void {
    const url = doors.resource.replace('/mcp', '/.well-known/oauth-protected-resource/mcp');
    const where = door.name === 'public' ? [`resource_metadata="${url}"`] : [];
    const parts = [...(missing ? [] : ['error="invalid_token"']), ...where];
    const expected = parts.length === 0 ? 'Bearer realm="coral"' : `Bearer ${parts.join(', ')}`;
    expect(answer?.headers['www-authenticate']).toBe(expected);
  }

  it('item 4: a token counts at its own door only', async () => {
    await using jordan = await doors.caller('jordan');
    const crossed: [HttpEntrance, string][] = [
      [alex.mesh, alex.public.token],
      [alex.public, alex.mesh.token],
      [alex.mesh, jordan.mesh.token],
      [alex.mesh, alex.person.token],
      [alex.public, alex.person.token],
    ];
    for (const [door, token] of crossed) {
      for (const era of eras) {
        expect((await door.with(token)[era](toolCall('coral_get_health'))).status).toBe(401);
      }
    }
    await expect(alex.lease.exchange(toolCall('coral_get_health'), alex.public.token)).rejects.toMatchObject({
      code: 16,
    });
  });

  it("item 5: nothing of the caller's token goes on to an agent", async () => {
    const policy = policyText.replace('read:health]', 'read:health, read:live_data]');
    await using live = await TwoDoors.start({ policy });
    await using spy = await SpyAgent.join(live.colony, 'alex');
    await using caller = await live.caller('alex');
    const call = toolCall('coral_fetch_live', { agent_id: spy.agentId, sql_query: 'SELECT count(*) AS n FROM spans' });
    for (const door of caller.doors) {
      expect(await door.modern(call)).toMatchObject({ status: 200, messages: [{ result: { isError: false } }] });
      expect(await door.legacy(call)).toMatchObject({ status: 200, messages: [{ result: { isError: false } }] });
    }
    expect(spy.seen).toHaveLength(4);
    const everything = spy.seen.join('\n');
    expect(everything).toContain('count(*)');
    for (const token of [caller.person.token, ...caller.doors.map((door) => door.token)]) {
      for (const part of token.split(/[._]/).filter((word) => word.length > 12)) expect(everything).not.toContain(part);
    }
    expect(everything).not.toMatch(/authorization|bearer/i);
  });

  it('item 6: no token lives longer than 15 minutes, and none outlives its end, not even in a call under way', async () => {
    for (const seconds of ['901', '3600', '0', '-1', '1.5', '9'.repeat(30)]) {
      const { status, text } = await doors.exchange({ subject_token: alex.person.token, expires_in: seconds });
      expect([status, JSON.parse(text)]).toEqual([400, expect.objectContaining({ error: 'invalid_request' })]);
    }
    await using brief = await doors.caller('alex', 2);
    for (const door of brief.doors) expect((await door.modern(jsonRpc('tools/list'))).status).toBe(200);
    const started = performance.now();
    const ended = await Promise.allSettled(brief.doors.flatMap((door) => eras.map((era) => door[era](slow))));
    expect(performance.now() - started).toBeLessThan(2_000 + endsWithinMs);
    // In the mesh the streams are cut with the lease; at the public door the caller is told.
    for (const answer of ended.slice(2)) expect(answer).toMatchObject({ status: 'fulfilled', value: { status: 401 } });
    for (const answer of ended) if (answer.status === 'fulfilled') expect(answer.value.status).toBe(401);
    expect((await brief.public.modern(jsonRpc('tools/list'))).status).toBe(401);
    await expect(brief.mesh.modern(jsonRpc('tools/list'))).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('item 7: what is revoked ends in the middle of a call, and what was being done for it stops', async () => {
    await using caller = await doors.caller('jordan');
    const before = (await doors.colony.rowsOf('tool_call.intent')).length;
    const calls = caller.doors.flatMap((door) => eras.map((era) => door[era](slow)));
    const settled = Promise.allSettled(calls);
    const begun = async () => (await doors.colony.rowsOf('tool_call.intent')).length >= before + calls.length;
    await until(begun, 'the calls');
    using admin = closing(doors.colony.admin());
    const started = performance.now();
    await callUnary(admin.client, admin.client.revokeApiToken, { tokenId: caller.person.tokenId });
    const answers = await settled;
    expect(performance.now() - started).toBeLessThan(endsWithinMs);
    for (const answer of answers.slice(2))
      expect(answer).toMatchObject({ status: 'fulfilled', value: { status: 401 } });
    const outcomes = async () =>
      (await doors.colony.rowsOf('tool_call.outcome')).filter(
        ({ user_id, payload }) => user_id === 'jordan' && payload['error_reason'] === 'lease_expired',
      );
    await until(async () => (await outcomes()).length === calls.length, 'the rows of the ends', 5_000);
    expect((await caller.public.modern(jsonRpc('tools/list'))).status).toBe(401);
    const { status, text } = await doors.exchange({ subject_token: caller.person.token });
    expect([status, JSON.parse(text)]).toEqual([400, expect.objectContaining({ error: 'invalid_request' })]);
    const rows = (await doors.colony.rowsOf('ephemeral.release_access')).slice(-2);
    expect(rows.map(({ payload }) => payload['cause'])).toEqual(['revoked', 'revoked']);
  });

  it('item 7: a role that is taken away counts no more, under the same token', async () => {
    await using caller = await doors.caller('jordan');
    const denied = async () => {
      const { messages } = await caller.public.modern(toolCall('coral_get_health'));
      return (messages[0] as { result: { isError: boolean } }).result.isError;
    };
    expect(await denied()).toBe(false);
    await writeFile(doors.colony.policyFile, policyText.replace('[alex, jordan]', '[alex]'));
    const started = performance.now();
    await until(denied, 'the new policy', 10_000);
    expect(performance.now() - started).toBeLessThan(5_000);
    await writeFile(doors.colony.policyFile, policyText);
    await until(async () => !(await denied()), 'the old policy', 10_000);
  });

  it('item 8: a token in a URL is refused, and no secret is ever written down', async () => {
    const canaries = ['coral_pat_canarycanary_canarycanarycanarycanarycanary', alex.public.token, alex.mesh.token];
    for (const door of alex.doors) {
      for (const canary of canaries) {
        for (const path of [`/mcp?access_token=${canary}`, `/mcp?x=${canary}`, `/mcp?q=1&Token=${canary}`]) {
          let answer: HttpAnswer | undefined;
          const rows = await doors.rowsDuring(async () => {
            answer = await door.send({ path, body: toolCall('coral_get_health') });
          });
          expect(answer?.status).toBe(400);
          expect(rows).toMatchObject([
            { kind: 'auth.refused', payload: { error_reason: 'token_in_query', path: '/mcp' } },
          ]);
        }
        await door.send({ path: `/mcp/${canary}`, headers: { cookie: canary, authorization: `Basic ${canary}` } });
        await door.with(canary.replace('a', 'b')).modern(toolCall('coral_get_health'));
      }
    }
    await doors.exchange({ subject_token: canaries[0] });
    await doors.stranger().send({ path: `/oauth/token?subject_token=${alex.person.token}`, body: '' });
    const written = [JSON.stringify(doors.colony.logLines()), await everyByteOf(doors.colony.auditDirectory)];
    for (const secret of [...canaries, alex.person.token]) {
      for (const text of written) for (const part of secret.split('.')) expect(text).not.toContain(part);
    }
    const { text } = await doors.stranger().send({ path: `/oauth/token?subject_token=${alex.person.token}`, body: '' });
    expect(JSON.parse(text)).toMatchObject({ error: 'invalid_request', reason: 'token_in_query' });
  });
});

/** Where the process listens, as the kernel knows it: hex words of 32 bits, each in host order. */
async function listeningAddresses(pid: number): Promise<string[]> {
  const links = await Promise.all(
    (await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  );
  const own = new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]));
  const found: string[] = [];
  // A TCP socket that listens, a UDP socket that is bound.
  const states = { tcp: '0A', tcp6: '0A', udp: '07', udp6: '07' };
  for (const [file, wanted] of Object.entries(states)) {
    for (const line of (await readFile(`/proc/${pid}/net/${file}`, 'utf8')).split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state !== wanted || inode === undefined || !own.has(inode)) continue;
      const bytes = Buffer.from(local.split(':')[0] ?? '', 'hex').swap32();
      const isV6Loopback =
        bytes.length === 16 && bytes.readUInt8(15) === 1 && bytes.subarray(0, 15).every((b) => b === 0);
      found.push(bytes.length === 4 ? bytes.join('.') : isV6Loopback ? '::1' : bytes.toString('hex'));
    }
  }
  return found;
}

async function everyByteOf(directory: string): Promise<string> {
  const files = await readdir(directory, { recursive: true, withFileTypes: true });
  const texts = files
    .filter((file) => file.isFile())
    .map((file) => readFile(join(file.parentPath, file.name), 'latin1'));
  return (await Promise.all(texts)).join('\n');
}
