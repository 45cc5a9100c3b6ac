import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { connect, createServer, type ConnectionOptions } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { keyIdOf, systemClock } from '@coral/model';
import { openDirectMesh, type DirectMesh, type DirectMeshOptions } from './direct-mesh.js';
import { meshContract, type MeshPair } from '../mesh.contract.js';
import type { MeshSocket, Peer } from '../mesh.js';

type Certificate = Awaited<ReturnType<typeof newSelfSigned>>;
const colonyAddress = '10.137.0.1';
const cliAddress = '10.137.64.1';
let certificates: Record<'colony' | 'cli' | 'stranger', Certificate>;

beforeAll(async () => {
  certificates = {
    colony: await newSelfSigned('colony'),
    cli: await newSelfSigned('cli'),
    stranger: await newSelfSigned('cli'),
  };
});

function fakeClock() {
  let wall = Date.parse('2026-11-21T12:00:00Z');
  let monotonic = 1_000;
  return {
    now: () => wall,
    monotonic: () => monotonic,
    advance(ms: number) {
      wall += ms;
      // Time itself never runs backwards.
      monotonic += Math.max(0, ms);
    },
  };
}

interface Refusal {
  remoteAddress: string;
  certificateSha256: string;
  reason: string;
}

async function makePair(): Promise<MeshPair & { server: DirectMesh; client: DirectMesh; refused: Refusal[] }> {
  const clock = fakeClock();
  const refused: Refusal[] = [];
  const [colonyKeys, cliKeys] = [newWireGuardKeyPair(), newWireGuardKeyPair()];
  const server = await openDirectMesh({
    keyPair: colonyKeys,
    certificate: certificates.colony,
    listen: { host: '127.0.0.1', port: 0 },
    production: false,
    clock,
    onRefused: (info) => refused.push(info),
  });
  const client = await openDirectMesh({ keyPair: cliKeys, certificate: certificates.cli, production: false, clock });
  const peer = (publicKey: Buffer, address: string, direct: Peer['direct']): Peer => ({
    keyId: keyIdOf(publicKey),
    publicKey,
    addresses: [address],
    ...(direct ? { direct } : {}),
  });
  const serverPeer = peer(colonyKeys.publicKey, colonyAddress, {
    certificateSha256: certificates.colony.sha256,
    endpoint: server.endpoint as string,
  });
  const clientPeer = peer(cliKeys.publicKey, cliAddress, { certificateSha256: certificates.cli.sha256 });
  server.addPeer(clientPeer);
  client.addPeer(serverPeer);
  return { server, client, serverPeer, clientPeer, clock, refused };
}

meshContract(makePair);

describe('the driver direct', () => {
  let pair: Awaited<ReturnType<typeof makePair>>;
  beforeEach(async () => {
    pair = await makePair();
  });
  afterEach(async () => {
    await pair.client.close();
    await pair.server.close();
  });

  const options = (change: Partial<DirectMeshOptions>): DirectMeshOptions => ({
    keyPair: newWireGuardKeyPair(),
    certificate: certificates.cli,
    production: false,
    clock: systemClock,
    ...change,
  });

  /** A hand-made TLS client at the colony's endpoint: what it heard before the connection ended. */
  async function knock(change: ConnectionOptions): Promise<string> {
    const [host, port] = (pair.server.endpoint ?? '').split(':');
    const socket = connect({
      host,
      port: Number(port),
      key: certificates.cli.keyPem,
      cert: certificates.cli.certPem,
      ALPNProtocols: ['coral-direct/9000'],
      rejectUnauthorized: false,
      ...change,
    });
    socket.on('error', (error: NodeJS.ErrnoException) => socket.destroy(error));
    socket.write('let me in');
    return await text(socket).catch((error: NodeJS.ErrnoException) => `${error.code} ${error.message}`);
  }

  it.each(['0.0.0.0', '::', '10.0.0.1', '192.168.1.1', '128.0.0.1', 'localhost', 'example.com', '::ffff:10.0.0.1', ''])(
    'refuses to listen at %j',
    async (host) => {
      await expect(openDirectMesh(options({ listen: { host, port: 0 } }))).rejects.toMatchObject({
        kind: 'failed_precondition',
        reason: 'direct_driver_forbidden',
      });
    },
  );

  it('refuses any production configuration', async () => {
    await expect(openDirectMesh(options({ production: true }))).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'direct_driver_forbidden',
    });
  });

  it('says which port is taken', async () => {
    const port = Number(pair.server.endpoint?.split(':')[1]);
    await expect(openDirectMesh(options({ listen: { host: '127.0.0.1', port } }))).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'port_taken',
      where: pair.server.endpoint,
    });
  });

  it.each(['10.0.0.1:4000', 'localhost:4000', '127.0.0.1', '127.0.0.1:0', '127.0.0.1:70000', '[::2]:4000', 'x'])(
    'refuses a peer whose end is at %j',
    (endpoint) => {
      const direct = { certificateSha256: certificates.colony.sha256, endpoint };
      expect(() => pair.client.addPeer({ ...pair.serverPeer, direct })).toThrow(
        expect.objectContaining({ reason: 'direct_driver_forbidden' }),
      );
    },
  );

  it('works on ::1 and anywhere in 127.0.0.0/8', async () => {
    for (const host of ['::1', '127.9.8.7']) {
      const mesh = await openDirectMesh(options({ certificate: certificates.colony, listen: { host, port: 0 } }));
      mesh.addPeer(pair.clientPeer);
      await mesh.listen(9_000, (socket) => socket.end('hi'));
      pair.client.addPeer({
        ...pair.serverPeer,
        direct: { certificateSha256: certificates.colony.sha256, endpoint: mesh.endpoint as string },
      });
      expect(await text(await pair.client.dial(colonyAddress, 9_000))).toBe('hi');
      await mesh.close();
    }
  });

  it('finds an IPv6 peer by any spelling of its address', async () => {
    pair.client.addPeer({ ...pair.serverPeer, addresses: [colonyAddress, 'fd42:c0a1:0:0::0001'] });
    await pair.server.listen(9_000, (socket) => socket.end(socket.remoteAddress));
    const socket = await pair.client.dial('FD42:C0A1::1', 9_000);
    expect(await text(socket)).toBe(cliAddress);
  });

  it("does not listen when it was not asked to, and says so to the other end's dial", async () => {
    expect(pair.client.endpoint).toBeUndefined();
    await expect(pair.client.listen(9_000, () => undefined)).rejects.toMatchObject({ reason: 'mesh_not_listening' });
    await expect(pair.server.dial(cliAddress, 9_000)).rejects.toMatchObject({ reason: 'mesh_unreachable' });
  });

  it('says that nothing answers when the process at the far end is gone', async () => {
    await pair.server.close();
    await expect(pair.client.dial(colonyAddress, 9_000)).rejects.toMatchObject({
      kind: 'unavailable',
      reason: 'mesh_unreachable',
    });
  });

  it('sends nothing to whoever sits at the endpoint with another certificate', async () => {
    const heard: Buffer[] = [];
    const impostor = createServer(
      {
        key: certificates.stranger.keyPem,
        cert: certificates.stranger.certPem,
        requestCert: true,
        rejectUnauthorized: false,
        ALPNProtocols: ['coral-direct/9000'],
      },
      (socket) => {
        socket.on('data', (bytes) => heard.push(bytes)).on('error', () => socket.destroy());
        socket.write(Buffer.of(1));
      },
    );
    impostor.listen(0, '127.0.0.1');
    await once(impostor, 'listening');
    const endpoint = `127.0.0.1:${(impostor.address() as AddressInfo).port}`;
    pair.client.addPeer({ ...pair.serverPeer, direct: { certificateSha256: certificates.colony.sha256, endpoint } });
    await expect(pair.client.dial(colonyAddress, 9_000)).rejects.toMatchObject({ reason: 'mesh_unknown_peer' });
    impostor.close();
    await once(impostor, 'close');
    expect(heard).toEqual([]);
  });

  it('gives up after timeoutMs when the far end accepts and then says nothing', async () => {
    const silent = createTcpServer((socket) => socket.resume().on('error', () => socket.destroy()));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const endpoint = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const direct = { certificateSha256: certificates.colony.sha256, endpoint };
    pair.client.addPeer({ ...pair.serverPeer, direct });
    await expect(pair.client.dial(colonyAddress, 9_000, { timeoutMs: 30 })).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      reason: 'mesh_dial_timeout',
    });
    // Cut from outside while it waits: removed peer, closed mesh.
    const removed = pair.client.dial(colonyAddress, 9_000);
    pair.client.removePeer(pair.server.keyId);
    await expect(removed).rejects.toMatchObject({ reason: 'mesh_peer_gone' });
    pair.client.addPeer({ ...pair.serverPeer, direct });
    const pending = pair.client.dial(colonyAddress, 9_000);
    await pair.client.close();
    await expect(pending).rejects.toMatchObject({ reason: 'mesh_closed' });
    silent.close();
    await once(silent, 'close');
  });

  describe('turns strangers away before any byte goes up, and reports them', () => {
    const reported = (reason: string, sha256: string) => [
      { reason, certificateSha256: sha256, remoteAddress: expect.stringMatching(/^127\.0\.0\.1:\d+$/) },
    ];
    beforeEach(async () => {
      await pair.server.listen(9_000, () => {
        throw new Error('a stranger came through');
      });
    });

    it('a certificate nobody bound to a peer', async () => {
      const { keyPem: key, certPem: cert, sha256 } = certificates.stranger;
      expect(await knock({ key, cert })).not.toContain('\u0001');
      expect(pair.refused).toEqual(reported('unknown_peer', sha256.toString('hex')));
    });

    it("a peer's certificate without its key", async () => {
      await expect(async () => {
        await knock({ key: certificates.stranger.keyPem });
      }).rejects.toThrow(/key values mismatch/i);
    });

    it('no certificate at all', async () => {
      await knock({ key: '', cert: '' });
      expect(pair.refused).toEqual(reported('no_certificate', ''));
    });

    it('an expired peer', async () => {
      pair.server.addPeer({ ...pair.clientPeer, expiresAt: pair.clock.now() });
      await knock({});
      expect(pair.refused).toEqual(reported('expired_peer', certificates.cli.sha256.toString('hex')));
    });

    it('no ALPN', async () => {
      await knock({ ALPNProtocols: [] });
      expect(pair.refused).toEqual(reported('no_listener', certificates.cli.sha256.toString('hex')));
    });

    it.each([
      'h2',
      'coral-direct/9001',
      'coral-direct/09000',
      'coral-direct/9000 ',
      'coral-direct/',
      'coral-direct/1e3',
    ])('ALPN %j', async (protocol) => {
      expect(await knock({ ALPNProtocols: [protocol] })).toMatch(/no application protocol/i);
      expect(pair.refused).toEqual(reported('bad_handshake', ''));
    });

    it('TLS 1.2', async () => {
      expect(await knock({ maxVersion: 'TLSv1.2' })).toMatch(/protocol version/i);
      expect(pair.refused).toEqual(reported('bad_handshake', ''));
    });

    it('no TLS at all', async () => {
      const [host, port] = (pair.server.endpoint ?? '').split(':');
      const socket = connectTcp({ host, port: Number(port) });
      socket.write('GET / HTTP/1.1\r\n\r\n');
      socket.resume();
      await new Promise((resolve) => socket.on('error', resolve).on('close', resolve));
      expect(pair.refused).toEqual(reported('bad_handshake', ''));
    });
  });

  it('closes in the middle of handshakes', async () => {
    const [host, port] = (pair.server.endpoint ?? '').split(':');
    const silent = Array.from({ length: 5 }, () =>
      connectTcp({ host, port: Number(port) }).on('error', () => undefined),
    );
    await Promise.all(silent.map((socket) => once(socket, 'connect')));
    await pair.server.listen(9_000, (socket) => socket.resume());
    const dialling = Array.from({ length: 5 }, () => pair.client.dial(colonyAddress, 9_000).catch((e: unknown) => e));
    await once(
      connectTcp({ host, port: Number(port) }).on('error', () => undefined),
      'connect',
    );
    await pair.server.close();
    await Promise.all(dialling);
    for (const socket of silent) if (!socket.closed) await once(socket.resume(), 'close');
  });

  it('takes a stream that breaks its framing for broken', async () => {
    const arrived = Promise.withResolvers<MeshSocket>();
    await pair.server.listen(9_000, arrived.resolve);
    await knock({});
    const far = await arrived.promise;
    far.resume();
    if (!far.closed) await new Promise((resolve) => far.once('close', resolve));
    expect(far.errored).toMatchObject({ kind: 'unavailable', reason: 'mesh_peer_gone' });
  });

  it('survives streams that nobody listens to being cut', async () => {
    await pair.server.listen(9_000, () => undefined);
    const socket = await pair.client.dial(colonyAddress, 9_000);
    pair.server.removePeer(pair.client.keyId);
    await new Promise((resolve) => socket.once('close', resolve));
    expect(socket.errored).toMatchObject({ reason: 'mesh_peer_gone' });
  });
});
