import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import type { Endpoint } from '@coral/wireguard';
import type { Carrier, CarrierEvents } from './carrier.js';

/** Asked of the system; it gives what it allows (Linux: net.core.rmem_max). */
const socketBufferBytes = 4 * 1024 * 1024;
/** Datagrams waiting in libuv because the system's buffer is full. TCP above backs off when more are dropped. */
export const maxQueuedDatagrams = 512;
const mappedPrefix = '::ffff:';

type Family = 'udp4' | 'udp6';

/**
 * UDP on one port: on one address, or on every address of both families. The socket of a family that was not asked for is
 * opened when there is something to send there.
 */
export class UdpCarrier implements Carrier {
  readonly kind = 'udp';
  readonly #events: CarrierEvents;
  readonly #sockets = new Map<Family, Socket>();
  readonly #opening = new Set<Family>();
  #v4: Socket | undefined;
  #v6: Socket | undefined;
  #closed = false;
  // Most datagrams come from where the last one came from; the device spares a comparison for the same object.
  #from: Endpoint = { carrier: 'udp', address: '', port: 0 };

  constructor(events: CarrierEvents) {
    this.#events = events;
  }

  /** Resolves with the port. `host` undefined: every address, free port. Rejects with the system's error. */
  async open(host: string | undefined, port: number): Promise<number> {
    const everywhere = host === undefined || host === '::';
    const first: Family = everywhere || !isIPv6(host) ? 'udp4' : 'udp6';
    const bound = await this.#bind(first, everywhere ? '0.0.0.0' : host, port);
    if (host === '::') await this.#bind('udp6', '::', bound);
    return bound;
  }

  send(datagram: Buffer, to: Endpoint): boolean {
    const socket = to.address.includes(':') ? this.#v6 : this.#v4;
    if (socket === undefined) {
      this.#openLater(to.address.includes(':') ? 'udp6' : 'udp4');
      return false;
    }
    if (socket.getSendQueueCount() > maxQueuedDatagrams) return false;
    try {
      socket.send(datagram, to.port, to.address);
      return true;
    } catch {
      // A port or address no system takes: a peer said so, or an old configuration.
      return false;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const sockets = [...this.#sockets.values()];
    this.#sockets.clear();
    this.#v4 = this.#v6 = undefined;
    await Promise.all(
      sockets.map(async (socket) => {
        const closed = once(socket, 'close');
        socket.close();
        await closed;
      }),
    );
  }

  async #bind(family: Family, host: string, port: number): Promise<number> {
    const socket = createSocket({
      type: family,
      ipv6Only: family === 'udp6',
      recvBufferSize: socketBufferBytes,
      sendBufferSize: socketBufferBytes,
      // Addresses only, and at once: the usual look-up costs a turn of the event loop per datagram.
      lookup: (address, _options, done) => done(null, address, family === 'udp6' ? 6 : 4),
    });
    const bound = Promise.withResolvers<void>();
    // ICMP errors arrive here too; the timers of WireGuard are the judge of those.
    socket.on('error', (error) => {
      bound.reject(error);
      this.#events.error();
    });
    socket.on('message', (datagram, from) => this.#events.datagram(datagram, this.#endpointOf(from)));
    socket.bind({ address: host, port, exclusive: true }, () => bound.resolve());
    try {
      await bound.promise;
    } catch (error) {
      socket.close();
      throw error;
    }
    if (this.#closed) {
      socket.close();
      return 0;
    }
    this.#sockets.set(family, socket);
    if (family === 'udp4') this.#v4 = socket;
    else this.#v6 = socket;
    return socket.address().port;
  }

  #openLater(family: Family): void {
    if (this.#closed || this.#opening.has(family)) return;
    this.#opening.add(family);
    void this.#bind(family, family === 'udp4' ? '0.0.0.0' : '::', 0).catch(() => this.#events.error());
  }

  #endpointOf(from: RemoteInfo): Endpoint {
    if (from.port === this.#from.port && from.address === this.#from.address) return this.#from;
    const address = from.address.startsWith(mappedPrefix) ? from.address.slice(mappedPrefix.length) : from.address;
    this.#from = { carrier: 'udp', address, port: from.port };
    return this.#from;
  }
}
