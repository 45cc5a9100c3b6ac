import { createServer as createTlsServer } from 'node:https';
import { once } from 'node:events';
import { setGlobalProxyFromEnv } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { newSelfSigned } from '@coral/auth';
import { CoralError } from '@coral/errors';
import { AnthropicServer, callTools, drained, ModelScript, say, WireServer } from '@coral/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { maxErrorBytes, maxStreamBytes, providerFetch } from './provider-http.js';
import { answersTo, canaryKey, collect, pair, question, request, turnOf } from './spec-support/anthropic.js';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/** A server that must not be met: it keeps what it gets. */
async function stranger(): Promise<WireServer> {
  return await new WireServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end();
    return Promise.resolve();
  }).start();
}

describe('the key', () => {
  it('stands in one place: the header x-api-key of requests to the configured address', async () => {
    await using both = await pair([callTools(['coral_get_health']), say('Fine.')]);
    const first = turnOf((await collect(both.provider)).events);
    await collect(both.provider, request([question, first, answersTo(first)]));
    expect(both.server.requests).toHaveLength(2);
    for (const { headers, rawHeaders, body, path } of both.server.requests) {
      expect(headers['x-api-key']).toBe(canaryKey);
      expect(rawHeaders.filter((text) => text.includes('CANARY'))).toHaveLength(1);
      expect(body + path).not.toContain('CANARY');
    }
    // Nor can it be read from what stays in memory under the provider's name: it is asked for when it is sent.
    expect(inspect(both.provider, { depth: 8, showHidden: true })).not.toContain('CANARY');
  });

  it('goes nowhere else, whatever the environment says', async () => {
    await using other = await stranger();
    vi.stubEnv('ANTHROPIC_BASE_URL', other.url);
    vi.stubEnv('ANTHROPIC_API_KEY', 'sk-of-the-environment');
    vi.stubEnv('ANTHROPIC_AUTH_TOKEN', 'token-of-the-environment');
    vi.stubEnv('ANTHROPIC_CUSTOM_HEADERS', 'X-Api-Key: sk-of-the-environment\nX-Spy: 1\nAnthropic-Version: 1999-01-01');
    vi.stubEnv('ANTHROPIC_PROFILE', 'work');
    vi.stubEnv('ANTHROPIC_OPEN_TELEMETRY', 'true');
    vi.stubEnv('OPENAI_BASE_URL', other.url);
    vi.stubEnv('OPENAI_ORG_ID', 'org-of-the-environment');
    await using both = await pair([say('Yes.')]);
    expect((await collect(both.provider)).failure).toBeUndefined();
    const sent = both.server.requests[0];
    expect(Object.keys(sent?.headers ?? {}).toSorted()).toEqual([
      'accept',
      'accept-encoding',
      'anthropic-version',
      'connection',
      'content-length',
      'content-type',
      'host',
      'user-agent',
      'x-api-key',
    ]);
    expect(sent?.rawHeaders.join(' ')).not.toMatch(/of-the-environment|1999/);
    expect(other.requests).toEqual([]);
  });

  it('is not given to a proxy on its way to this machine', async () => {
    await using proxy = await stranger();
    const restore = setGlobalProxyFromEnv({ http_proxy: proxy.url, https_proxy: proxy.url });
    try {
      await using both = await pair([say('Yes.')]);
      expect((await collect(both.provider)).failure).toBeUndefined();
      expect(both.server.requests).toHaveLength(1);
    } finally {
      restore();
    }
    expect(proxy.requests).toEqual([]);
  });

  it.each([301, 302, 303, 307, 308] as const)('follows no redirect: %i', async (status) => {
    await using other = await stranger();
    await using both = await pair([{ fault: 'redirect', status, to: `${other.url}/v1/messages` }]);
    const { failure } = await collect(both.provider);
    expect(failure).toMatchObject({ reason: 'provider_protocol', mayPass: false });
    expect(String(failure)).toContain(`answered ${status}, a redirect to ${other.url}`);
    expect(other.requests).toEqual([]);
  });

  it('is not sent to a server that nobody vouches for, also when Node was told not to care', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const seen: unknown[] = [];
    const { keyPem, certPem } = await newSelfSigned('api.example');
    const server = createTlsServer({ key: keyPem, cert: certPem }, (asked, response) => {
      seen.push(asked.headers);
      response.end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      await using both = await pair([], { endpoint });
      const { failure } = await collect(both.provider);
      expect(failure).toMatchObject({ reason: 'provider_unreachable' });
      expect(String(failure)).toContain('its certificate is not trusted');
    } finally {
      server.close();
    }
    expect(seen).toEqual([]);
  });

  it('is not printed, however much is logged', async () => {
    vi.stubEnv('ANTHROPIC_LOG', 'debug');
    const spies = (['debug', 'info', 'log', 'warn', 'error'] as const).map((level) =>
      vi.spyOn(console, level).mockImplementation(() => undefined),
    );
    await using both = await pair([say('Yes.'), { fault: 'status', status: 500 }, { fault: 'no_json' }], {
      model: 'claude-sonnet-4-5',
    });
    for (let i = 0; i < 3; i += 1) await collect(both.provider);
    expect(both.server.requests).toHaveLength(3);
    for (const spy of spies) expect(spy).not.toHaveBeenCalled();
  });
});

describe('the way to a model’s API', () => {
  const body = '{"stream":true}';

  it.each([
    ['another host', (url: string) => url.replace('127.0.0.1', 'localhost')],
    ['another port', (url: string) => url.replace(/:\d+$/, ':1')],
    ['above the path', () => undefined],
    ['beside the path', (url: string) => `${url}/apis/v1/messages`],
    ['out of the path', (url: string) => `${url}/api/../v1/messages`],
  ])('sends nothing to %s', async (_, to) => {
    await using server = await stranger();
    const fetchIt = providerFetch({
      provider: 'anthropic',
      endpoint: new URL(`${server.url}/api`),
      headers: () => ({ 'x-api-key': canaryKey }),
    });
    const url = to(server.url) ?? `${server.url}/v1/messages`;
    const thrown = await fetchIt(url, { method: 'POST', body }).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(CoralError);
    expect(thrown).toMatchObject({ kind: 'internal', reason: 'provider_elsewhere' });
    expect(server.requests).toEqual([]);
    expect(await (await fetchIt(`${server.url}/api/v1/messages`, { method: 'POST', body })).text()).toBe('');
  });

  it('takes the address with or without /v1 and slash', async () => {
    for (const end of ['', '/', '/v1', '/v1/']) {
      await using server = await AnthropicServer.start(new ModelScript([say('Yes.')]), canaryKey);
      await using both = await pair([], { endpoint: `${server.url}${end}` });
      expect((await collect(both.provider)).failure).toBeUndefined();
      expect(server.requests[0]?.path).toBe('/v1/messages');
    }
  });

  it('outlives an abort that comes when the whole answer is here and only half of it was read', async () => {
    await using server = await new WireServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
      response.end('data: 2\n\n');
      return Promise.resolve();
    }).start();
    const fetchIt = providerFetch({ provider: 'anthropic', endpoint: new URL(server.url), headers: () => ({}) });
    for (let i = 0; i < 20; i += 1) {
      const stop = new AbortController();
      const response = await fetchIt(`${server.url}/v1/messages`, { method: 'POST', body, signal: stop.signal });
      const reader = (response.body as ReadableStream<Uint8Array>).getReader();
      await reader.read();
      await server.requests[i]?.over;
      stop.abort();
      // The rest, or that it was aborted: either is fine, and no error is left for the process to fall over.
      await reader.read().catch((thrown: unknown) => expect(thrown).toMatchObject({ name: 'AbortError' }));
    }
    expect(server.requests).toHaveLength(20);
  });

  it('reads a stream to its limit and no further', async () => {
    const piece = Buffer.alloc(1024 * 1024, 'x');
    let closed = false;
    await using server = await new WireServer(async (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.once('close', () => (closed = true));
      while (!closed) if (!response.write(piece)) await drained(response);
    }).start();
    const fetchIt = providerFetch({ provider: 'anthropic', endpoint: new URL(server.url), headers: () => ({}) });
    const response = await fetchIt(`${server.url}/v1/messages`, { method: 'POST', body });
    let read = 0;
    const thrown = await (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) read += chunk.length;
    })().catch((error: unknown) => error);
    expect(thrown).toMatchObject({ reason: 'provider_protocol' });
    expect(read).toBeLessThanOrEqual(maxStreamBytes);
    expect(read).toBeGreaterThan(maxStreamBytes - 8 * piece.length);
    expect(await server.requests[0]?.over).toBe(false);
  });

  it('reads the beginning of an error, whole or broken off', async () => {
    await using server = await new WireServer((asked, response) => {
      response.writeHead(500, { 'content-length': String(10 * maxErrorBytes) });
      response.write('x'.repeat(asked.path === '/short' ? 10 : 2 * maxErrorBytes), () => response.destroy());
      return Promise.resolve();
    }).start();
    const fetchIt = providerFetch({ provider: 'anthropic', endpoint: new URL(server.url), headers: () => ({}) });
    expect(await (await fetchIt(`${server.url}/short`)).text()).toBe('x'.repeat(10));
    const long = await (await fetchIt(`${server.url}/long`)).text();
    expect(long.length).toBeLessThanOrEqual(maxErrorBytes);
  });
});
