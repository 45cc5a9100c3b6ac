// For the specs of the relay: a real HTTPS server with a relay behind it, and a host that remembers what it was told.
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { CertificateAuthority } from '@coral/auth';
import type { Clock, KeyId } from '@coral/model';
import { VirtualClock } from '@coral/testing';
import type { RelayLimits } from '../relay.limits.js';
import { RelayServer, type RelayHost } from '../relay-server.js';

export interface Credentials {
  caPem: string;
  keyPem: string;
  certPem: string;
}

/** A CA of its own and a leaf for these names. */
export async function newCredentials(names = ['127.0.0.1', 'localhost'], clock?: Clock): Promise<Credentials> {
  const directory = await mkdtemp(join(tmpdir(), 'coral-relay-'));
  try {
    const authority = await CertificateAuthority.openOrCreate(directory, clock);
    return { caPem: authority.caPem, ...(await authority.issueServer(names)) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** In place of the mesh: remembers, and says so. */
export class RecordingHost extends EventEmitter<{ told: [] }> implements RelayHost {
  readonly ids: string[] = [];
  readonly addresses: string[] = [];
  readonly gone: string[] = [];
  readonly batches: { id: string; datagrams: readonly Buffer[] }[] = [];
  backlog = 0;
  send: (id: string, datagrams: readonly Uint8Array[]) => void = unset;
  bind: (id: string, peer: KeyId) => void = unset;
  cut: (id: string) => void = unset;

  opened(id: string, remoteAddress: string): void {
    this.ids.push(id);
    this.addresses.push(remoteAddress);
    this.emit('told');
  }

  datagrams(id: string, datagrams: readonly Buffer[]): void {
    this.batches.push({ id, datagrams });
    this.emit('told');
  }

  closed(id: string): void {
    this.gone.push(id);
    this.emit('told');
  }

  onSend(listener: (id: string, datagrams: readonly Uint8Array[]) => void): void {
    this.send = listener;
  }

  onBind(listener: (id: string, peer: KeyId) => void): void {
    this.bind = listener;
  }

  onCut(listener: (id: string) => void): void {
    this.cut = listener;
  }

  backlogBytes(): number {
    return this.backlog;
  }

  received(): Buffer[] {
    return this.batches.flatMap((batch) => batch.datagrams);
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await once(this, 'told');
  }
}

function unset(): never {
  throw new Error('the relay has not asked for this yet');
}

export interface Relay extends AsyncDisposable {
  readonly server: RelayServer;
  readonly host: RecordingHost;
  readonly clock: VirtualClock;
  readonly https: Server;
  readonly port: number;
  readonly url: string;
}

/** Ends when the block does that holds it. */
export async function openRelay(
  credentials: Credentials,
  limits: Partial<RelayLimits> = {},
  o: { clock?: Clock; port?: number; headersTimeout?: number; mesh?: RelayHost } = {},
): Promise<Relay> {
  const virtual = new VirtualClock();
  const host = new RecordingHost();
  const server = new RelayServer({
    host: o.mesh ?? host,
    clock: o.clock ?? virtual,
    limits: { closeGraceMs: 0, ...limits },
  });
  const https = createServer({
    key: credentials.keyPem,
    cert: credentials.certPem,
    minVersion: 'TLSv1.3',
    headersTimeout: o.headersTimeout ?? 10_000,
    connectionsCheckingInterval: 20,
  });
  const sockets = new Set<TLSSocket>();
  https.on('secureConnection', (socket: TLSSocket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
  });
  https.on('upgrade', (request, socket, head) => server.handleUpgrade(request, socket, head));
  https.listen(o.port ?? 0, '127.0.0.1');
  await once(https, 'listening');
  const { port } = https.address() as AddressInfo;
  return {
    server,
    host,
    clock: virtual,
    https,
    port,
    url: `wss://127.0.0.1:${port}/v1/mesh/relay`,
    [Symbol.asyncDispose]: async () => {
      const closed = once(https, 'close');
      https.close();
      await server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** `count` datagrams of that size that differ. */
export function someDatagrams(count: number, bytes: number): Buffer[] {
  return Array.from({ length: count }, (_, i) => {
    const datagram = Buffer.alloc(bytes, i);
    datagram.writeUInt32BE(i, 0);
    return datagram;
  });
}
