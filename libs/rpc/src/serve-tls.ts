// One TLS port for gRPC and HTTP/1.1, told apart by ALPN (RFC 7301).
import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { Server } from '@grpc/grpc-js';
import { CoralError } from '@coral/errors';
import { closeGraceMs, handshakeTimeoutMs, maxTlsConnections } from './limits.js';
import { credentialsFor } from './call-origin.js';

export interface TlsIdentity {
  keyPem: string;
  /** Leaf first, then the CA: clients that pin the CA take it from here. */
  certPem: string;
}

export interface TlsServer {
  readonly port: number;
  /** From the next handshake on. For processes that outlive their certificate. */
  renew(identity: TlsIdentity): void;
  /** Running calls have `graceMs` to finish. */
  close(graceMs?: number): Promise<void>;
}

/**
 * A client that offers `http/1.1` gets it (`onHttp1`, or a polite refusal); one that offers only `h2` gets gRPC, where
 * grpc-js answers 415 to any content type that is not gRPC's. Calls from here have no peer, whatever they claim.
 */
export async function serveTls(
  server: Server,
  o: TlsIdentity & {
    host: string;
    port: number;
    onHttp1?: (socket: TLSSocket) => void;
    /** How long a request over HTTP/1.1 that will be refused may take to arrive. */
    slowSenderMs?: number;
  },
): Promise<TlsServer> {
  const injector = server.createConnectionInjector(credentialsFor(undefined));
  const refusals = o.onHttp1 ? undefined : politeRefusals(o.slowSenderMs ?? handshakeTimeoutMs);
  const onHttp1 = o.onHttp1 ?? ((socket: TLSSocket) => refusals?.emit('connection', socket));
  const open = new Set<TLSSocket>();
  const protocol = { minVersion: 'TLSv1.3' } as const;
  const tls = createServer({
    ...protocol,
    key: o.keyPem,
    cert: o.certPem,
    handshakeTimeout: handshakeTimeoutMs,
    ALPNCallback: ({ protocols }) => ['http/1.1', 'h2'].find((name) => protocols.includes(name)),
  });
  tls.maxConnections = maxTlsConnections;
  tls.on('secureConnection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    // Broken connections are the other side's affair; http and http2 hear of them by themselves.
    socket.on('error', () => socket.destroy());
    if (socket.alpnProtocol === 'h2') injector.injectConnection(socket);
    else onHttp1(socket);
  });
  tls.listen(o.port, o.host);
  await once(tls, 'listening').catch((cause: unknown) => {
    injector.destroy();
    throw cannotListen(o.host, o.port, cause);
  });
  return {
    port: (tls.address() as AddressInfo).port,
    renew: ({ keyPem, certPem }) => tls.setSecureContext({ ...protocol, key: keyPem, cert: certPem }),
    close: async (graceMs = closeGraceMs) => {
      const closed = once(tls, 'close');
      tls.close();
      // GOAWAY, and calls may finish. drain() would end them as CANCELLED, as if the client had wished it.
      injector.destroy();
      refusals?.closeIdleConnections();
      // Ends the search for slow senders; it complains that the server never listened, which is so.
      refusals?.close(() => undefined);
      const late = setTimeout(() => {
        for (const socket of open) socket.destroy();
      }, graceMs);
      await closed;
      clearTimeout(late);
    },
  };
}

function politeRefusals(slowSenderMs: number): HttpServer {
  const patience = {
    headersTimeout: slowSenderMs,
    requestTimeout: slowSenderMs,
    connectionsCheckingInterval: Math.max(1, Math.floor(slowSenderMs / 4)),
  };
  const server = createHttpServer(patience, (request, response) => {
    const grpc = request.headers['content-type']?.startsWith('application/grpc') ?? false;
    const problem = grpc
      ? { status: 426, title: 'gRPC needs HTTP/2.', detail: 'Offer only `h2` in ALPN.' }
      : { status: 404, title: 'Nothing is served over HTTP/1.1 here.', detail: 'This port speaks gRPC over HTTP/2.' };
    response.writeHead(problem.status, {
      'content-type': 'application/problem+json',
      connection: grpc ? 'upgrade, close' : 'close',
      ...(grpc && { upgrade: 'HTTP/2.0' }),
    });
    response.end(JSON.stringify(problem));
  });
  // Node looks for slow senders only on servers that listen; this one is given its connections.
  server.emit('listening');
  return server;
}

function cannotListen(host: string, port: number, cause: unknown): CoralError {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
  const taken = code === 'EADDRINUSE';
  return new CoralError({
    kind: 'failed_precondition',
    reason: taken ? 'port_taken' : 'cannot_listen',
    where,
    message: taken
      ? `Another process already listens on ${where}.`
      : `It is not possible to listen on ${where}: ${code}.`,
    next: taken
      ? 'Stop the other process, or configure another port (0 takes a free one).'
      : 'Configure another address.',
    cause,
  });
}
