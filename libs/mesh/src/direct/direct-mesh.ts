// The driver `direct`: mutual TLS on loopback in place of WireGuard, for development and tests.
// One TLS listener; the ALPN protocol `coral-direct/<port>` selects the mesh port. Certificates stand for peers by
// their hash alone.
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { CoralError } from '@coral/errors';
import { keyIdOf, type Clock, type KeyId } from '@coral/model';
import { dialDirect, type DirectIdentity } from './direct-dial.js';
import { DirectSocket } from './direct-socket.js';
import {
  accepted,
  certificateHash,
  formatEndpoint,
  isLoopback,
  parseEndpoint,
  portOf,
  tlsOptions,
} from './direct-wire.js';
import {
  badMeshPort,
  badPeer,
  cannotListen,
  directDriverForbidden,
  meshClosed,
  meshNotListening,
  meshPortTaken,
  meshUnknownPeer,
} from '../mesh.errors.js';
import type { Mesh, MeshListener, MeshSocket, Peer } from '../mesh.js';
import { defaultDialTimeoutMs, firstDynamicPort, lastPort, sweepEveryMs } from '../mesh.limits.js';
import { PeerTable } from '../peer-table.js';

/** A stranger has this long to finish the TLS handshake. */
export const directHandshakeTimeoutMs = 10_000;
/** Streams and handshakes at once; more are dropped unheard. */
export const maxDirectConnections = 4_096;

/** Why somebody was turned away before any byte went up. */
export type RefusalReason = 'unknown_peer' | 'expired_peer' | 'no_certificate' | 'no_listener' | 'bad_handshake';

export interface DirectMeshOptions {
  keyPair: { publicKey: Uint8Array; privateKey?: Uint8Array };
  certificate: DirectIdentity;
  /** Absent: this end only dials. Loopback only; port 0 takes a free one. */
  listen?: { host: string; port: number };
  production: boolean;
  clock: Clock;
  /** `certificateSha256` is hex, '' when none was shown. */
  onRefused?(info: { remoteAddress: string; certificateSha256: string; reason: RefusalReason }): void;
}

export type DirectMesh = Mesh & { endpoint: string | undefined };

export async function openDirectMesh(options: DirectMeshOptions): Promise<DirectMesh> {
  if (options.production) throw directDriverForbidden('this configuration says it is production');
  const { listen } = options;
  if (listen && !isLoopback(listen.host)) throw directDriverForbidden(`${listen.host} is not a loopback address`);
  const mesh = new DirectEndpoint(options);
  if (listen) await mesh.open(listen);
  return mesh;
}

class DirectEndpoint implements Mesh {
  readonly keyId: KeyId;
  readonly driver = 'direct';
  endpoint: string | undefined;
  readonly #options: DirectMeshOptions;
  readonly #peers: PeerTable;
  readonly #listeners = new Map<number, (socket: MeshSocket) => void>();
  readonly #dials = new Set<(error: CoralError) => void>();
  /** Accepted TCP connections, from before their handshake until they close. */
  readonly #accepted = new Set<Socket>();
  readonly #streams = new Set<DirectSocket>();
  #server: Server | undefined;
  #sweeper: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: DirectMeshOptions) {
    this.#options = options;
    this.keyId = keyIdOf(options.keyPair.publicKey);
    this.#peers = new PeerTable(options.clock);
  }

  async open(listen: { host: string; port: number }): Promise<void> {
    const server = createServer({
      ...tlsOptions,
      key: this.#options.certificate.keyPem,
      cert: this.#options.certificate.certPem,
      requestCert: true,
      handshakeTimeout: directHandshakeTimeoutMs,
      ALPNCallback: ({ protocols }) => protocols.find((protocol) => this.#listenerFor(protocol)),
    });
    server.maxConnections = maxDirectConnections;
    server.on('connection', (raw: Socket) => {
      this.#accepted.add(raw);
      raw.once('close', () => this.#accepted.delete(raw));
    });
    server.on('tlsClientError', (_error, socket) => this.#refuse(socket, 'bad_handshake'));
    server.on('secureConnection', (socket) => this.#accept(socket));
    server.listen(listen.port, listen.host);
    await once(server, 'listening').catch((cause: unknown) => {
      throw cannotListen(formatEndpoint(listen.host, listen.port), cause);
    });
    this.#server = server;
    this.endpoint = formatEndpoint(listen.host, (server.address() as AddressInfo).port);
  }

  async dial(
    address: string,
    port: number,
    options: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<MeshSocket> {
    if (this.#closed) throw meshClosed();
    if (!Number.isInteger(port) || port < 1 || port > lastPort) throw badMeshPort(port);
    const entry = this.#peers.atAddress(address);
    if (!entry) throw meshUnknownPeer(address, 'this end was never told of it');
    const socket = await dialDirect({
      entry,
      identity: this.#options.certificate,
      address,
      port,
      timeoutMs: options.timeoutMs ?? defaultDialTimeoutMs,
      signal: options.signal,
      cuts: this.#dials,
    });
    if (!this.#closed) return this.#keep(socket);
    socket.destroy();
    throw meshClosed();
  }

  async listen(port: number, onConnection: (socket: MeshSocket) => void): Promise<MeshListener> {
    if (this.#closed) throw meshClosed();
    if (!this.#server) throw meshNotListening();
    if (!Number.isInteger(port) || port < 0 || port > lastPort) throw badMeshPort(port);
    if (this.#listeners.has(port)) throw meshPortTaken(port);
    const taken = port === 0 ? this.#freePort() : port;
    this.#listeners.set(taken, onConnection);
    return {
      port: taken,
      close: async () => {
        if (this.#listeners.get(taken) === onConnection) this.#listeners.delete(taken);
      },
    };
  }

  addPeer(peer: Peer): void {
    if (this.#closed) throw meshClosed();
    if (!peer.direct) throw badPeer('it has no certificate hash');
    const { endpoint } = peer.direct;
    if (endpoint !== undefined && !parseEndpoint(endpoint)) {
      throw directDriverForbidden(`${JSON.stringify(endpoint.slice(0, 80))} is not a loopback address with a port`);
    }
    this.#peers.add(peer);
    this.#sweep();
  }

  removePeer(keyId: KeyId): void {
    this.#peers.remove(keyId);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Last opened, first closed: dials, streams, handshakes, mesh ports, the TLS listener. */
  async #close(): Promise<void> {
    clearTimeout(this.#sweeper);
    for (const cut of this.#dials) cut(meshClosed());
    for (const stream of [...this.#streams].toReversed()) stream.destroy();
    for (const raw of this.#accepted) raw.destroy();
    this.#listeners.clear();
    if (!this.#server) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  /** TLS 1.3 says nothing of the client's certificate but that it holds its key; the table says who that is. */
  #accept(tls: TLSSocket): void {
    const sha256 = certificateHash(tls);
    const entry = sha256 === '' ? undefined : this.#peers.withCertificate(sha256);
    const onConnection = this.#listenerFor(tls.alpnProtocol);
    if (!entry) return this.#refuse(tls, sha256 === '' ? 'no_certificate' : 'unknown_peer');
    if (entry.over()) return this.#refuse(tls, 'expired_peer');
    if (this.#closed || !onConnection) return this.#refuse(tls, 'no_listener');
    tls.write(accepted);
    onConnection(this.#keep(new DirectSocket({ entry, tls, remotePort: tls.remotePort ?? 0 })));
  }

  #keep(socket: DirectSocket): DirectSocket {
    this.#streams.add(socket);
    socket.once('close', () => this.#streams.delete(socket));
    return socket;
  }

  #refuse(socket: TLSSocket, reason: RefusalReason): void {
    const info = { remoteAddress: farEnd(socket), certificateSha256: certificateHash(socket), reason };
    socket.destroy();
    this.#options.onRefused?.(info);
  }

  #listenerFor(protocol: string | false | null): ((socket: MeshSocket) => void) | undefined {
    const port = portOf(protocol);
    return port === undefined ? undefined : this.#listeners.get(port);
  }

  #freePort(): number {
    for (let port = firstDynamicPort; port <= lastPort; port++) if (!this.#listeners.has(port)) return port;
    throw meshPortTaken(0);
  }

  #sweep(): void {
    clearTimeout(this.#sweeper);
    const next = this.#peers.sweep();
    if (next === Number.POSITIVE_INFINITY) return;
    this.#sweeper = setTimeout(() => this.#sweep(), Math.min(Math.max(next, 0), sweepEveryMs));
    // Expiry is no reason to keep a process alive.
    this.#sweeper.unref();
  }
}

function farEnd(socket: Socket): string {
  return formatEndpoint(socket.remoteAddress ?? '', socket.remotePort ?? 0);
}
