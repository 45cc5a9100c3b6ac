import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { passGate, pathOf } from './gate.js';
import { bearerOf } from './messages.js';

const entrance = {
  audience: 'public' as const,
  hosts: new Set(['colony.example', '127.0.0.1', 'fd42:c0a1::1']),
  origins: new Set(['https://console.example']),
};

/** As Node's own parser reads one. */
async function requestOf(target: string, ...headers: [string, string][]): Promise<IncomingMessage> {
  const server = createServer({ requireHostHeader: false });
  const [near, far] = duplexPair();
  server.emit('connection', far);
  near.write(
    ['POST ' + target + ' HTTP/1.1', ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n'),
  );
  const [request] = (await once(server, 'request')) as [IncomingMessage];
  near.destroy();
  return request;
}

const host: [string, string] = ['Host', 'colony.example:41820'];

describe('passGate', () => {
  it.each(['colony.example', 'COLONY.example:1', '127.0.0.1:41820', '[fd42:c0a1::1]:9080', '[FD42:C0A1::1]'])(
    'lets in who asks for %s',
    async (name) => {
      expect(passGate(await requestOf('/mcp', ['Host', name]), entrance)).toEqual({ path: '/mcp', origin: undefined });
    },
  );

  it.each([
    ['another name', [['Host', 'evil.example']]],
    ['a name with ours in it', [['Host', 'colony.example.evil.example']]],
    ['a name with a user in front', [['Host', 'x@colony.example']]],
    ['a port that is none', [['Host', 'colony.example:x']]],
    ['no name', []],
    ['an empty name', [['Host', '']]],
    ['two names', [host, ['Host', 'evil.example']]],
    ['the same name twice', [host, host]],
  ] as [string, [string, string][]][])('refuses %s', async (_what, headers) => {
    const request = await requestOf('/mcp', ...headers);
    expect(() => passGate(request, entrance)).toThrow(
      expect.objectContaining({ reason: 'host_refused', next: expect.stringContaining('colony.example') }),
    );
  });

  it('lets in the web pages that are allowed, by their whole origin, and no other', async () => {
    const from = async (...origins: string[]) =>
      passGate(await requestOf('/mcp', host, ...origins.map((one): [string, string] => ['Origin', one])), entrance);
    expect((await from('https://console.example')).origin).toBe('https://console.example');
    const others = [
      'http://console.example',
      'https://console.example:444',
      'https://console.example.evil',
      'null',
      '',
    ];
    for (const other of others) {
      await expect(from(other)).rejects.toMatchObject({ reason: 'origin_refused' });
    }
    await expect(from('https://console.example', 'https://console.example')).rejects.toMatchObject({
      reason: 'origin_refused',
    });
  });

  it.each([
    'access_token=x',
    'a=1&API-KEY=x',
    'jwt=',
    'x=eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.x',
    'x=coral_pat_1',
    'x=Bearer%20ey1.ey2',
  ])('refuses a URL that carries what looks like a credential: %s', async (query) => {
    const request = await requestOf(`/mcp?${query}`, host);
    expect(() => passGate(request, entrance)).toThrow(expect.objectContaining({ reason: 'token_in_query' }));
  });

  it('lets other queries in, without taking them for part of the path', async () => {
    expect(passGate(await requestOf('/mcp?page=2&x=coral', host), entrance).path).toBe('/mcp');
    expect(pathOf('/mcp#access_token=x')).toBe('/mcp');
    expect(pathOf('')).toBe('');
  });
});

describe('bearerOf', () => {
  it('reads the one token there is, and none where there are two, or too much of one', async () => {
    const given = async (...values: string[]) =>
      bearerOf(await requestOf('/mcp', ...values.map((value): [string, string] => ['Authorization', value])));
    expect(await given('Bearer abc')).toBe('abc');
    expect(await given('bearer   abc')).toBe('abc');
    expect(await given('Bearer abc', 'Bearer def')).toBeUndefined();
    expect(await given('Bearer abc', 'Bearer abc')).toBeUndefined();
    expect(await given('Basic abc')).toBeUndefined();
    expect(await given('Bearer a b')).toBeUndefined();
    expect(await given('Bearer ')).toBeUndefined();
    expect(await given()).toBeUndefined();
    expect(await given(`Bearer ${'x'.repeat(8_192)}`)).toBeUndefined();
  });
});
