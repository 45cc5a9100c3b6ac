// What the WebSocket carrier carries: 1,452-byte datagrams over TLS on loopback. Client in a worker, as in a mesh; server on the main
// thread; behind it the colony's worker, to and from which datagrams are transferred. WireGuard and TCP are not in it. By hand:
//   rolldown -p node --tsconfig tsconfig.json libs/mesh/src/relay/relay.bench.ts -o dist/bench/relay.js
//   node dist/bench/relay.js
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { isMainThread, parentPort, Worker, workerData, type MessagePort } from 'node:worker_threads';
import { systemClock, type KeyId } from '@coral/model';
import { RelayClient } from './relay-client.js';
import type { RelayTarget } from './relay-dial.js';
import { newCredentials } from './spec-support/open-relay.js';
import { RelayServer, type RelayHost } from './relay-server.js';

const bytes = 1_452;
const batchSize = 64;
const rounds = 5;
const roundMs = 2_000;

type Role = { role: 'client'; target: RelayTarget } | { role: 'colony' };

if (isMainThread) await main();
else if ((workerData as Role).role === 'client')
  client((workerData as { target: RelayTarget }).target, parentPort as MessagePort);
else colony(parentPort as MessagePort);

/** Sends as fast as it is let, or counts what comes. */
function client(target: RelayTarget, port: MessagePort): void {
  let received = 0;
  let sending = false;
  const relay = new RelayClient({
    target,
    clock: systemClock,
    onDatagram: () => (received += 1),
    onState: (state) => state === 'open' && port.postMessage('open'),
  });
  const send = (): void => {
    for (let i = 0; i < batchSize && relay.send(Buffer.allocUnsafe(bytes)); i += 1);
    if (sending) setImmediate(send);
  };
  port.on('message', (message: 'send' | 'stop' | 'count' | 'end') => {
    if (message === 'count') port.postMessage(received);
    else if (message === 'end') void relay.close().then(() => port.close());
    else {
      sending = message === 'send';
      if (sending) send();
    }
  });
  relay.start();
}

/** Counts what comes, or sends a batch for each that was taken. */
function colony(port: MessagePort): void {
  let received = 0;
  port.on('message', (message: Buffer[] | 'next' | 'count' | 'end') => {
    if (typeof message !== 'string') received += message.length;
    else if (message === 'count') port.postMessage(received);
    else if (message === 'end') port.close();
    else {
      const all = Buffer.allocUnsafeSlow(bytes * batchSize);
      const batch = Array.from({ length: batchSize }, (_, i) => all.subarray(i * bytes, (i + 1) * bytes));
      port.postMessage(batch, [all.buffer as ArrayBuffer]);
    }
  });
}

async function main(): Promise<void> {
  const credentials = await newCredentials();
  const https = createServer({ key: credentials.keyPem, cert: credentials.certPem, minVersion: 'TLSv1.3' });
  const mesh = new Worker(new URL(import.meta.url), { workerData: { role: 'colony' } satisfies Role });
  let id = '';
  let bind: (id: string, peer: KeyId) => void = () => undefined;
  const host: RelayHost = {
    opened: (opened) => (id = opened),
    datagrams: (_id, datagrams) => mesh.postMessage(datagrams, [datagrams[0]?.buffer as ArrayBuffer]),
    closed: () => undefined,
    onSend: () => undefined,
    onBind: (listener) => (bind = listener),
    onCut: () => undefined,
  };
  const server = new RelayServer({ host, clock: systemClock });
  https.on('upgrade', (request, socket, head) => server.handleUpgrade(request, socket, head));
  https.listen(0, '127.0.0.1');
  await once(https, 'listening');
  const target = { host: '127.0.0.1', port: (https.address() as AddressInfo).port, caPem: credentials.caPem };
  const far = new Worker(new URL(import.meta.url), { workerData: { role: 'client', target } satisfies Role });
  await once(far, 'message');
  bind(id, 'peer' as KeyId);

  const up: number[] = [];
  const down: number[] = [];
  for (let i = 0; i < rounds; i += 1) {
    up.push(
      await measured(
        mesh,
        () => far.postMessage('send'),
        () => far.postMessage('stop'),
      ),
    );
    let taking = true;
    const take = (batch: Uint8Array[] | number): void => {
      if (typeof batch === 'number') return;
      server.send(
        id,
        batch.map((one) => Buffer.from(one.buffer, one.byteOffset, one.length)),
      );
      if (taking) setImmediate(() => mesh.postMessage('next'));
    };
    mesh.on('message', take);
    down.push(
      await measured(
        far,
        () => mesh.postMessage('next'),
        () => (taking = false),
      ),
    );
    mesh.off('message', take);
  }
  const { dropped } = server.counters();
  console.log(JSON.stringify({ up_mbit: summary(up), down_mbit: summary(down), dropped }));
  far.postMessage('end');
  mesh.postMessage('end');
  await server.close();
  https.close();
}

/** Mbit/s of datagrams that arrive where they are counted. */
async function measured(counter: Worker, start: () => void, stop: () => void): Promise<number> {
  const before = await count(counter);
  const began = performance.now();
  start();
  await new Promise((resolve) => setTimeout(resolve, roundMs));
  const after = await count(counter);
  const seconds = (performance.now() - began) / 1_000;
  stop();
  await new Promise((resolve) => setTimeout(resolve, 200));
  return ((after - before) * bytes * 8) / 1e6 / seconds;
}

async function count(worker: Worker): Promise<number> {
  const answer = new Promise<number>((resolve) => {
    const listen = (message: unknown): void => {
      if (typeof message !== 'number') return;
      worker.off('message', listen);
      resolve(message);
    };
    worker.on('message', listen);
  });
  worker.postMessage('count');
  return await answer;
}

function summary(values: readonly number[]): { median: number; min: number; max: number } {
  const sorted = values.toSorted((a, b) => a - b).map(Math.round);
  return { median: sorted[rounds >> 1] ?? 0, min: sorted[0] ?? 0, max: sorted.at(-1) ?? 0 };
}
