// The worker thread of one end of the mesh: see endpoint.ts.
import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { Outbox, type FromWorker, type ToWorker } from '../protocol.js';
import { Endpoint } from './endpoint.js';

const port = parentPort;
if (!port) throw new TypeError('mesh-worker.js is a worker thread of libs/mesh');

const outbox = new Outbox<FromWorker>((messages, transfer) => port.postMessage(messages, transfer));
const readPending = (): ToWorker[] => {
  const all: ToWorker[] = [];
  for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port)) all.push(...next.message);
  return all;
};
let endpoint: Endpoint | undefined;
let bound = false;
/** What comes before the socket is bound. */
const early: ToWorker[] = [];

port.on('message', (messages: ToWorker[]) => {
  if (endpoint && bound) return endpoint.receive(messages);
  const [first] = messages;
  if (!endpoint && first?.type === 'open') {
    const opened = (endpoint = new Endpoint(first, outbox, () => port.close(), readPending));
    void opened.bind().then((ok) => {
      if (!ok) return port.close();
      bound = true;
      opened.receive(early.splice(0));
    });
  }
  early.push(...messages);
});
