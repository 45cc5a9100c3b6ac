import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type ConnectionOptions } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CertificateAuthority, certificateFingerprint, newSelfSigned } from './certificates.js';

const day = 86_400_000;
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coral-ca-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** Dials a real TLS server with the given leaf and says what the client thought of it. */
async function handshake(server: { keyPem: string; certPem: string }, options: ConnectionOptions): Promise<string> {
  const listener = createServer({ key: server.keyPem, cert: server.certPem }, (socket) => socket.end());
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const socket = connect({ host: '127.0.0.1', port: (listener.address() as AddressInfo).port, ...options });
  const outcome = await new Promise<string>((resolve) => {
    socket.once('secureConnect', () => {
      resolve('trusted');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
    });
  });
  socket.destroy();
  listener.close();
  await once(listener, 'close');
  return outcome;
}

describe("the colony's CA", () => {
  it('signs leaves that a client trusting only this CA accepts, by DNS name and by IP', async () => {
    const ca = await CertificateAuthority.openOrCreate(directory);
    const server = await ca.issueServer(['colony.example', '127.0.0.1', '::1', 'localhost']);
    expect(await handshake(server, { ca: ca.caPem })).toBe('trusted');
    expect(await handshake(server, { ca: ca.caPem, servername: 'colony.example' })).toBe('trusted');
    expect(await handshake(server, { ca: ca.caPem, servername: 'else.example' })).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    const other = await CertificateAuthority.openOrCreate(join(directory, 'other'));
    expect(await handshake(server, { ca: other.caPem })).toMatch(/SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY/);
  });

  it('sends leaf and CA, with the lifetimes and uses promised', async () => {
    const now = Date.parse('2026-11-21T00:00:00Z');
    const ca = await CertificateAuthority.openOrCreate(directory, { now: () => now, monotonic: () => 0 });
    const { certPem, keyPem } = await ca.issueServer(['127.0.0.1']);
    const [leafPem, caPem] = certPem.split(/(?<=-----END CERTIFICATE-----\n)/);
    const leaf = new X509Certificate(leafPem ?? '');
    const root = new X509Certificate(caPem ?? '');
    expect(caPem).toBe(ca.caPem);
    expect(leaf.ca).toBe(false);
    expect(root.ca).toBe(true);
    expect(leaf.verify(root.publicKey)).toBe(true);
    expect(leaf.checkPrivateKey(createPrivateKey(keyPem))).toBe(true);
    expect(leaf.subjectAltName).toBe('IP Address:127.0.0.1');
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect((leaf.validToDate.getTime() - now) / day).toBe(90);
    expect((root.validToDate.getTime() - now) / day).toBe(3_650);
    expect((now - leaf.validFromDate.getTime()) / day).toBe(1);
    expect(leaf.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(root.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  });

  it('stays the same over restarts, in one 0600 file, while every leaf is new', async () => {
    const first = await CertificateAuthority.openOrCreate(directory);
    const second = await CertificateAuthority.openOrCreate(directory);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(first.fingerprint).toBe(
      `sha256:${createHash('sha256').update(new X509Certificate(first.caPem).raw).digest('hex')}`,
    );
    expect(await readdir(directory)).toEqual(['ca.pem']);
    expect((await stat(join(directory, 'ca.pem'))).mode & 0o777).toBe(0o600);
    const leaves = [await first.issueServer(['a']), await second.issueServer(['a'])];
    expect(new Set(leaves.map((leaf) => certificateFingerprint(leaf.certPem))).size).toBe(2);
    expect(new Set(leaves.map((leaf) => leaf.keyPem)).size).toBe(2);
    expect(await handshake(leaves[1] as (typeof leaves)[0], { ca: first.caPem, servername: 'a' })).toBe('trusted');
  });

  it('never lets a leaf outlive it, and refuses the start once it has expired', async () => {
    const start = Date.parse('2026-11-21T00:00:00Z');
    await CertificateAuthority.openOrCreate(directory, { now: () => start, monotonic: () => 0 });
    const late = { now: () => start + 3_600 * day, monotonic: () => 0 };
    const old = await CertificateAuthority.openOrCreate(directory, late);
    const { certPem } = await old.issueServer(['a']);
    expect(new X509Certificate(certPem).validToDate).toEqual(new X509Certificate(old.caPem).validToDate);
    const gone = { now: () => start + 3_651 * day, monotonic: () => 0 };
    await expect(CertificateAuthority.openOrCreate(directory, gone)).rejects.toMatchObject({ reason: 'ca_expired' });
  });

  it('refuses a damaged file and a certificate that is not of its key', async () => {
    const ca = await CertificateAuthority.openOrCreate(directory);
    const file = join(directory, 'ca.pem');
    const good = await readFile(file, 'utf8');
    const foreign = await CertificateAuthority.openOrCreate(join(directory, 'other'));
    const leaf = await ca.issueServer(['a']);
    for (const text of ['', ca.caPem, good.replace(ca.caPem, foreign.caPem), leaf.certPem + leaf.keyPem]) {
      await writeFile(file, text);
      await expect(CertificateAuthority.openOrCreate(directory)).rejects.toMatchObject({
        kind: 'failed_precondition',
        reason: 'key_damaged',
      });
    }
  });

  it.each([[[]], [['https://a.example']], [['a.example:443']], [['[::1]']], [['*.example']], [['']], [['a b']]])(
    'makes no certificate for %j',
    async (names: string[]) => {
      const ca = await CertificateAuthority.openOrCreate(directory);
      await expect(ca.issueServer(names)).rejects.toMatchObject({
        kind: 'invalid_argument',
        reason: 'bad_server_name',
      });
    },
  );
});

describe('newSelfSigned', () => {
  it('gives a key, its certificate and the hash of its DER', async () => {
    const one = await newSelfSigned('eph-abc');
    const certificate = new X509Certificate(one.certPem);
    expect(certificate.checkPrivateKey(createPrivateKey(one.keyPem))).toBe(true);
    expect(certificate.subject).toBe('CN=eph-abc');
    expect(one.sha256).toEqual(createHash('sha256').update(certificate.raw).digest());
    expect(one.sha256.equals((await newSelfSigned('eph-abc')).sha256)).toBe(false);
  });
});
