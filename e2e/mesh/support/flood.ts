import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** In a thread of its own: a flood must not slow down the end it is to slow down by taking its turn away. */
const program = `
const { createSocket } = require('node:dgram');
const { parentPort, workerData } = require('node:worker_threads');
const { message, host, port, burst, everyMs } = workerData;
const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
const counts = new Int32Array(workerData.counts);
socket.on('message', (reply) => Atomics.add(counts, reply[0] === 3 ? 1 : 2, 1));
socket.on('error', () => {});
let stopped = false;
parentPort.on('message', () => { stopped = true; });
socket.bind(0, () => {
  const send = () => {
    if (stopped) { socket.close(); parentPort.close(); return; }
    for (let i = 0; i < burst; i += 1) socket.send(message, port, host);
    Atomics.add(counts, 0, burst);
    setTimeout(send, everyMs);
  };
  parentPort.postMessage('ready');
  send();
});
`;

/**
 * The same datagram again and again from one port, until it is stopped. In bursts, each longer than the line of
 * handshakes that means load: both ends stay under load, and between two bursts an honest datagram finds room in the
 * socket.
 */
export class Flood {
  readonly #worker: Worker;
  readonly #counts: Int32Array;

  static async start(o: {
    message: Uint8Array;
    host: string;
    port: number;
    burst: number;
    everyMs: number;
  }): Promise<Flood> {
    const counts = new SharedArrayBuffer(12);
    const worker = new Worker(program, { eval: true, workerData: { ...o, counts } });
    await once(worker, 'message');
    return new Flood(worker, new Int32Array(counts));
  }

  private constructor(worker: Worker, counts: Int32Array) {
    this.#worker = worker;
    this.#counts = counts;
  }

  get sent(): number {
    return Atomics.load(this.#counts, 0);
  }

  /** Cookie replies that came back. */
  get cookies(): number {
    return Atomics.load(this.#counts, 1);
  }

  /** Anything else that came back. */
  get others(): number {
    return Atomics.load(this.#counts, 2);
  }

  async stop(): Promise<void> {
    const gone = once(this.#worker, 'exit');
    this.#worker.postMessage('stop');
    await gone;
  }
}
