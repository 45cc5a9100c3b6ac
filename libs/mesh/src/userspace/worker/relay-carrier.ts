import type { Endpoint } from '@coral/wireguard';
import { ownBytes, type FromWorker, type Outbox } from '../protocol.js';
import type { Carrier } from './carrier.js';

/** Datagrams of one connection that wait for the end of the turn; more are dropped, TCP above backs off. */
export const maxRelayBatch = 256;

/** WebSocket connections that the main thread holds: datagrams go there in one message per connection and turn. */
export class RelayCarrier implements Carrier {
  readonly kind = 'ws';
  readonly #outbox: Outbox<FromWorker>;
  readonly #open = new Map<string, Endpoint>();
  readonly #waiting = new Map<string, Uint8Array[]>();

  constructor(outbox: Outbox<FromWorker>) {
    this.#outbox = outbox;
  }

  opened(id: string): void {
    this.#open.set(id, { carrier: 'ws', address: id, port: 0 });
  }

  closed(id: string): void {
    this.#open.delete(id);
    this.#waiting.delete(id);
  }

  endpointOf(id: string): Endpoint | undefined {
    return this.#open.get(id);
  }

  /** Its peer is gone: the main thread closes the connection. */
  cut(id: string): void {
    if (this.#open.has(id)) this.#outbox.add({ type: 'relay_cut', id });
    this.closed(id);
  }

  send(datagram: Buffer, to: Endpoint): boolean {
    if (!this.#open.has(to.address)) return false;
    const waiting = this.#waiting.get(to.address);
    if (!waiting) this.#waiting.set(to.address, [datagram]);
    else if (waiting.length >= maxRelayBatch) return false;
    else waiting.push(datagram);
    return true;
  }

  /** Once per turn. */
  flush(): void {
    if (this.#waiting.size === 0) return;
    for (const [id, datagrams] of this.#waiting) {
      // Own buffers: a pooled one would be copied whole with each message.
      this.#outbox.add({ type: 'relay_send', id, datagrams: datagrams.map((one) => ownBytes([one], one.length)) });
    }
    this.#waiting.clear();
  }

  async close(): Promise<void> {
    for (const id of this.#open.keys()) this.#outbox.add({ type: 'relay_cut', id });
    this.#open.clear();
    this.#waiting.clear();
  }
}
