import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { systemClock } from '@coral/model';
import { IpStack, type StackLimits, type TcpLimits } from '@coral/tcp';
import { WireGuardDevice, type DeviceEvent, type PeerOptions } from '@coral/wireguard';
import { CoreSocket } from './core-socket.js';

export interface CoreEndpointOptions {
  /** The outer address to send from. */
  host: string;
  /** Inner addresses. */
  addresses: readonly string[];
  /** Of inner packets. */
  mtu?: number;
  limits?: Partial<StackLimits>;
  tcp?: Partial<TcpLimits>;
}

/**
 * The two cores on a real socket and the real clock, in the event loop of the test: WireGuard, IP and TCP as the product has
 * them, without its worker, hub and carriers. What fails here is a core's fault.
 */
export class CoreEndpoint {
  readonly device: WireGuardDevice;
  readonly stack: IpStack;
  readonly events: DeviceEvent[] = [];
  readonly #socket: Socket;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #isTurnDue = false;
  #isClosed = false;

  static async open(options: CoreEndpointOptions): Promise<CoreEndpoint> {
    const socket = createSocket({
      type: isIPv6(options.host) ? 'udp6' : 'udp4',
      recvBufferSize: 4 << 20,
      sendBufferSize: 4 << 20,
    });
    socket.bind(0, options.host);
    await once(socket, 'listening');
    return new CoreEndpoint(options, socket);
  }

  private constructor(options: CoreEndpointOptions, socket: Socket) {
    this.#socket = socket;
    this.device = new WireGuardDevice({
      privateKey: randomBytes(32),
      clock: systemClock,
      random: (size) => randomBytes(size),
      output: {
        send: (datagram, to) => socket.send(datagram, to.port, to.address, this.#noteError),
        receive: (packet) => this.stack.onPacket(packet),
        event: (event) => this.events.push(event),
      },
    });
    this.stack = new IpStack({
      addresses: options.addresses,
      mtu: options.mtu ?? 1_420,
      clock: systemClock,
      random: (size) => randomBytes(size),
      output: { packet: (packet) => void this.device.sendPacket(packet) },
      limits: options.limits,
      tcp: options.tcp,
    });
    socket.on('error', this.#noteError);
    socket.on('message', (datagram, from) => {
      this.device.onDatagram(datagram, { carrier: 'udp', address: from.address, port: from.port });
      this.turn();
    });
  }

  /** Sends the kernel refused, and ICMP errors it passed on: the protocols above make good for both. */
  socketErrors = 0;

  get port(): number {
    return this.#socket.address().port;
  }

  addPeer(peer: PeerOptions): void {
    this.device.addPeer(peer);
    this.turn();
  }

  /** Resolves when the connection is established. */
  async connect(address: string, port: number): Promise<CoreSocket> {
    const socket = new CoreSocket(this.turn);
    socket.attach(this.stack.connect({ address, port, handlers: socket.handlers }));
    this.turn();
    await socket.connected;
    return socket;
  }

  /** Listens on a free port of all inner addresses, which it returns. */
  listen(onSocket: (socket: CoreSocket) => void): number {
    const listener = this.stack.listen(0, (connection) => {
      const socket = new CoreSocket(this.turn).attach(connection);
      onSocket(socket);
      return socket.handlers;
    });
    return listener.port;
  }

  ping(address: string, timeoutMs = 5_000): Promise<number | undefined> {
    return new Promise((done) => {
      this.stack.ping(address, { timeoutMs, done });
      this.turn();
    });
  }

  /** Something was put in: when all that has arrived by now is in too, what it caused goes out. */
  readonly turn = (): void => {
    if (this.#isTurnDue || this.#isClosed) return;
    this.#isTurnDue = true;
    // Runs after the socket's whole batch has been read: one turn for many datagrams.
    setImmediate(this.#endTurn);
  };

  close(): void {
    if (this.#isClosed) return;
    this.stack.close();
    this.device.close();
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  readonly #endTurn = (): void => {
    this.#isTurnDue = false;
    if (this.#isClosed) return;
    const now = systemClock.monotonic();
    if (this.device.nextTimerAt() <= now) this.device.onTimer();
    if (this.stack.nextTimerAt() <= now) this.stack.onTimer();
    if (this.device.backlog > 0) this.device.runBacklog(8);
    this.stack.endOfTurn();
    if (this.device.backlog > 0) this.turn();
    this.#arm();
  };

  #arm(): void {
    const next = Math.min(this.device.nextTimerAt(), this.stack.nextTimerAt());
    if (next === this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = next;
    if (next === Infinity) return;
    this.#timer = setTimeout(this.#onTimer, Math.max(0, next - systemClock.monotonic()));
  }

  readonly #onTimer = (): void => {
    this.#timerAt = Infinity;
    this.#endTurn();
  };

  readonly #noteError = (error: Error | null): void => {
    if (error) this.socketErrors += 1;
  };
}
