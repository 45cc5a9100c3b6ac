// The way to a colony's relay: TCP, or a tunnel through a proxy (RFC 9110 §9.3.6), then TLS that trusts the colony's own CA and
// nothing else, then the upgrade. Each step has its own errors, since each is mended elsewhere.
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls';
import type { CoralError } from '@coral/errors';
import { WebSocket } from 'ws';
import type { Proxy } from './proxy.js';
import { maxMessageBytes, maxMessageFragments, maxMessagePieces, relayPath, relayProtocol } from './relay-wire.js';
import {
  proxyNotHttp,
  proxyRefused,
  proxyTimeout,
  proxyUnreachable,
  proxyWantsCredentials,
  relayCertificateTime,
  relayRefused,
  relayTimeout,
  relayUnreachable,
  relayWrongCa,
  relayWrongName,
} from './relay.errors.js';

/** Plain data: it goes to a worker. */
export interface RelayTarget {
  host: string;
  port: number;
  /** The colony's CA, already held against its fingerprint (`fetchPinnedCa` of libs/rpc); the only one trusted. */
  caPem: string;
  proxy?: Proxy;
}

export interface DialledRelay {
  ws: WebSocket;
  socket: TLSSocket;
}

/** Not the names of codes but what they mean: somebody else's signature. */
const wrongCaCodes = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
]);

/**
 * Opens a WebSocket to the relay, all steps within `timeoutMs`. `signal` gives up early: rejects with its reason. Rejects with
 * a CoralError that says which step failed and what to do.
 */
export async function dialRelay(
  target: RelayTarget,
  o: { timeoutMs: number; signal: AbortSignal },
): Promise<DialledRelay> {
  const timeout = AbortSignal.timeout(o.timeoutMs);
  const signal = AbortSignal.any([o.signal, timeout]);
  const colony = formatHost(target);
  let late: () => CoralError = () => relayTimeout(colony, o.timeoutMs);
  try {
    const { proxy } = target;
    if (proxy) late = () => proxyTimeout(formatHost(proxy), o.timeoutMs);
    const raw = proxy ? await tunnel(target, proxy, signal) : await openTcp(target, signal);
    late = () => relayTimeout(colony, o.timeoutMs);
    const socket = await secure(raw, target, signal);
    return { socket, ws: await upgrade(socket, target, signal) };
  } catch (error) {
    o.signal.throwIfAborted();
    throw timeout.aborted ? late() : error;
  }
}

async function openTcp(target: RelayTarget, signal: AbortSignal): Promise<Socket> {
  const socket = connectTcp({ host: target.host, port: target.port, noDelay: true });
  return await settled(socket, signal, 'connect', (error) =>
    relayUnreachable(formatHost(target), describe(error), error),
  );
}

async function tunnel(target: RelayTarget, proxy: Proxy, signal: AbortSignal): Promise<Socket> {
  const colony = formatHost(target);
  const name = formatHost(proxy);
  const { credentials } = proxy;
  return await new Promise((resolve, reject) => {
    const request = (proxy.secure ? httpsRequest : httpRequest)({
      host: proxy.host,
      port: proxy.port,
      method: 'CONNECT',
      path: colony,
      agent: false,
      signal,
      headers: {
        host: colony,
        ...(credentials === undefined
          ? {}
          : { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` }),
      },
    });
    request.once('connect', (answer: IncomingMessage, socket: Socket, head: Buffer) => {
      const status = answer.statusCode ?? 0;
      socket.on('error', () => socket.destroy());
      // TLS servers do not speak first: bytes behind a yes are not the colony's.
      if (status >= 200 && status < 300 && head.length === 0) {
        socket.setNoDelay(true);
        resolve(socket);
        return;
      }
      socket.destroy();
      if (status === 407) {
        reject(proxyWantsCredentials(name, schemesOf(answer), credentials !== undefined));
      } else if (status >= 300) reject(proxyRefused(name, status, colony));
      else reject(proxyNotHttp(name, undefined));
    });
    // An answer that is not to CONNECT: only a server that takes no notice of the method.
    request.once('response', (answer: IncomingMessage) => {
      answer.destroy();
      reject(proxyRefused(name, answer.statusCode ?? 0, colony));
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith('HPE_')) return reject(proxyNotHttp(name, error));
      const stranger = wrongCaCodes.has(error.code ?? '');
      const problem = stranger ? 'its CA is not known here (NODE_EXTRA_CA_CERTS can name it)' : describe(error);
      reject(proxyUnreachable(name, problem, error));
    });
    request.end();
  });
}

/** `Basic`, `Negotiate`, …: the first word of each challenge. */
function schemesOf(answer: IncomingMessage): string[] {
  const challenges = answer.headersDistinct['proxy-authenticate'] ?? [];
  return [...new Set(challenges.map((challenge) => challenge.trim().split(/\s/, 1)[0] ?? ''))].slice(0, 5);
}

async function secure(raw: Socket, target: RelayTarget, signal: AbortSignal): Promise<TLSSocket> {
  const socket = connectTls({
    socket: raw,
    ca: target.caPem,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: true,
    // RFC 6066 forbids addresses as SNI.
    ...(isIP(target.host) === 0 && { servername: target.host }),
    checkServerIdentity: (_name, certificate) => checkServerIdentity(target.host, certificate),
  });
  return await settled(socket, signal, 'secureConnect', (error) => tlsError(formatHost(target), error));
}

function tlsError(colony: string, error: NodeJS.ErrnoException): CoralError {
  const { code = '' } = error;
  if (wrongCaCodes.has(code)) return relayWrongCa(colony, error);
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return relayWrongName(colony, error);
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') return relayCertificateTime(colony, error);
  return relayUnreachable(colony, `TLS failed (${describe(error)})`, error);
}

async function upgrade(socket: TLSSocket, target: RelayTarget, signal: AbortSignal): Promise<WebSocket> {
  const colony = formatHost(target);
  const ws = new WebSocket(`wss://${colony}${relayPath}`, relayProtocol, {
    createConnection: () => socket,
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    maxFragments: maxMessageFragments,
    maxBufferedChunks: maxMessagePieces,
    skipUTF8Validation: true,
    followRedirects: false,
  });
  return await new Promise((resolve, reject) => {
    const give = (): void => {
      ws.terminate();
      socket.destroy();
    };
    signal.addEventListener('abort', give, { once: true });
    ws.once('open', () => {
      signal.removeEventListener('abort', give);
      resolve(ws);
    });
    ws.once('unexpected-response', (_request, answer) => {
      give();
      reject(relayRefused(colony, answer.statusCode ?? 0));
    });
    // Stays: later errors are told by `close`, and an error without a listener would end the process.
    ws.on('error', (error) => {
      signal.removeEventListener('abort', give);
      socket.destroy();
      reject(relayUnreachable(colony, `the upgrade failed (${describe(error)})`, error));
    });
  });
}

async function settled<S extends Socket>(
  socket: S,
  signal: AbortSignal,
  event: 'connect' | 'secureConnect',
  failure: (error: Error) => CoralError,
): Promise<S> {
  return await new Promise((resolve, reject) => {
    const abort = (): void => void socket.destroy(new Error('given up'));
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    socket.once(event, () => {
      signal.removeEventListener('abort', abort);
      resolve(socket);
    });
    // Stays, see above.
    socket.on('error', (error) => {
      signal.removeEventListener('abort', abort);
      socket.destroy();
      reject(failure(error));
    });
    socket.once('close', () => reject(failure(new Error('the connection was closed'))));
  });
}

/** A happy-eyeballs failure is an AggregateError without a text of its own. */
function describe(error: Error): string {
  if (error instanceof AggregateError) return (error.errors as Error[]).map(({ message }) => message).join('; ');
  return error.message;
}

function formatHost({ host, port }: { host: string; port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
