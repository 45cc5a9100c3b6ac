import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import type { KeyId } from '@coral/model';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket, type ClientOptions } from 'ws';
import { newCredentials, openRelay, someDatagrams, type Credentials, type Relay } from './spec-support/open-relay.js';

const peer = 'peer-one' as KeyId;
const otherPeer = 'peer-two' as KeyId;

let credentials: Credentials;
const open: { terminate(): void }[] = [];

beforeAll(async () => {
  credentials = await newCredentials();
});

afterEach(() => {
  for (const client of open.splice(0)) client.terminate();
});

function dial(relay: Relay, options: ClientOptions = {}, protocol: string | string[] = 'coral-wg.v1'): WebSocket {
  const ws = new WebSocket(relay.url, protocol, { ca: credentials.caPem, perMessageDeflate: false, ...options });
  open.push(ws);
  // Its `close` is what the specs look at.
  ws.on('error', () => undefined);
  return ws;
}

/** A client whose connection is open at both ends, and its id. */
async function join(relay: Relay): Promise<{ ws: WebSocket; id: string }> {
  const before = relay.host.ids.length;
  const ws = dial(relay);
  await Promise.all([once(ws, 'open'), relay.host.until(() => relay.host.ids.length > before)]);
  return { ws, id: relay.host.ids.at(-1) as string };
}

async function closeOf(ws: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(ws, 'close')) as [number, Buffer];
  return { code, reason: reason.toString() };
}

async function refusalOf(ws: WebSocket): Promise<{ status: number; title: string }> {
  const [, response] = await once(ws, 'unexpected-response');
  const body = Buffer.concat(await response.toArray()).toString();
  return { status: response.statusCode, title: JSON.parse(body).title };
}

/** However it ends. */
async function closed(socket: TLSSocket): Promise<void> {
  await new Promise((resolve) => socket.once('close', resolve));
}

/** A TLS client that speaks for itself. */
async function rawSocket(relay: Relay): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port: relay.port, ca: credentials.caPem });
  open.push({ terminate: () => socket.destroy() });
  socket.on('error', () => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

const handshake = [
  'GET /v1/mesh/relay HTTP/1.1',
  'host: colony',
  'connection: Upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-protocol: coral-wg.v1',
  '',
  '',
].join('\r\n');

describe('datagrams', () => {
  it('go up in order, those of one turn together, as views of one buffer that can be transferred', async () => {
    await using relay = await openRelay(credentials);
    const { ws, id } = await join(relay);
    const sent = someDatagrams(40, 1_452);
    for (const datagram of sent) ws.send(datagram);
    await relay.host.until(() => relay.host.received().length === 40);
    expect(relay.host.received()).toEqual(sent);
    expect(relay.host.batches.length).toBeLessThan(40);
    for (const batch of relay.host.batches) {
      expect(batch.id).toBe(id);
      const whole = batch.datagrams[0]?.buffer as ArrayBuffer;
      expect(new Set(batch.datagrams.map(({ buffer }) => buffer)).size).toBe(1);
      expect(whole.byteLength).toBe(batch.datagrams.length * 1_452);
      structuredClone(batch, { transfer: [whole] });
      expect(whole.byteLength).toBe(0);
    }
    expect(relay.server.counters()).toMatchObject({ rxDatagrams: 40, rxBytes: 40 * 1_452 });
  });

  it('go down in order, each a binary message', async () => {
    await using relay = await openRelay(credentials);
    const { ws, id } = await join(relay);
    const sent = someDatagrams(40, 148);
    const got: Buffer[] = [];
    const all = new Promise<void>((resolve) =>
      ws.on('message', (data: Buffer, isBinary) => {
        expect(isBinary).toBe(true);
        if (got.push(data) === 40) resolve();
      }),
    );
    relay.host.send(id, sent);
    await all;
    expect(got).toEqual(sent);
    expect(relay.server.counters()).toMatchObject({ txDatagrams: 40, txBytes: 40 * 148 });
  });

  it.each([32, 1_500])('of %i bytes pass', async (bytes) => {
    await using relay = await openRelay(credentials);
    const { ws } = await join(relay);
    ws.send(Buffer.alloc(bytes, 7));
    await relay.host.until(() => relay.host.received().length === 1);
    expect(relay.host.received()[0]).toHaveLength(bytes);
  });

  it.each([
    ['shorter than any of WireGuard', Buffer.alloc(31), 1008, 'datagram_too_small'],
    ['of no bytes', Buffer.alloc(0), 1008, 'datagram_too_small'],
    ['longer than a UDP path takes', Buffer.alloc(1_501), 1009, 'datagram_too_large'],
    ['longer than is read at all', Buffer.alloc(2_049), 1009, 'datagram_too_large'],
  ])('%s end the connection', async (_what, message, code, reason) => {
    await using relay = await openRelay(credentials);
    const { ws, id } = await join(relay);
    ws.send(message);
    expect(await closeOf(ws)).toMatchObject({ code });
    await relay.host.until(() => relay.host.gone.includes(id));
    expect(relay.host.received()).toEqual([]);
    expect(relay.server.counters()).toMatchObject({ open: 0, closed: { [reason]: 1 } });
  });

  it('in text end the connection', async () => {
    await using relay = await openRelay(credentials);
    const { ws } = await join(relay);
    ws.send('x'.repeat(148));
    expect(await closeOf(ws)).toEqual({ code: 1003, reason: 'text_message' });
    expect(relay.host.received()).toEqual([]);
  });

  it('in more pieces than a proxy would make end the connection', async () => {
    await using relay = await openRelay(credentials);
    const { ws } = await join(relay);
    for (let i = 0; i < 20; i += 1) ws.send(Buffer.alloc(8), { fin: false });
    expect(await closeOf(ws)).toMatchObject({ code: 1008 });
    expect(relay.server.counters().closed.broke_protocol).toBe(1);
  });

  it('beyond the rate of a connection that nobody proved himself on are lost before WireGuard sees them', async () => {
    await using relay = await openRelay(credentials, { unboundBurst: 10, unboundRate: 100, boundBurst: 50 });
    const { ws, id } = await join(relay);
    const answered = once(ws, 'pong');
    for (const datagram of someDatagrams(30, 148)) ws.send(datagram);
    await relay.host.until(() => relay.host.received().length === 10);
    relay.host.bind(id, peer);
    ws.ping();
    await answered;
    expect(relay.server.counters().dropped.rate_limited).toBe(20);
    for (const datagram of someDatagrams(40, 148)) ws.send(datagram);
    await relay.host.until(() => relay.host.received().length === 50);
    relay.clock.advance(1_000);
    expect(relay.server.counters()).toMatchObject({ rxDatagrams: 50, dropped: { rate_limited: 20 } });
  });

  it('are lost and counted while the worker does not keep up', async () => {
    await using relay = await openRelay(credentials, { workerBacklogBytes: 1_000 });
    const { ws } = await join(relay);
    relay.host.backlog = 1_001;
    const answered = once(ws, 'pong');
    for (const datagram of someDatagrams(3, 148)) ws.send(datagram);
    ws.ping();
    await answered;
    relay.host.backlog = 1_000;
    ws.send(Buffer.alloc(148, 9));
    await relay.host.until(() => relay.host.received().length === 1);
    expect(relay.host.received()[0]?.[0]).toBe(9);
    expect(relay.server.counters().dropped.worker_busy).toBe(3);
  });

  it('for a slow reader: the newest are lost, and nothing grows', async () => {
    await using relay = await openRelay(credentials, { sendQueueBytes: 65_536 });
    const { ws, id } = await join(relay);
    ws.pause();
    // Until the system's buffers are full the reader counts as quick.
    const batch = someDatagrams(64, 1_452);
    let offered = 0;
    while (relay.server.counters().dropped.send_queue_full < 640) {
      relay.host.send(id, batch);
      offered += batch.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { txDatagrams, dropped } = relay.server.counters();
    expect(txDatagrams + dropped.send_queue_full).toBe(offered);
    let got = 0;
    const all = new Promise<void>((resolve) => ws.on('message', () => (got += 1) === txDatagrams && resolve()));
    ws.resume();
    await all;
    expect(relay.server.counters().open).toBe(1);
  });

  it('for a connection that is no more are counted', async () => {
    await using relay = await openRelay(credentials);
    relay.host.send('00'.repeat(16), someDatagrams(2, 148));
    expect(relay.server.counters().dropped.not_connected).toBe(2);
  });
});

describe('an upgrade', () => {
  it.each([
    ['from a web page', { origin: 'https://evil.example' }, 'coral-wg.v1', 403, 'web_page'],
    ['from a web page of old', { headers: { 'Sec-WebSocket-Origin': 'x' } }, 'coral-wg.v1', 403, 'web_page'],
    ['of another subprotocol', {}, 'chat', 400, 'wrong_subprotocol'],
    ['of no subprotocol', {}, [], 400, 'wrong_subprotocol'],
    ['of another version', { protocolVersion: 8 }, 'coral-wg.v1', 400, 'bad_upgrade'],
  ] as const)('%s is refused', async (_what, options, protocol, status, title) => {
    await using relay = await openRelay(credentials);
    const ws = dial(relay, options as ClientOptions, protocol as string | string[]);
    expect(await refusalOf(ws)).toEqual({ status, title });
    expect(relay.host.ids).toEqual([]);
    expect(relay.server.counters()).toMatchObject({ opened: 0, refused: { [title]: 1 } });
  });

  it('of another path is refused', async () => {
    await using relay = await openRelay(credentials);
    const ws = dial({ ...relay, url: `${relay.url}/more` });
    expect(await refusalOf(ws)).toEqual({ status: 404, title: 'wrong_path' });
  });

  it('that is broken is refused', async () => {
    await using relay = await openRelay(credentials);
    const socket = await rawSocket(relay);
    socket.write(handshake.replace('dGhlIHNhbXBsZSBub25jZQ==', 'short'));
    const answer = Buffer.concat(await socket.toArray()).toString();
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(relay.server.counters().refused.bad_upgrade).toBe(1);
  });

  it('that trickles in is cut off by the server and never takes a place', async () => {
    await using relay = await openRelay(credentials, {}, { headersTimeout: 100 });
    const socket = await rawSocket(relay);
    const ended = closed(socket);
    const trickle = setInterval(() => socket.write('x-slow: 1\r\n'), 20);
    socket.write(handshake.slice(0, -2));
    socket.resume();
    await ended;
    clearInterval(trickle);
    expect(relay.server.counters()).toMatchObject({ open: 0, opened: 0 });
  });

  it('is answered with our subprotocol, no extensions, and its sender’s address', async () => {
    await using relay = await openRelay(credentials);
    const ws = dial(relay, { perMessageDeflate: true }, ['chat', 'coral-wg.v1']);
    await once(ws, 'open');
    expect([ws.protocol, ws.extensions]).toEqual(['coral-wg.v1', '']);
    expect(relay.host.addresses).toEqual(['127.0.0.1']);
    expect(relay.host.ids[0]).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe('a connection that no peer proves himself on', () => {
  it('lives for 5 s', async () => {
    await using relay = await openRelay(credentials);
    const { ws, id } = await join(relay);
    relay.clock.advance(4_999);
    relay.server.sweep();
    expect(relay.server.counters().open).toBe(1);
    relay.clock.advance(1);
    relay.server.sweep();
    expect(await closeOf(ws)).toEqual({ code: 4001, reason: 'never_bound' });
    expect(relay.host.gone).toEqual([id]);
  });

  it('does so by itself, half a message or not', async () => {
    await using relay = await openRelay(credentials, { sweepEveryMs: 5 });
    const socket = await rawSocket(relay);
    socket.write(handshake);
    await once(socket, 'data');
    // A frame of 148 bytes of which ten come.
    socket.write(Buffer.from([0x82, 0xfe, 0, 148, 1, 2, 3, 4, 5, 6]));
    relay.clock.advance(5_000);
    socket.resume();
    await closed(socket);
    expect(relay.server.counters()).toMatchObject({ open: 0, closed: { never_bound: 1 } });
  });

  it('stays when one does', async () => {
    await using relay = await openRelay(credentials);
    const { id } = await join(relay);
    relay.host.bind(id, peer);
    relay.clock.advance(5_001);
    relay.server.sweep();
    expect(relay.server.counters()).toMatchObject({ open: 1, bound: 1 });
  });

  it.each([{ unboundPerSource: 2 }, { unbound: 2 }])('makes way for a younger one: %o', async (limits) => {
    await using relay = await openRelay(credentials, limits);
    const [first, second] = [await join(relay), await join(relay)];
    const firstClosed = closeOf(first.ws);
    await join(relay);
    expect(await firstClosed).toEqual({ code: 4003, reason: 'crowded_out' });
    expect(relay.host.gone).toEqual([first.id]);
    expect(second.ws.readyState).toBe(WebSocket.OPEN);
    expect(relay.server.counters().open).toBe(2);
  });
});

describe('a bound connection', () => {
  it('ends at once with its peer, even when the worker says nothing', async () => {
    await using relay = await openRelay(credentials);
    const [mine, also, other] = [await join(relay), await join(relay), await join(relay)];
    relay.host.bind(mine.id, peer);
    relay.host.bind(also.id, peer);
    relay.host.bind(other.id, otherPeer);
    const ends = Promise.all([closeOf(mine.ws), closeOf(also.ws)]);
    relay.server.cutPeer(peer);
    // Before anything else happens: nothing goes out any more, and the host knows.
    expect(relay.host.gone).toEqual([mine.id, also.id]);
    relay.host.send(mine.id, someDatagrams(1, 148));
    expect(relay.server.counters()).toMatchObject({ open: 1, bound: 1, dropped: { not_connected: 1 } });
    expect(await ends).toEqual([
      { code: 4002, reason: 'peer_gone' },
      { code: 4002, reason: 'peer_gone' },
    ]);
  });

  it('says nothing more to the host once it is cut, whatever was on its way', async () => {
    await using relay = await openRelay(credentials, { closeGraceMs: 1_000 });
    const { ws, id } = await join(relay);
    relay.host.bind(id, peer);
    ws.send(Buffer.alloc(148, 1));
    await relay.host.until(() => relay.host.received().length === 1);
    relay.host.cut(id);
    // The client has not heard of it: these go out before its answer to the close frame, and are read before it.
    for (const datagram of someDatagrams(2, 148)) ws.send(datagram);
    expect(await closeOf(ws)).toEqual({ code: 4002, reason: 'peer_gone' });
    expect(relay.host.received()).toHaveLength(1);
    expect(relay.server.counters().rxDatagrams).toBe(1);
  });

  it('is cut off when it does not leave', async () => {
    await using relay = await openRelay(credentials, { closeGraceMs: 1_000 });
    const { ws, id } = await join(relay);
    ws.pause();
    relay.host.cut(id);
    relay.clock.advance(1_000);
    relay.server.sweep();
    const end = closeOf(ws);
    ws.resume();
    // The close frame was sent, whether or not the cut was faster.
    expect([4002, 1006]).toContain((await end).code);
  });

  it('is pinged every 15 s, and dead after two pings without an answer', async () => {
    await using relay = await openRelay(credentials);
    const [alive, dead] = [await join(relay), await join(relay)];
    for (const { id } of [alive, dead]) relay.host.bind(id, peer);
    dead.ws.pause();
    for (let i = 0; i < 3; i += 1) {
      expect(relay.host.gone).toEqual([]);
      const pinged = once(alive.ws, 'ping');
      const answered = relay.server.counters().rxDatagrams;
      relay.clock.advance(15_000);
      relay.server.sweep();
      if (i === 2) break;
      await pinged;
      // Behind the pong, so that it has come when this has.
      alive.ws.send(Buffer.alloc(32));
      await relay.host.until(() => relay.server.counters().rxDatagrams > answered);
    }
    expect(relay.host.gone).toEqual([dead.id]);
    expect(relay.server.counters()).toMatchObject({ open: 1, closed: { silent: 1 } });
  });

  it('leaves the caps of those before it: the oldest of too many of one peer goes', async () => {
    await using relay = await openRelay(credentials, { connectionsPerPeer: 2 });
    const joined = [await join(relay), await join(relay), await join(relay)];
    const end = closeOf((joined[0] as { ws: WebSocket }).ws);
    for (const { id } of joined) relay.host.bind(id, peer);
    expect(await end).toEqual({ code: 4003, reason: 'crowded_out' });
    expect(relay.host.gone).toEqual([joined[0]?.id]);
  });

  it('counts for its source and in all: beyond, newcomers are refused', async () => {
    await using relay = await openRelay(credentials, { connectionsPerSource: 2 });
    for (const { id } of [await join(relay), await join(relay)]) relay.host.bind(id, peer);
    expect(await refusalOf(dial(relay))).toEqual({ status: 429, title: 'source_full' });
    await using small = await openRelay(credentials, { connections: 1 });
    const { ws, id } = await join(small);
    small.host.bind(id, peer);
    expect(await refusalOf(dial(small))).toEqual({ status: 503, title: 'full' });
    ws.close();
    await small.host.until(() => small.host.gone.length === 1);
    await join(small);
    expect(small.server.counters()).toMatchObject({ open: 1, bound: 0, closed: { left: 1 } });
  });

  it('ends when it asks for answers without end', async () => {
    await using relay = await openRelay(credentials, { unboundBurst: 20, unboundRate: 1 });
    const { ws } = await join(relay);
    for (let i = 0; i < 40; i += 1) ws.ping();
    expect(await closeOf(ws)).toEqual({ code: 1008, reason: 'control_flood' });
  });
});

it('tells everybody when it stops, and takes nobody any more', async () => {
  await using relay = await openRelay(credentials);
  const { ws, id } = await join(relay);
  const end = closeOf(ws);
  await relay.server.close();
  expect(await end).toEqual({ code: 1001, reason: 'going_away' });
  expect(relay.host.gone).toEqual([id]);
  expect(await refusalOf(dial(relay))).toEqual({ status: 503, title: 'closing' });
});
