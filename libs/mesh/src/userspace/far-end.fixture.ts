// A laptop in a thread of its own, for specs in which the colony's main thread stands still: it has a clock that goes on.
import { parentPort, workerData } from 'node:worker_threads';
import { keyIdOf, systemClock } from '@coral/model';
import { openUserspaceMesh } from './userspace-mesh.js';

export interface FarEndData {
  publicKey: Uint8Array;
  privateKey: Uint8Array;
  address: string;
  colony: { publicKey: Uint8Array; address: string; udpPort: number; port: number };
}

export type FarEndReport =
  | { kind: 'connected' }
  /** Wall clock ms. */
  | { kind: 'cut'; at: number; reason: string }
  | { kind: 'pinged'; ok: boolean };

const data = workerData as FarEndData;
const { colony } = data;
const say = (report: FarEndReport): void => parentPort?.postMessage(report);

const mesh = await openUserspaceMesh({
  keyPair: data,
  addresses: [data.address],
  clock: systemClock,
  udp: { host: '127.0.0.1', port: 0 },
});
mesh.addPeer({
  keyId: keyIdOf(colony.publicKey),
  publicKey: colony.publicKey,
  addresses: [colony.address],
  wireguard: { endpoint: { host: '127.0.0.1', port: colony.udpPort } },
});
const socket = await mesh.dial(colony.address, colony.port);
socket.on('error', (error) => {
  say({ kind: 'cut', at: Date.now(), reason: 'reason' in error ? String(error.reason) : error.message });
  mesh.ping(colony.address, { timeoutMs: 200 }).then(
    () => say({ kind: 'pinged', ok: true }),
    () => say({ kind: 'pinged', ok: false }),
  );
});
socket.resume();
say({ kind: 'connected' });
parentPort?.once('message', () => void mesh.close());
