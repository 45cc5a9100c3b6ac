// Trust in a colony: its own CA and nothing else, never the machine's list of CAs.
import { createHash, X509Certificate } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { CallCredentials, ChannelCredentials, experimental } from '@grpc/grpc-js';
import { CoralError } from '@coral/errors';
import { splitEndpoint } from './endpoint.js';

export const probeTimeoutMs = 10_000;

/**
 * Channel credentials whose only trust anchor is `caPem`; the name or IP address dialled must be in the certificate.
 * Our own subclass rather than `createSsl`: that one sends IP addresses as SNI, which RFC 6066 forbids and Node warns
 * about on stderr, and it buries why a certificate failed.
 */
export function pinnedCredentials(caPem: string): ChannelCredentials {
  return new PinnedCredentials(createSecureContext({ ca: caPem, minVersion: 'TLSv1.3' }));
}

type CreateConnector = ChannelCredentials['_createSecureConnector'];

class PinnedCredentials extends ChannelCredentials {
  readonly #context: SecureContext;

  constructor(context: SecureContext) {
    super();
    this.#context = context;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    target: Parameters<CreateConnector>[0],
    _options: Parameters<CreateConnector>[1],
    callCredentials: CallCredentials = CallCredentials.createEmpty(),
  ): experimental.SecureConnector {
    const host = experimental.splitHostPort(target.path)?.host ?? target.path;
    return {
      connect: async (socket) => ({ socket: await secured(socket, host, this.#context), secure: true }),
      waitForReady: async () => undefined,
      getCallCredentials: () => callCredentials,
      destroy: () => undefined,
    };
  }
}

async function secured(socket: Socket, host: string, secureContext: SecureContext): Promise<TLSSocket> {
  return await new Promise((resolve, reject) => {
    const tls = connect({
      socket,
      secureContext,
      ALPNProtocols: ['h2'],
      rejectUnauthorized: true,
      ...(isIP(host) === 0 && { servername: host }),
      checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
    });
    tls.once('secureConnect', () => resolve(tls));
    tls.once('error', (error: NodeJS.ErrnoException) => reject(new Error(`[tls ${error.code}] ${error.message}`)));
    tls.once('close', () => reject(new Error('the connection closed in the middle of the TLS handshake')));
  });
}

/**
 * Asks a colony for its CA and takes it only when it has this fingerprint (`sha256:<hex>` of its DER) and has signed the
 * certificate shown. Nothing is sent but a TLS handshake. The rest is up to {@link pinnedCredentials}.
 */
export async function fetchPinnedCa(
  endpoint: string,
  fingerprint: string,
  o: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<string> {
  const wanted = fingerprint.toLowerCase();
  if (!/^sha256:[0-9a-f]{64}$/.test(wanted)) throw badFingerprint(fingerprint);
  const chain = await probe(endpoint, o);
  const [leaf] = chain;
  const ca = chain.find((certificate) => fingerprintOf(certificate) === wanted);
  if (!leaf || !ca || !ca.ca || !leaf.checkIssued(ca) || !leaf.verify(ca.publicKey)) {
    throw wrongCa(endpoint, wanted, chain);
  }
  return ca.toString();
}

async function probe(endpoint: string, o: { signal?: AbortSignal; timeoutMs?: number }): Promise<X509Certificate[]> {
  const { host, port } = splitEndpoint(endpoint);
  const timeout = AbortSignal.timeout(o.timeoutMs ?? probeTimeoutMs);
  const signal = o.signal ? AbortSignal.any([o.signal, timeout]) : timeout;
  const tls = connect({
    host,
    port,
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.3',
    // The certificate is what we came for; it is judged below.
    rejectUnauthorized: false,
    ...(isIP(host) === 0 && { servername: host }),
  });
  const onAbort = (): void => {
    tls.destroy(new Error('aborted'));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      tls.once('secureConnect', resolve).once('error', reject);
      tls.once('close', () => reject(new Error('the connection closed in the middle of the TLS handshake')));
      if (signal.aborted) onAbort();
    });
    const chain: X509Certificate[] = [];
    for (let next = tls.getPeerX509Certificate(); next && chain.length < 8; next = next.issuerCertificate) {
      chain.push(next);
    }
    return chain;
  } catch (cause) {
    if (o.signal?.aborted) {
      throw new CoralError({ kind: 'cancelled', reason: 'cancelled', message: 'Connecting was cancelled.', cause });
    }
    throw unreachable(endpoint, timeout.aborted ? 'no answer in time' : String((cause as Error).message), cause);
  } finally {
    signal.removeEventListener('abort', onAbort);
    tls.destroy();
  }
}

function fingerprintOf(certificate: X509Certificate): string {
  return `sha256:${createHash('sha256').update(certificate.raw).digest('hex')}`;
}

function badFingerprint(fingerprint: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_fingerprint',
    where: 'fingerprint',
    message: `${JSON.stringify(fingerprint.slice(0, 100))} is not a fingerprint.`,
    next: "Copy the colony's ca_fingerprint: `sha256:` and 64 hexadecimal digits.",
  });
}

function wrongCa(endpoint: string, wanted: string, chain: X509Certificate[]): CoralError {
  const root = chain.at(-1);
  const shown = root === undefined ? 'no certificate' : fingerprintOf(root);
  const problem =
    shown === wanted ? 'shows that CA, which did not sign its certificate' : `shows ${shown} instead of ${wanted}`;
  return new CoralError({
    kind: 'unauthenticated',
    reason: 'wrong_ca',
    where: endpoint,
    message: `${endpoint} is not the colony that was pinned: it ${problem}.`,
    next: 'Compare with the ca_fingerprint that the colony prints when it starts. If they differ, somebody is in between.',
  });
}

function unreachable(endpoint: string, problem: string, cause: unknown): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'colony_unreachable',
    where: endpoint,
    message: `No colony answers at ${endpoint}: ${problem}.`,
    next: 'Check that the colony runs and that its endpoint is right (`coral colony list`).',
    cause,
  });
}
