import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HttpAnswer, HttpEntrance } from './support/http-entrance.js';
import { jsonRpc, toolCall } from './support/start-colony.js';
import { tokenExchange, TwoDoors, type Caller } from './support/two-doors.js';

type Json = Record<string, unknown>;

const read = (answer: HttpAnswer): Json => JSON.parse(answer.text) as Json;

describe('tokens for the public door', () => {
  let doors: TwoDoors;
  let alex: Caller;

  beforeAll(async () => {
    doors = await TwoDoors.start();
    alex = await doors.caller('alex');
  });

  afterAll(async () => {
    await alex[Symbol.asyncDispose]();
    await doors.colony.mustVerify();
    await doors[Symbol.asyncDispose]();
  });

  it('are found by following the links, beginning with a refusal', async () => {
    const stranger = doors.stranger();
    const follow = async (url: unknown): Promise<Json> => {
      const { host, pathname } = new URL(String(url));
      expect(host).toBe(stranger.host);
      return read(await stranger.send({ method: 'GET', path: pathname }));
    };
    const refused = await stranger.modern(toolCall('coral_get_health'));
    const metadata = /resource_metadata="([^"]+)"/.exec(String(refused.headers['www-authenticate']))?.[1];
    const resource = await follow(metadata);
    expect(resource).toMatchObject({ resource: doors.resource, bearer_methods_supported: ['header'] });
    expect(await follow(new URL('/.well-known/oauth-protected-resource', doors.resource))).toEqual(resource);
    const [issuer] = resource['authorization_servers'] as string[];
    const server = await follow(`${issuer}/.well-known/oauth-authorization-server`);
    expect(server).toEqual({
      issuer,
      token_endpoint: `${issuer}/oauth/token`,
      response_types_supported: [],
      grant_types_supported: [tokenExchange.grant_type],
      token_endpoint_auth_methods_supported: ['none'],
      scopes_supported: resource['scopes_supported'],
      protected_resources: [doors.resource],
    });
    const answer = await doors.exchange({ subject_token: alex.person.token, resource: String(resource['resource']) });
    expect(answer).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store', pragma: 'no-cache' } });
    const token = read(answer);
    expect(token).toEqual({
      access_token: expect.stringMatching(/^ey/),
      issued_token_type: tokenExchange.subject_token_type,
      token_type: 'Bearer',
      expires_in: expect.any(Number),
    });
    expect(token['expires_in']).toBeGreaterThan(295);
    expect(token['expires_in']).toBeLessThanOrEqual(300);
    const called = await stranger.with(String(token['access_token'])).modern(toolCall('coral_get_health'));
    expect(called).toMatchObject({ status: 200, messages: [{ result: { isError: false } }] });
  });

  it.each(['modern', 'legacy'] as const)('and leases alike serve the official client, %s', async (era) => {
    for (const door of alex.doors) {
      const transport = new StreamableHTTPClientTransport(new URL(`https://${door.host}/mcp`), {
        fetch: fetchOver(door),
      });
      const mode = era === 'legacy' ? 'legacy' : 'auto';
      const client = new Client({ name: 'e2e', version: '1' }, { versionNegotiation: { mode } });
      await client.connect(transport);
      expect((await client.listTools()).tools.map(({ name }) => name)).toContain('coral_get_health');
      const health = await client.callTool({ name: 'coral_get_health', arguments: {} });
      expect(health).toMatchObject({ isError: false, structuredContent: { status: 'no_data' } });
      await expect(client.callTool({ name: 'coral_nothing', arguments: {} })).rejects.toMatchObject({ code: -32_602 });
      await client.close();
    }
  });

  it('are leases: listed, released by their owner, and then over', async () => {
    const { person, public: open } = alex;
    const token = await doors.token(person, { client_id: 'an agent in the cloud' });
    const listed = (await person.list()).filter(({ agentId }) => agentId.startsWith('pub-'));
    const mine = listed.at(-1);
    expect(mine).toMatchObject({ userId: 'alex', purpose: 'MCP over HTTP, an agent in the cloud' });
    await using sam = await doors.caller('sam');
    await expect(sam.person.release(mine?.agentId ?? '')).rejects.toMatchObject({ reason: 'not_your_lease' });
    expect((await open.with(token).modern(jsonRpc('tools/list'))).status).toBe(200);
    await person.release(mine?.agentId ?? '');
    const answer = await open.with(token).modern(jsonRpc('tools/list'));
    expect(answer).toMatchObject({
      status: 401,
      messages: [{ error: { data: { error: { reason: 'lease_expired' } } } }],
    });
    const rows = await doors.colony.rowsOf('ephemeral.release_access');
    expect(rows.at(-1)).toMatchObject({ user_id: 'alex', agent_id: mine?.agentId, payload: { cause: 'released' } });
  });

  it('survive a restart of the colony, like every lease, under the same name', async () => {
    await using live = await TwoDoors.start();
    await using caller = await live.caller('alex');
    const resource = live.resource;
    await live.colony.kill('SIGKILL');
    await live.colony.run();
    expect(live.resource).toBe(resource);
    expect((await caller.public.modern(jsonRpc('tools/list'))).status).toBe(200);
  });

  it('are limited per user, apart from leases in the mesh', async () => {
    await using jordan = await doors.caller('jordan');
    await doors.token(jordan.person);
    await doors.token(jordan.person);
    const refused = await doors.exchange({ subject_token: jordan.person.token });
    expect([refused.status, read(refused)]).toEqual([
      429,
      expect.objectContaining({ error: 'temporarily_unavailable', reason: 'too_many_leases' }),
    ]);
    await jordan.person.lease();
    const denied = (await doors.colony.rowsOf('ephemeral.denied')).at(-1);
    expect(denied).toMatchObject({ user_id: 'jordan', payload: { action: 'request_public_access' } });
  });

  it.each<[string, Record<string, string | undefined>, string]>([
    ['no grant type', { grant_type: undefined }, 'invalid_request'],
    ['a password grant', { grant_type: 'password' }, 'unsupported_grant_type'],
    ['no token', { subject_token: undefined }, 'invalid_request'],
    ['an empty token', { subject_token: '' }, 'invalid_request'],
    ['a token of nobody', { subject_token: 'coral_pat_abcdefghijkl_abcdefghijklmnopqrstuvwxyz' }, 'invalid_request'],
    ['another type of token', { subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' }, 'invalid_request'],
    ['an actor', { actor_token: 'x', actor_token_type: 'y' }, 'invalid_request'],
    ['another resource', { resource: 'https://other.example.com/mcp' }, 'invalid_target'],
    ['another audience', { audience: 'coral-mesh:coral' }, 'invalid_target'],
    ['a refresh token', { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }, 'invalid_request'],
    ['an unknown scope', { scope: 'offline_access' }, 'invalid_scope'],
    ['a long life', { expires_in: '901' }, 'invalid_request'],
  ])('are refused for %s, in the words of OAuth, with a row', async (_name, parameters, error) => {
    let answer: HttpAnswer | undefined;
    const rows = await doors.rowsDuring(async () => {
      answer = await doors.exchange({ subject_token: alex.person.token, ...parameters });
    });
    expect(answer).toMatchObject({ status: 400, headers: { 'content-type': 'application/json' } });
    expect(read(answer as HttpAnswer)).toEqual({
      error,
      error_description: expect.stringMatching(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/),
      reason: expect.any(String),
    });
    expect(rows).toHaveLength(1);
    expect(['auth.refused', 'ephemeral.denied']).toContain(rows[0]?.kind);
  });

  it('are not for what is no form, has a parameter twice, or is not posted', async () => {
    const stranger = doors.stranger();
    const path = '/oauth/token';
    const form = { 'content-type': 'application/x-www-form-urlencoded' };
    const twice = `grant_type=a&${new URLSearchParams({ ...tokenExchange, subject_token: alex.person.token })}`;
    expect((await stranger.send({ path, headers: form, body: twice })).status).toBe(400);
    expect((await stranger.send({ path, headers: { 'content-type': 'application/json' }, body: {} })).status).toBe(400);
    expect((await stranger.send({ path, headers: form, body: 'x'.repeat(20_000) })).status).toBe(413);
    const got = await stranger.send({ method: 'GET', path });
    expect(got).toMatchObject({ status: 405, headers: { allow: 'POST' } });
  });

  it('cannot be tried for without end', async () => {
    let answer: HttpAnswer;
    let tries = 0;
    do answer = await doors.exchange({ subject_token: 'x' });
    while (answer.status === 400 && (tries += 1) < 500);
    expect(answer).toMatchObject({ status: 429, headers: { 'retry-after': expect.stringMatching(/^\d+$/) } });
    expect(tries).toBeGreaterThanOrEqual(30);
    expect((await doors.colony.rowsOf('auth.refused')).at(-1)?.payload).toMatchObject({
      error_reason: 'too_many_attempts',
      asked_for: 'access_token',
    });
    // Who has a token already is not held up.
    expect((await alex.public.modern(jsonRpc('tools/list'))).status).toBe(200);
  });
});

/** For the official client: its requests, with the door's token, over the door's own connections. */
function fetchOver(door: HttpEntrance): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const { status, headers, text } = await door.send({
      method: request.method,
      path: new URL(request.url).pathname,
      headers: { ...Object.fromEntries(request.headers), authorization: `Bearer ${door.token}` },
      ...(request.method === 'POST' ? { body: await request.text() } : {}),
    });
    const pairs = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]);
    return new Response(status === 202 || status === 204 ? null : text, { status, headers: pairs });
  };
}
