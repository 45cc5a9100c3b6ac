import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as connectTls, getCACertificates, setDefaultCACertificates } from 'node:tls';
import { Metadata, credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { CertificateAuthority, certificateFingerprint } from '@coral/auth';
import { keyIdOf } from '@coral/model';
import {
  callUnary,
  colonyV1,
  fetchPinnedCa,
  grpcClientOptions,
  peerMetadataKey,
  pinnedCredentials,
  serveTls,
  type TlsIdentity,
  type TlsServer,
} from './index.js';
import { identifyingServer, type Seen } from './rpc.fixture.js';

let directory: string;
let ca: CertificateAuthority;
let otherCa: CertificateAuthority;
let identity: TlsIdentity;
const cleanup: (() => void | Promise<void>)[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coral-tls-'));
  ca = await CertificateAuthority.openOrCreate(join(directory, 'ca'));
  otherCa = await CertificateAuthority.openOrCreate(join(directory, 'other'));
  identity = await ca.issueServer(['127.0.0.1', 'localhost']);
  return () => rm(directory, { recursive: true });
});

let seen: Seen[];
let tls: TlsServer;
async function open(options: Partial<Parameters<typeof serveTls>[1]> = {}): Promise<TlsServer> {
  const served = identifyingServer();
  seen = served.seen;
  const opened = await serveTls(served.server, { host: '127.0.0.1', port: 0, ...identity, ...options });
  cleanup.push(() => opened.close(0));
  return opened;
}
beforeEach(async () => {
  tls = await open();
});
afterEach(async () => {
  for (const step of cleanup.splice(0).toReversed()) await step();
});

async function describeColony(
  channelCredentials: ChannelCredentials,
  { metadata = new Metadata(), host = '127.0.0.1', port = tls.port } = {},
): Promise<string> {
  const target = `${host}:${port}`;
  const client = new colonyV1.ColonyServiceClient(target, channelCredentials, grpcClientOptions);
  try {
    return (await callUnary(client, client.describeColony, {}, { metadata, deadlineMs: 5_000 })).colonyId;
  } finally {
    client.close();
  }
}

describe('the TLS port', () => {
  it('serves gRPC to who pins the CA, by every name of the certificate, without a warning', async () => {
    const warned = vi.fn<(warning: Error) => void>();
    process.on('warning', warned);
    cleanup.push(() => void process.off('warning', warned));
    expect(await describeColony(pinnedCredentials(ca.caPem))).toBe('c');
    expect(await describeColony(pinnedCredentials(ca.caPem), { host: 'localhost' })).toBe('c');
    await new Promise((resolve) => setImmediate(resolve));
    expect(warned).not.toHaveBeenCalled();
  });

  it('has no peer from the mesh, whatever the caller claims, but an address', async () => {
    const metadata = new Metadata();
    metadata.set(peerMetadataKey, keyIdOf(Buffer.alloc(32)));
    await describeColony(pinnedCredentials(ca.caPem), { metadata });
    expect(seen).toEqual([{ peer: undefined, claimed: [], from: '127.0.0.1' }]);
  });

  it('answers 415 over h2 to what is not gRPC', async () => {
    const session = connectHttp2(`https://127.0.0.1:${tls.port}`, { ca: ca.caPem });
    cleanup.push(() => session.destroy());
    for (const type of [undefined, 'application/json', 'text/plain']) {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/coral.colony.v1.ColonyService/DescribeColony',
        ...(type && { 'content-type': type }),
      });
      const [headers] = await once(stream.end('{}'), 'response');
      expect(headers[':status']).toBe(415);
      stream.resume();
    }
    expect(seen).toEqual([]);
  });

  async function http1(o: { port?: number; path?: string; type?: string } = {}) {
    const socket = connectTls({
      host: '127.0.0.1',
      port: o.port ?? tls.port,
      ca: ca.caPem,
      ALPNProtocols: ['h2', 'http/1.1'],
    });
    await once(socket, 'secureConnect');
    const headers = o.type ? { 'content-type': o.type } : {};
    const outgoing = request({ createConnection: () => socket, method: 'POST', path: o.path ?? '/', headers });
    const [response] = await once(outgoing.end(), 'response');
    return { status: response.statusCode, type: response.headers['content-type'], body: await text(response) };
  }

  it('politely refuses HTTP/1.1 when nobody serves it', async () => {
    const problem = 'application/problem+json';
    expect(await http1()).toMatchObject({ status: 404, type: problem, body: expect.stringContaining('gRPC') });
    expect(await http1({ type: 'application/grpc' })).toMatchObject({
      status: 426,
      type: problem,
      body: expect.stringContaining('HTTP/2'),
    });
  });

  it('cuts who takes too long to say what will be refused', async () => {
    const own = await open({ slowSenderMs: 100 });
    for (const said of ['', 'GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ']) {
      const socket = connectTls({ host: '127.0.0.1', port: own.port, ca: ca.caPem, ALPNProtocols: ['http/1.1'] });
      socket.write(said);
      expect(await text(socket)).toMatch(/^HTTP\/1\.1 408 /);
    }
  });

  it('hands HTTP/1.1 on to who serves it, for a client that offers both, and for one without ALPN', async () => {
    const got: (string | false | null)[] = [];
    const own = await open({
      onHttp1: (socket) => {
        got.push(socket.alpnProtocol);
        socket.once('data', () => socket.end('HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n'));
      },
    });
    expect((await http1({ port: own.port })).status).toBe(204);
    const bare = connectTls({ host: '127.0.0.1', port: own.port, ca: ca.caPem });
    bare.write('GET / HTTP/1.1\r\n\r\n');
    expect(await text(bare)).toContain('204');
    expect(got).toEqual(['http/1.1', false]);
  });

  it('refuses other protocols and older TLS in the handshake, survives plain text, and goes on', async () => {
    const attempt = async (options: object): Promise<string> => {
      const socket = connectTls({ host: '127.0.0.1', port: tls.port, ca: ca.caPem, ...options });
      const [error] = await once(socket, 'error').catch((thrown: unknown) => [thrown]);
      return String((error as Error).message);
    };
    expect(await attempt({ ALPNProtocols: ['spdy/3'] })).toMatch(/no application protocol/i);
    expect(await attempt({ maxVersion: 'TLSv1.2' })).toMatch(/protocol version/i);
    const plain = connectTcp({ host: '127.0.0.1', port: tls.port });
    plain.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    plain.resume();
    await new Promise((resolve) => plain.once('close', resolve).once('error', resolve));
    const insecure = describeColony(credentials.createInsecure());
    await expect(insecure).rejects.toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
    expect(seen).toEqual([]);
    expect(await describeColony(pinnedCredentials(ca.caPem))).toBe('c');
  });

  it('says which port is taken', async () => {
    const taken = open({ port: tls.port });
    await expect(taken).rejects.toMatchObject({
      kind: 'failed_precondition',
      reason: 'port_taken',
      where: `127.0.0.1:${tls.port}`,
      next: expect.stringContaining('another port'),
    });
    await expect(open({ host: '192.0.2.1' })).rejects.toMatchObject({ reason: 'cannot_listen' });
  });

  it('takes a renewed certificate from the next handshake on', async () => {
    const renewed = await ca.issueServer(['127.0.0.1']);
    tls.renew(renewed);
    const socket = connectTls({ host: '127.0.0.1', port: tls.port, ca: ca.caPem, ALPNProtocols: ['h2'] });
    await once(socket, 'secureConnect');
    expect(socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(
      certificateFingerprint(renewed.certPem).slice('sha256:'.length),
    );
    socket.destroy();
  });

  it('lets calls finish when it closes, and cuts those that do not in time', async () => {
    const started = Promise.withResolvers<() => void>();
    const { server } = identifyingServer({
      describe: (_call, callback) =>
        started.resolve(() =>
          callback(null, { colonyId: 'late', version: '', userId: '', roles: [], permissions: [] }),
        ),
    });
    const first = await serveTls(server, { host: '127.0.0.1', port: 0, ...identity });
    const running = describeColony(pinnedCredentials(ca.caPem), { port: first.port });
    const finish = await started.promise;
    const closing = first.close(5_000);
    finish();
    expect(await running).toBe('late');
    await closing;
    const stuck = identifyingServer({ describe: () => undefined });
    const second = await serveTls(stuck.server, { host: '127.0.0.1', port: 0, ...identity });
    const never = describeColony(pinnedCredentials(ca.caPem), { port: second.port }).catch((error: unknown) => error);
    await expect.poll(() => stuck.seen.length).toBe(1);
    await second.close(10);
    expect(await never).toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
  });
});

it('does not tell a caller that he cancelled when the server was shut down by force', async () => {
  const stuck = identifyingServer({ describe: () => undefined });
  const forced = await serveTls(stuck.server, { host: '127.0.0.1', port: 0, ...identity });
  const call = describeColony(pinnedCredentials(ca.caPem), { port: forced.port }).catch((error: unknown) => error);
  await expect.poll(() => stuck.seen.length).toBe(1);
  stuck.server.forceShutdown();
  expect(await call).toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
  await forced.close(0);
});

describe('pinned credentials', () => {
  it('trust no other CA, not even one that this machine trusts', async () => {
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, ca.caPem]);
    cleanup.push(() => setDefaultCACertificates(before));
    const socket = connectTls({ host: '127.0.0.1', port: tls.port, ALPNProtocols: ['h2'] });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    socket.destroy();
    await expect(describeColony(pinnedCredentials(otherCa.caPem))).rejects.toMatchObject({
      kind: 'unauthenticated',
      reason: 'wrong_ca',
    });
    expect(seen).toEqual([]);
  });

  it('refuse a certificate for another name', async () => {
    const other = await open(await ca.issueServer(['colony.example', '127.0.0.2']));
    await expect(describeColony(pinnedCredentials(ca.caPem), { port: other.port })).rejects.toMatchObject({
      kind: 'unauthenticated',
      reason: 'wrong_name',
    });
  });

  it('refuse a certificate that has expired or is not valid yet', async () => {
    const day = 86_400_000;
    for (const now of [Date.now() - 100 * day, Date.now() + 2 * day]) {
      const folder = join(directory, `at-${now}`);
      const then = await CertificateAuthority.openOrCreate(folder, { now: () => now, monotonic: () => 0 });
      const other = await open(await then.issueServer(['127.0.0.1']));
      await expect(describeColony(pinnedCredentials(then.caPem), { port: other.port })).rejects.toMatchObject({
        kind: 'unauthenticated',
        reason: 'certificate_not_valid_now',
      });
    }
  });

  it('refuse a leaf that signs itself or poses as a CA', async () => {
    const { certPem, keyPem } = await ca.issueServer(['127.0.0.1']);
    const [leaf = ''] = certPem.split(/(?<=-----END CERTIFICATE-----\n)/);
    const { certPem: foreign, keyPem: foreignKey } = await otherCa.issueServer(['127.0.0.1']);
    const [foreignLeaf = ''] = foreign.split(/(?<=-----END CERTIFICATE-----\n)/);
    // A stranger's leaf with the genuine, public CA behind it.
    const posing = await open({ keyPem: foreignKey, certPem: foreignLeaf + ca.caPem });
    await expect(describeColony(pinnedCredentials(ca.caPem), { port: posing.port })).rejects.toMatchObject({
      kind: 'unauthenticated',
    });
    const alone = await open({ keyPem, certPem: leaf });
    expect(await describeColony(pinnedCredentials(ca.caPem), { port: alone.port })).toBe('c');
    expect(seen).toHaveLength(1);
  });
});

describe('fetchPinnedCa', () => {
  const endpoint = (port = tls.port): string => `127.0.0.1:${port}`;

  it("gives the colony's CA to who knows its fingerprint", async () => {
    expect(await fetchPinnedCa(endpoint(), ca.fingerprint)).toBe(ca.caPem);
    expect(await fetchPinnedCa(endpoint(), ca.fingerprint.toUpperCase().replace('SHA', 'sha'))).toBe(ca.caPem);
    const pem = await fetchPinnedCa(`localhost:${tls.port}`, ca.fingerprint);
    expect(await describeColony(pinnedCredentials(pem))).toBe('c');
  });

  it('names both fingerprints when they differ', async () => {
    await expect(fetchPinnedCa(endpoint(), otherCa.fingerprint)).rejects.toMatchObject({
      kind: 'unauthenticated',
      reason: 'wrong_ca',
      where: endpoint(),
      message: expect.stringMatching(new RegExp(`${ca.fingerprint}.*${otherCa.fingerprint}`)),
    });
  });

  it('is not fooled by the genuine CA behind a stranger, nor by a pinned leaf', async () => {
    const [leaf = ''] = identity.certPem.split(/(?<=-----END CERTIFICATE-----\n)/);
    const { certPem: foreign, keyPem } = await otherCa.issueServer(['127.0.0.1']);
    const [foreignLeaf = ''] = foreign.split(/(?<=-----END CERTIFICATE-----\n)/);
    const posing = await open({ keyPem, certPem: foreignLeaf + ca.caPem });
    const wrong = { kind: 'unauthenticated', reason: 'wrong_ca' };
    await expect(fetchPinnedCa(endpoint(posing.port), ca.fingerprint)).rejects.toMatchObject(wrong);
    await expect(fetchPinnedCa(endpoint(), certificateFingerprint(leaf))).rejects.toMatchObject(wrong);
  });

  it.each(['', 'sha256:', 'md5:00', `sha256:${'0'.repeat(63)}`, '0'.repeat(64)])('refuses %j', async (fingerprint) => {
    await expect(fetchPinnedCa(endpoint(), fingerprint)).rejects.toMatchObject({
      kind: 'invalid_argument',
      reason: 'bad_fingerprint',
    });
  });

  it.each(['', 'localhost', 'localhost:0', 'localhost:65536', 'https://a:1', 'a:b', 'a b:1', 'user@a:1', '::1:1'])(
    'refuses the endpoint %j',
    async (text_) => {
      await expect(fetchPinnedCa(text_, ca.fingerprint)).rejects.toMatchObject({
        kind: 'invalid_argument',
        reason: 'bad_endpoint',
      });
    },
  );

  it('says that nobody answers: no listener, no TLS, silence, a name that does not exist', async () => {
    const gone = await open();
    await gone.close(0);
    const unreachable = { kind: 'unavailable', reason: 'colony_unreachable', next: expect.any(String) };
    await expect(fetchPinnedCa(endpoint(gone.port), ca.fingerprint)).rejects.toMatchObject(unreachable);
    await expect(fetchPinnedCa('colony.invalid:1', ca.fingerprint)).rejects.toMatchObject(unreachable);
    const plain = createTcpServer((socket) => socket.on('error', () => socket.destroy()).end('hello\r\n'));
    const silent = createTcpServer((socket) => socket.resume().on('error', () => socket.destroy()));
    for (const server of [plain, silent]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const failing = fetchPinnedCa(endpoint(port), ca.fingerprint, { timeoutMs: 100 });
      await expect(failing).rejects.toMatchObject(unreachable);
      const controller = new AbortController();
      const cancelled = fetchPinnedCa(endpoint(port), ca.fingerprint, { signal: controller.signal });
      controller.abort();
      await expect(cancelled).rejects.toMatchObject({ kind: 'cancelled' });
      server.close();
    }
  });
});
