import { EventEmitter, once } from 'node:events';
import { setDefaultCACertificates, getCACertificates } from 'node:tls';
import type { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';
import { VirtualClock } from '@coral/testing';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Proxy } from './proxy.js';
import { openProxy, openTcp } from './spec-support/open-proxy.js';
import { RelayClient, type RelayClientLimits, type RelayState } from './relay-client.js';
import { newCredentials, openRelay, someDatagrams, type Credentials, type Relay } from './spec-support/open-relay.js';

let credentials: Credentials;
let strangers: Credentials;
const open: RelayClient[] = [];

beforeAll(async () => {
  [credentials, strangers] = [await newCredentials(), await newCredentials(['127.0.0.1', 'colony.example'])];
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.close()));
});

class Watched extends EventEmitter<{ told: [] }> {
  readonly client: RelayClient;
  readonly states: RelayState[] = [];
  readonly errors: CoralError[] = [];
  readonly received: Buffer[] = [];
  from: unknown;
  readonly clock = new VirtualClock();

  constructor(
    target: { port: number; host?: string; proxy?: Proxy; caPem?: string },
    limits: Partial<RelayClientLimits>,
  ) {
    super();
    this.client = new RelayClient({
      target: { host: '127.0.0.1', caPem: credentials.caPem, ...target },
      clock: this.clock,
      random: () => 0,
      limits: { firstRetryMs: 60_000, lastRetryMs: 60_000, ...limits },
      onDatagram: (datagram, from) => {
        this.from = from;
        this.received.push(datagram);
        this.emit('told');
      },
      onState: (state, error) => {
        this.states.push(state);
        if (error) this.errors.push(error);
        this.emit('told');
      },
    });
    open.push(this.client);
    this.client.start();
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await once(this, 'told');
  }

  async reached(state: RelayState): Promise<this> {
    await this.until(() => this.states.at(-1) === state);
    return this;
  }
}

async function dial(
  target: { port: number; host?: string; proxy?: Proxy; caPem?: string },
  limits: Partial<RelayClientLimits> = {},
): Promise<Watched> {
  return await new Watched(target, limits).reached('open');
}

/** The error that the first attempt ends with. */
async function failure(
  target: { port: number; host?: string; proxy?: Proxy; caPem?: string },
  limits: Partial<RelayClientLimits> = {},
): Promise<CoralError> {
  const watched = await new Watched(target, limits).reached('waiting');
  expect(watched.states).toEqual(['connecting', 'waiting']);
  expect(watched.client.lastError).toBe(watched.errors[0]);
  return watched.errors[0] as CoralError;
}

async function idOf(relay: Relay): Promise<string> {
  await relay.host.until(() => relay.host.ids.length > relay.host.gone.length);
  return relay.host.ids.at(-1) as string;
}

describe('the client of a relay', () => {
  it('carries datagrams both ways', async () => {
    await using relay = await openRelay(credentials);
    const watched = await dial({ port: relay.port });
    const up = someDatagrams(50, 1_452);
    const down = someDatagrams(50, 148);
    for (const datagram of up) expect(watched.client.send(datagram)).toBe(true);
    await relay.host.until(() => relay.host.received().length === 50);
    relay.host.send(await idOf(relay), down);
    await watched.until(() => watched.received.length === 50);
    expect(relay.host.received()).toEqual(up);
    expect(watched.received).toEqual(down);
    expect(watched.from).toBe(watched.client.endpoint);
    expect(watched.client.counters()).toMatchObject({ txDatagrams: 50, rxDatagrams: 50, rxBytes: 50 * 148 });
  });

  it('answers pings, and so lives', async () => {
    await using relay = await openRelay(credentials);
    const watched = await dial({ port: relay.port });
    relay.host.bind(await idOf(relay), 'peer' as KeyId);
    for (let i = 1; i <= 4; i += 1) {
      relay.clock.advance(15_000);
      relay.server.sweep();
      // Goes down behind the ping, and comes back behind the pong.
      relay.host.send(relay.host.ids[0] as string, [Buffer.alloc(32)]);
      await watched.until(() => watched.received.length === i);
      watched.client.send(Buffer.alloc(32));
      await relay.host.until(() => relay.host.received().length === i);
    }
    expect(relay.server.counters().open).toBe(1);
  });

  it('loses datagrams while there is no connection, and beyond what may wait', async () => {
    await using relay = await openRelay(credentials);
    const watched = new Watched({ port: relay.port }, { sendQueueBytes: 10_000 });
    expect(watched.client.send(Buffer.alloc(148))).toBe(false);
    await watched.reached('open');
    const sent = someDatagrams(10, 1_452).map((datagram) => watched.client.send(datagram));
    expect(sent).toEqual([true, true, true, true, true, true, false, false, false, false]);
    expect(watched.client.counters()).toMatchObject({
      txDatagrams: 6,
      dropped: { not_connected: 1, send_queue_full: 4 },
    });
    await relay.host.until(() => relay.host.received().length === 6);
  });

  it('dials again when the connection ends, under the same endpoint', async () => {
    await using relay = await openRelay(credentials);
    const watched = await dial({ port: relay.port }, { firstRetryMs: 1 });
    const { endpoint } = watched.client;
    relay.host.cut(await idOf(relay));
    await relay.host.until(() => relay.host.ids.length === 2);
    await watched.reached('open');
    expect(watched.states).toEqual(['connecting', 'open', 'waiting', 'connecting', 'open']);
    expect(watched.errors[0]).toMatchObject({
      reason: 'relay_lost',
      message: expect.stringContaining('peer_gone, code 4002'),
    });
    expect(watched.client.endpoint).toBe(endpoint);
    expect(endpoint).toEqual({ carrier: 'ws', address: expect.stringMatching(/^[0-9a-f]{32}$/), port: 0 });
  });

  it('dials again until somebody answers', async () => {
    const gone = await openTcp(undefined);
    const { port } = gone;
    const watched = new Watched({ port }, { firstRetryMs: 1, lastRetryMs: 5 });
    await watched.until(() => watched.errors.length === 3);
    await gone[Symbol.asyncDispose]();
    await watched.until(() => watched.errors.length === 6);
    expect(new Set(watched.errors.map(({ reason }) => reason))).toEqual(new Set(['relay_unreachable']));
    await using _relay = await openRelay(credentials, {}, { port });
    await watched.reached('open');
  });

  it('does not dial again when it is stopped, whatever it was doing', async () => {
    await using silent = await openTcp('');
    const dialling = new Watched({ port: silent.port }, {});
    dialling.client.stop();
    await dialling.client.close();
    expect(dialling.states).toEqual(['connecting', 'idle']);

    await using relay = await openRelay(credentials);
    const watched = await dial({ port: relay.port });
    watched.client.stop();
    expect(watched.client.send(Buffer.alloc(148))).toBe(false);
    await relay.host.until(() => relay.host.gone.length === 1);
    await watched.client.close();
    expect(watched.states).toEqual(['connecting', 'open', 'idle']);
    expect(relay.server.counters()).toMatchObject({ open: 0, closed: { left: 1 } });
    watched.client.start();
    await watched.reached('open');
  });

  it('takes a server that says nothing for dead', async () => {
    await using relay = await openRelay(credentials);
    const watched = await dial({ port: relay.port }, { silenceMs: 50 });
    await watched.reached('waiting');
    expect(watched.errors[0]).toMatchObject({ reason: 'relay_lost' });
  });

  it.each([
    ['text', (socket: { write(bytes: Buffer): void }) => socket.write(Buffer.from([0x81, 1, 65]))],
    [
      'a message of 1501 bytes',
      (socket: { write(bytes: Buffer): void }) =>
        socket.write(Buffer.concat([Buffer.from([0x82, 126, 0x05, 0xdd]), Buffer.alloc(1_501)])),
    ],
    [
      'a message of 5 bytes',
      (socket: { write(bytes: Buffer): void }) =>
        socket.write(Buffer.concat([Buffer.from([0x82, 5]), Buffer.alloc(5)])),
    ],
  ])('leaves a server that sends %s', async (what, misbehave) => {
    await using relay = await openRelay(credentials);
    relay.https.prependListener('upgrade', (_request, socket) => setImmediate(() => misbehave(socket)));
    const watched = await new Watched({ port: relay.port }, {}).reached('waiting');
    expect(watched.errors[0]).toMatchObject({ reason: 'relay_broke_rules', message: expect.stringContaining(what) });
    expect(watched.received).toEqual([]);
  });
});

describe('trust', () => {
  it('is in the pinned CA alone, not in the machine’s', async () => {
    await using relay = await openRelay(strangers);
    const known = getCACertificates('default');
    setDefaultCACertificates([...known, strangers.caPem]);
    try {
      expect(await failure({ port: relay.port })).toMatchObject({
        kind: 'unauthenticated',
        reason: 'wrong_ca',
        where: `127.0.0.1:${relay.port}`,
      });
    } finally {
      setDefaultCACertificates(known);
    }
    expect(relay.server.counters().opened).toBe(0);
  });

  it('is in the name that was dialled', async () => {
    const other = await newCredentials(['colony.example']);
    await using relay = await openRelay(other);
    expect(await failure({ port: relay.port, caPem: other.caPem })).toMatchObject({
      kind: 'unauthenticated',
      reason: 'wrong_name',
    });
    await using named = await openRelay(credentials);
    await dial({ host: 'localhost', port: named.port });
  });

  it('ends with the certificate', async () => {
    const lastYear = new VirtualClock({ wall: Date.now() - 365 * 86_400_000 });
    const old = await newCredentials(['127.0.0.1'], lastYear);
    await using relay = await openRelay(old);
    expect(await failure({ port: relay.port, caPem: old.caPem })).toMatchObject({
      reason: 'certificate_not_in_time',
      next: expect.stringContaining('clock'),
    });
  });
});

describe('through a proxy', () => {
  it('asks for a tunnel to the colony, and nothing else', async () => {
    await using relay = await openRelay(credentials);
    await using way = await openProxy();
    const watched = await dial({ port: relay.port, proxy: way.proxy });
    watched.client.send(Buffer.alloc(148, 3));
    await relay.host.until(() => relay.host.received().length === 1);
    expect(way.asked).toEqual([{ to: `127.0.0.1:${relay.port}`, authorization: undefined }]);
  });

  it('behind TLS of its own', async () => {
    await using relay = await openRelay(credentials);
    await using way = await openProxy({ tls: strangers });
    const target = { port: relay.port, proxy: way.proxy };
    expect(await failure(target)).toMatchObject({
      reason: 'proxy_unreachable',
      message: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
    });
    const known = getCACertificates('default');
    setDefaultCACertificates([...known, strangers.caPem]);
    try {
      await dial(target);
    } finally {
      setDefaultCACertificates(known);
    }
  });

  it('that wants a password', async () => {
    await using relay = await openRelay(credentials);
    await using way = await openProxy({ password: 'ann:p@ss' });
    await dial({ port: relay.port, proxy: { ...way.proxy, credentials: 'ann:p@ss' } });
    const none = await failure({ port: relay.port, proxy: way.proxy });
    expect(none).toMatchObject({ reason: 'proxy_auth_required', next: expect.stringContaining('user:password@') });
    const wrong = await failure({ port: relay.port, proxy: { ...way.proxy, credentials: 'ann:wrong' } });
    expect(wrong).toMatchObject({ reason: 'proxy_auth_required', message: expect.stringContaining('did not accept') });
    expect(`${JSON.stringify(wrong)} ${wrong.message}`).not.toContain('ann');
  });

  it.each([
    [
      'HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM abc\r\n\r\n',
      'proxy_auth_required',
      'Negotiate or NTLM',
    ],
    ['HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno', 'proxy_refused', '403'],
    ['HTTP/1.1 502 Bad Gateway\r\n\r\n', 'proxy_refused', '502'],
    ['HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n', 'proxy_refused', '302'],
    ['HTTP/1.1 200 OK\r\n\r\nSSH-2.0-what', 'proxy_not_http', 'not an HTTP proxy'],
    ['garbage\r\n\r\n', 'proxy_not_http', 'not an HTTP proxy'],
    [`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`, 'proxy_not_http', 'not an HTTP proxy'],
  ])('that answers %j', async (answer, reason, words) => {
    await using way = await openProxy({ answer });
    const error = await failure({ port: 9, proxy: way.proxy });
    expect(error).toMatchObject({
      reason,
      message: expect.stringContaining(words),
      next: expect.stringMatching(/\w{3}/),
    });
    expect(error.where).toBe(`127.0.0.1:${way.proxy.port}`);
  });

  it.each([
    ['that hangs', 'proxy_timeout', async () => openProxy({ answer: '' })],
    ['that is no proxy and hangs', 'proxy_timeout', async () => withProxy(await openTcp(''))],
    ['that hangs up', 'proxy_unreachable', async () => withProxy(await openTcp(undefined))],
    [
      'that speaks something else',
      'proxy_not_http',
      async () => withProxy(await openTcp('220 mail.example ESMTP\r\n')),
    ],
  ])('%s', async (_what, reason, start) => {
    await using way = await start();
    expect(
      await failure({ port: 9, proxy: way.proxy }, reason === 'proxy_timeout' ? { handshakeMs: 100 } : {}),
    ).toMatchObject({ reason });
  });

  it('that is not there', async () => {
    const gone = await openTcp('');
    await gone[Symbol.asyncDispose]();
    const proxy = { secure: false, host: '127.0.0.1', port: gone.port };
    expect(await failure({ port: 9, proxy })).toMatchObject({ kind: 'unavailable', reason: 'proxy_unreachable' });
  });

  it('that inspects TLS', async () => {
    // It opens the tunnel to itself: what is behind has a certificate of its own CA.
    await using inspector = await openRelay(strangers);
    await using way = await openProxy();
    const error = await failure({ port: inspector.port, proxy: way.proxy });
    expect(error).toMatchObject({ reason: 'wrong_ca', next: expect.stringContaining('inspects TLS') });
  });
});

describe('a colony', () => {
  it.each([
    ['that hangs', '', 'relay_timeout'],
    ['that hangs up', undefined, 'relay_unreachable'],
    ['that does not speak TLS', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'relay_unreachable'],
  ])('%s', async (_what, greeting, reason) => {
    await using server = await openTcp(greeting);
    expect(await failure({ port: server.port }, reason === 'relay_timeout' ? { handshakeMs: 100 } : {})).toMatchObject({
      reason,
    });
  });

  it('that does not know the relay, or has no room', async () => {
    await using full = await openRelay(credentials, { connections: 0 });
    expect(await failure({ port: full.port })).toMatchObject({
      kind: 'unavailable',
      reason: 'relay_refused',
      message: expect.stringContaining('503'),
    });
    await using plain = await openRelay(credentials);
    plain.https.removeAllListeners('upgrade');
    plain.https.on('request', (_request, response) => response.writeHead(404).end());
    expect(await failure({ port: plain.port })).toMatchObject({
      kind: 'failed_precondition',
      reason: 'relay_refused',
      message: expect.stringContaining('404'),
    });
  });

  it('that hangs in the upgrade', async () => {
    await using relay = await openRelay(credentials);
    relay.https.removeAllListeners('upgrade');
    relay.https.on('upgrade', () => undefined);
    expect(await failure({ port: relay.port }, { handshakeMs: 100 })).toMatchObject({
      kind: 'deadline_exceeded',
      reason: 'relay_timeout',
    });
  });
});

function withProxy(server: { port: number } & AsyncDisposable): { proxy: Proxy } & AsyncDisposable {
  return {
    proxy: { secure: false, host: '127.0.0.1', port: server.port },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
