// Certificates: the colony's own CA, its server leaf, and the self-signed ones of the mesh driver `direct`.
// Read first: RFC 5280. reflect-metadata must be evaluated before @peculiar/x509, whose container looks for it.
import 'reflect-metadata';
import { createHash, createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { CoralError } from '@coral/errors';
import { systemClock, type Clock } from '@coral/model';
import { keyDamaged, readOrCreatePrivateFile } from './private-file.js';

const dayMs = 86_400_000;
export const caLifetimeDays = 3_650;
/** The colony takes a new leaf at every start; a run longer than this must ask for another. */
export const serverLifetimeDays = 90;
/** Certificates begin a day early: a laptop whose clock lags must still get in. */
const backdatedMs = dayMs;
const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
const dnsName = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

/** The colony's CA: made at its first start, pinned by every client through `fingerprint`. */
export class CertificateAuthority {
  readonly caPem: string;
  /** `sha256:<hex>` of the CA certificate's DER. */
  readonly fingerprint: string;
  readonly #certificate: x509.X509Certificate;
  readonly #signingKey: webcrypto.CryptoKey;
  readonly #clock: Clock;

  private constructor(certificate: x509.X509Certificate, signingKey: webcrypto.CryptoKey, clock: Clock) {
    this.#certificate = certificate;
    this.#signingKey = signingKey;
    this.#clock = clock;
    this.caPem = toPem(certificate);
    this.fingerprint = certificateFingerprint(this.caPem);
  }

  /** Key and certificate share one 0600 file, `ca.pem`, so that a crash cannot leave one without the other. */
  static async openOrCreate(directory: string, clock: Clock = systemClock): Promise<CertificateAuthority> {
    const file = join(directory, 'ca.pem');
    const text = await readOrCreatePrivateFile(file, () => newCa(clock));
    let certificate: x509.X509Certificate;
    let signingKey: webcrypto.CryptoKey;
    try {
      const node = new X509Certificate(text);
      const key = createPrivateKey(text);
      if (!node.ca || !node.checkPrivateKey(key)) throw new TypeError('the certificate is not a CA of this key');
      certificate = new x509.X509Certificate(toArrayBuffer(node.raw));
      signingKey = key.toCryptoKey(keyAlgorithm, false, ['sign']);
    } catch (cause) {
      throw keyDamaged(file, 'holds no CA certificate with its P-256 key', cause);
    }
    if (certificate.notAfter.getTime() <= clock.now()) {
      throw new CoralError({
        kind: 'failed_precondition',
        reason: 'ca_expired',
        where: file,
        message: `The colony's CA certificate expired at ${certificate.notAfter.toISOString()}.`,
        next: `Move ${file} away to have a new CA made, then give every client the new fingerprint.`,
      });
    }
    return new CertificateAuthority(certificate, signingKey, clock);
  }

  /** A fresh key and a leaf for these DNS names and IP addresses. `certPem` is leaf + CA, as a server must send it. */
  async issueServer(names: string[]): Promise<{ keyPem: string; certPem: string }> {
    const altNames = names.map(toAltName);
    const [first] = names;
    if (first === undefined) throw badServerName('', 'the list of names is empty');
    const keys = await newKeys();
    const now = this.#clock.now();
    const leaf = await x509.X509CertificateGenerator.create({
      subject: [{ CN: [first.slice(0, 64)] }],
      issuer: this.#certificate.subject,
      notBefore: new Date(now - backdatedMs),
      notAfter: new Date(Math.min(now + serverLifetimeDays * dayMs, this.#certificate.notAfter.getTime())),
      publicKey: keys.publicKey,
      signingKey: this.#signingKey,
      signingAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(altNames),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate),
      ],
    });
    return { keyPem: await exportKey(keys.privateKey), certPem: toPem(leaf) + this.caPem };
  }
}

/** `sha256:<hex>` of the first certificate in a PEM text. */
export function certificateFingerprint(pem: string): string {
  return `sha256:${createHash('sha256').update(new X509Certificate(pem).raw).digest('hex')}`;
}

/**
 * A certificate that stands for nobody until its `sha256` (of the DER, 32 bytes) is bound to a peer. For the mesh
 * driver `direct`, which trusts the hash alone: neither name nor dates are looked at.
 */
export async function newSelfSigned(commonName: string): Promise<{ keyPem: string; certPem: string; sha256: Buffer }> {
  const keys = await newKeys();
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [commonName] }],
    notBefore: new Date(now - backdatedMs),
    notAfter: new Date(now + caLifetimeDays * dayMs),
    keys,
    signingAlgorithm,
    extensions: [new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)],
  });
  return {
    keyPem: await exportKey(keys.privateKey),
    certPem: toPem(certificate),
    sha256: createHash('sha256').update(Buffer.from(certificate.rawData)).digest(),
  };
}

async function newCa(clock: Clock): Promise<string> {
  const keys = await newKeys();
  const now = clock.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: ['Coral colony CA'] }],
    notBefore: new Date(now - backdatedMs),
    notAfter: new Date(now + caLifetimeDays * dayMs),
    keys,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return toPem(certificate) + (await exportKey(keys.privateKey));
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return String(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }));
}

function toPem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem').trim()}\n`;
}

function toArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}

function toAltName(name: string): { type: 'ip' | 'dns'; value: string } {
  if (isIP(name) !== 0) return { type: 'ip', value: name };
  if (!dnsName.test(name)) throw badServerName(name, 'it is neither an IP address nor a DNS name');
  return { type: 'dns', value: name };
}

function badServerName(name: string, problem: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_server_name',
    where: 'names',
    message: `No certificate can be made for ${JSON.stringify(name.slice(0, 100))}: ${problem}.`,
    next: 'Give host names or IP addresses without port, scheme or brackets.',
  });
}
