import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { buffer, text } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';
import { newWireGuardKeyPair } from '@coral/auth';
import { keyIdOf } from '@coral/model';
import { ImpairmentProxy } from '@coral/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { meshContract } from '../mesh.contract.js';
import type { MeshSocket } from '../mesh.js';
import { receiveWindowBytes, sendWindowBytes } from './protocol.js';
import { SharedClock } from './shared-clock.js';
import { openUserspaceMesh } from './userspace-mesh.js';
import {
  at,
  cliAddress,
  cliAddressV6,
  colonyAddress,
  loopback,
  makePair,
  makeStrangers,
  type UserspacePair,
} from './userspace.fixture.js';

meshContract(() => makePair());

describe('the driver userspace', () => {
  let pair: UserspacePair;
  beforeEach(async () => {
    pair = await makePair();
  });
  afterEach(async () => {
    await pair.client.close();
    await pair.server.close();
  });

  async function open(): Promise<{ near: MeshSocket; far: MeshSocket }> {
    const arrived = Promise.withResolvers<MeshSocket>();
    await pair.server.listen(9_000, arrived.resolve);
    const near = await pair.client.dial(colonyAddress, 9_000);
    return { near, far: await arrived.promise };
  }

  const closed = async (socket: MeshSocket): Promise<void> => {
    if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  };

  it('carries IPv6 inside, by any spelling of an address', async () => {
    await pair.server.listen(9_000, (socket) => socket.end(socket.remoteAddress));
    const socket = await pair.client.dial('FD42:C0A1:0::0001', 9_000);
    expect(await text(socket)).toBe(cliAddressV6);
  });

  it('reaches back to whoever called in, and says of others that they have not', async () => {
    await pair.client.listen(9_001, (socket) => socket.end('from the laptop'));
    // Called in: from here on the colony knows where it is.
    await pair.client.ping(colonyAddress);
    await expect(pair.server.dial(cliAddress, 9_001)).resolves.toBeDefined();
    const stranger = newWireGuardKeyPair();
    pair.server.addPeer({
      keyId: keyIdOf(stranger.publicKey),
      publicKey: stranger.publicKey,
      addresses: ['10.137.0.77'],
    });
    await expect(pair.server.dial('10.137.0.77', 9_001)).rejects.toMatchObject({
      kind: 'unavailable',
      reason: 'mesh_unreachable',
      message: expect.stringContaining('has not called in yet'),
    });
  });

  it('measures a round trip', async () => {
    expect(await pair.client.ping(colonyAddress)).toBeLessThan(1_000);
    pair.server.removePeer(pair.client.keyId);
    await expect(pair.client.ping(colonyAddress, { timeoutMs: 100 })).rejects.toMatchObject({
      reason: 'mesh_unreachable',
    });
  });

  it('tells how peers are, and counts', async () => {
    const { near } = await open();
    const [peer] = await pair.server.peers();
    expect(peer).toMatchObject({ keyId: pair.client.keyId, carrier: 'udp', streams: 1 });
    expect(peer?.endpoint).toBe(`127.0.0.1:${pair.client.udpPort}`);
    expect(peer?.rxBytes).toBeGreaterThan(0);
    expect(pair.serverEnd.events).toContainEqual({
      kind: 'handshake',
      peer: pair.client.keyId,
      endpoint: `127.0.0.1:${pair.client.udpPort}`,
    });
    const counters = await pair.server.counters();
    expect(counters.worker).toMatchObject({ streams: 1, peers: 1, sendErrors: 0 });
    expect(counters.wireguard['handshakes']).toBeGreaterThan(0);
    expect(counters.tcp['connectionsAccepted']).toBe(1);
    near.destroy();
  });

  it('carries 16 MB whole, both ways at once', async () => {
    const { near, far } = await open();
    const bytes = randomBytes(1024 * 1024);
    const digest = createHash('sha256');
    for (let i = 0; i < 16; i++) digest.update(bytes);
    const expected = digest.digest('hex');
    const send = async (socket: MeshSocket): Promise<void> => {
      for (let i = 0; i < 16; i++) if (!socket.write(bytes)) await once(socket, 'drain');
      socket.end();
    };
    const receive = async (socket: MeshSocket): Promise<string> => {
      const hash = createHash('sha256');
      for await (const chunk of socket as AsyncIterable<Buffer>) hash.update(chunk);
      return hash.digest('hex');
    };
    const [, , up, down] = await Promise.all([send(near), send(far), receive(far), receive(near)]);
    expect([up, down]).toEqual([expected, expected]);
  });

  it('holds no more than its windows of what nobody reads', async () => {
    const { near, far } = await open();
    const chunk = Buffer.alloc(64 * 1024);
    for (let i = 0; i < 256; i++) near.write(chunk);
    await once(far, 'readable');
    let before: number;
    let now = 0;
    do {
      before = now;
      for (let i = 0; i < 20; i++) await pair.client.counters();
      now = (await pair.server.counters()).tcp['rxBytes'] ?? 0;
    } while (now !== before);
    expect(far.readableLength).toBeLessThanOrEqual(receiveWindowBytes + 64 * 1024);
    const { tcp: sending } = await pair.client.counters();
    const { tcp: receiving } = await pair.server.counters();
    // TCP's own queues: what is not acknowledged, and a window of what is not read.
    expect(sending['memoryBytes']).toBeLessThan(sendWindowBytes + 5 * 1024 * 1024);
    expect(receiving['memoryBytes']).toBeLessThan(5 * 1024 * 1024);
    near.destroy();
  });

  it('says which UDP port is taken', async () => {
    const taken = createSocket('udp4');
    taken.bind(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address();
    await expect(
      openUserspaceMesh({
        keyPair: newWireGuardKeyPair(),
        addresses: [colonyAddress],
        clock: new SharedClock(),
        udp: { host: '127.0.0.1', port },
      }),
    ).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'mesh_port_in_use',
      message: expect.stringContaining(String(port)),
      next: expect.stringContaining('another port'),
    });
    taken.close();
  });

  it('cuts a peer whose key is none, and says why', async () => {
    const publicKey = new Uint8Array(32);
    const peer = { keyId: keyIdOf(publicKey), publicKey, addresses: ['10.137.0.78'] };
    pair.client.addPeer({ ...peer, wireguard: { endpoint: loopbackEndpoint() } });
    await expect(pair.client.dial('10.137.0.78', 1)).rejects.toMatchObject({ reason: 'mesh_peer_gone' });
    expect(pair.clientEnd.events.map((event) => event.kind)).toContain('peer_refused');
  });

  const loopbackEndpoint = () => ({ host: '127.0.0.1', port: pair.server.udpPort });

  it('ends an identity while its end is being moved only once', async () => {
    pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() + 60_000 });
    const { near, far } = await open();
    // The wall clock steps back by an hour: real time ends the lease all the same.
    pair.clock.stepWall(-3_600_000);
    pair.clock.advance(60_000);
    near.resume();
    far.resume();
    await Promise.all([closed(near), closed(far)]);
    expect(far.errored).toMatchObject({ reason: 'mesh_peer_gone' });
  });

  it('ends a lease at once when the wall clock is set past its end', async () => {
    pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() + 60_000 });
    const { near, far } = await open();
    pair.clock.stepWall(3_600_000);
    near.resume();
    far.resume();
    await Promise.all([closed(near), closed(far)]);
    expect(far.errored).toMatchObject({ reason: 'mesh_peer_gone' });
  });

  it('goes on after the main thread stood still', async () => {
    const { near, far } = await open();
    far.pipe(far);
    stall(1_500);
    near.write('still there');
    expect(String((await once(near, 'data'))[0])).toBe('still there');
  });
});

describe('on the way to the colony', () => {
  let pair: UserspacePair;
  beforeEach(async () => {
    pair = await makeStrangers();
  });
  afterEach(async () => {
    await pair.client.close();
    await pair.server.close();
  });

  async function open(): Promise<{ near: MeshSocket; far: MeshSocket }> {
    const arrived = Promise.withResolvers<MeshSocket>();
    await pair.server.listen(9_000, arrived.resolve);
    const near = await pair.client.dial(colonyAddress, 9_000);
    return { near, far: await arrived.promise };
  }

  it('keeps its streams when a NAT gives it another port in mid-transfer', async () => {
    using proxy = await ImpairmentProxy.start({ target: { host: '127.0.0.1', port: pair.server.udpPort }, seed: 1 });
    pair.client.addPeer(at(pair.serverEnd, proxy.port));
    const { near, far } = await open();
    near.write('before');
    expect(String((await once(far, 'data'))[0])).toBe('before');
    await proxy.rebind();
    near.write('after');
    expect(String((await once(far, 'data'))[0])).toBe('after');
    far.write('and back');
    expect(String((await once(near, 'data'))[0])).toBe('and back');
    expect(pair.serverEnd.events.map((event) => event.kind)).toContain('roamed');
  });

  it('gets through a network that loses, doubles, reorders and takes nothing over its MTU', async () => {
    const impairments = { loss: 0.01, duplicate: 0.02, reorder: 0.05, mtu: 1_400 };
    const target = { host: '127.0.0.1', port: pair.server.udpPort };
    using proxy = await ImpairmentProxy.start({ target, seed: 2, impairments });
    pair.client.addPeer(at(pair.serverEnd, proxy.port));
    const { near, far } = await open();
    const bytes = randomBytes(1024 * 1024);
    near.end(bytes);
    expect((await buffer(far)).equals(bytes)).toBe(true);
  });

  it('finds a peer by name, and tries the other addresses of the name', async () => {
    const endpoint = { host: 'localhost', port: pair.server.udpPort };
    pair.client.addPeer({ ...pair.serverPeer, wireguard: { endpoint } });
    await pair.server.listen(9_000, (socket) => socket.end('found'));
    const dial = () => pair.client.dial(colonyAddress, 9_000, { timeoutMs: 300 });
    // The first address of the name may be one where nobody listens.
    const socket = await dial().catch(dial).catch(dial);
    expect(await text(socket)).toBe('found');
  });

  it('says which name cannot be found', async () => {
    const endpoint = { host: 'colony.invalid', port: 1 };
    pair.client.addPeer({ ...pair.serverPeer, wireguard: { endpoint } });
    await expect(pair.client.dial(colonyAddress, 9_000, { timeoutMs: 300 })).rejects.toMatchObject({
      reason: 'mesh_unreachable',
    });
    await expect
      .poll(() => pair.clientEnd.events)
      .toContainEqual({
        kind: 'endpoint_unresolved',
        peer: pair.server.keyId,
        host: 'colony.invalid',
        problem: expect.any(String),
      });
  });
});

describe('settings that cannot be', () => {
  it.each([
    [{ addresses: [] }, 'addresses'],
    [{ addresses: ['10.137.0.0/16'] }, 'addresses'],
    [{ mtu: 1_279 }, 'mtu'],
    [{ mtu: 9_000 }, 'mtu'],
    [{ udp: { host: 'localhost', port: 0 } }, 'udp.host'],
    [{ keyPair: { publicKey: new Uint8Array(32), privateKey: new Uint8Array(31) } }, 'keyPair'],
  ])('refuses %j', async (change, where) => {
    const good = {
      keyPair: newWireGuardKeyPair(),
      addresses: [colonyAddress],
      clock: new SharedClock(),
      udp: loopback,
    };
    await expect(openUserspaceMesh({ ...good, ...change })).rejects.toMatchObject({
      kind: 'invalid_argument',
      reason: 'bad_mesh_settings',
      where,
    });
  });
});

describe('a worker that dies', () => {
  it('takes every stream, dial and question with it, under its name', async () => {
    const workers = new Set<Worker>();
    const originalPost = Worker.prototype.postMessage;
    const post = vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, ...args) {
      workers.add(this);
      return originalPost.apply(this, args as Parameters<Worker['postMessage']>);
    });
    const pair = await makePair();
    const [serverWorker] = workers;
    const arrived = Promise.withResolvers<MeshSocket>();
    await pair.server.listen(9_000, arrived.resolve);
    const near = await pair.client.dial(colonyAddress, 9_000);
    const far = await arrived.promise;
    const dialling = pair.server.dial(cliAddress, 7).catch((error: unknown) => error);
    const before = performance.now();
    await serverWorker?.terminate();
    await new Promise((resolve) => (far.closed ? resolve(undefined) : far.once('close', resolve)));
    expect(performance.now() - before).toBeLessThan(1_000);
    const lost = { kind: 'unavailable', reason: 'mesh_worker_lost' };
    expect(far.errored).toMatchObject(lost);
    expect(await dialling).toMatchObject(lost);
    expect(await pair.server.lost).toMatchObject(lost);
    await expect(pair.server.dial(cliAddress, 7)).rejects.toMatchObject(lost);
    await expect(pair.server.listen(1, () => undefined)).rejects.toMatchObject(lost);
    await expect(pair.server.counters()).rejects.toMatchObject(lost);
    near.destroy();
    await pair.client.close();
    await pair.server.close();
    post.mockRestore();
  });
});

describe('a closed mesh', () => {
  it('leaves nothing open', async () => {
    // Timers come and go with the test runner.
    const open = () =>
      process
        .getActiveResourcesInfo()
        .filter((name) => name !== 'Timeout')
        .toSorted();
    const before = open();
    const pair = await makePair();
    await pair.server.listen(9_000, (socket) => socket.pipe(socket));
    const sockets = await Promise.all(Array.from({ length: 5 }, () => pair.client.dial(colonyAddress, 9_000)));
    for (const socket of sockets) socket.write('x');
    await once(sockets[0] as MeshSocket, 'data');
    await pair.client.close();
    await pair.server.close();
    expect(open()).toEqual(before);
  });

  it('still delivers what was written before an orderly end', async () => {
    const pair = await makePair();
    const arrived = Promise.withResolvers<MeshSocket>();
    await pair.server.listen(9_000, arrived.resolve);
    const near = await pair.client.dial(colonyAddress, 9_000);
    const far = await arrived.promise;
    const all = buffer(far);
    const bytes = randomBytes(200_000);
    near.end(bytes);
    far.end();
    near.resume();
    await once(near, 'close');
    await pair.client.close();
    expect((await all).equals(bytes)).toBe(true);
    await pair.server.close();
  });
});

/** The main thread does nothing at all for so long. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
