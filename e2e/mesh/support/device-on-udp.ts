import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { systemClock } from '@coral/model';
import { WireGuardDevice, type DeviceEvent, type DeviceLimits, type DevicePeer, type Endpoint } from '@coral/wireguard';
import { echoPacket, readEcho, type Echo } from './icmp-echo.js';

export interface SentOrReceived {
  direction: 'out' | 'in';
  datagram: Buffer;
  /** Monotonic milliseconds. */
  at: number;
}

export interface DeviceOnUdpOptions {
  /** The outer address to send from. */
  host: string;
  /** Inner addresses, without prefix lengths: echo requests to them are answered. */
  addresses: readonly string[];
  limits?: Partial<DeviceLimits>;
}

const messageTypes = ['', 'initiation', 'response', 'cookie', 'data'] as const;
export type MessageType = (typeof messageTypes)[number];

/** One of our devices on a UDP socket and the real clock: no stack, no worker, only what WireGuard itself needs. */
export class DeviceOnUdp {
  readonly privateKey = randomBytes(32);
  readonly device: WireGuardDevice;
  readonly events: (DeviceEvent & { at: number })[] = [];
  /** Everything that went over the wire, for replays and counts. */
  readonly wire: SentOrReceived[] = [];
  /** Echo replies that came out of the tunnel. */
  readonly replies: Echo[] = [];
  answersEcho = true;
  readonly #host: string;
  readonly #addresses: readonly string[];
  readonly #waiting = new Map<string, () => void>();
  readonly #id = randomBytes(2).readUInt16BE();
  #sequence = 0;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isServing = false;
  #isClosed = false;

  static async open(options: DeviceOnUdpOptions): Promise<DeviceOnUdp> {
    const end = new DeviceOnUdp(options);
    await end.rebind();
    return end;
  }

  private constructor(options: DeviceOnUdpOptions) {
    this.#host = options.host;
    this.#addresses = options.addresses;
    this.device = new WireGuardDevice({
      privateKey: this.privateKey,
      clock: systemClock,
      random: (size) => randomBytes(size),
      limits: options.limits ?? {},
      output: {
        send: (datagram, to) => this.#send(datagram, to),
        receive: (packet, peer) => this.#receive(packet, peer),
        event: (event) => this.events.push({ ...event, at: performance.now() }),
      },
    });
  }

  get publicKey(): Buffer {
    return this.device.publicKey;
  }

  get port(): number {
    return this.#socket?.address().port ?? 0;
  }

  /** Sends and receives through another port from now on: the same device has moved. */
  async rebind(): Promise<void> {
    const socket = createSocket({ type: this.#host.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 });
    socket.on('error', () => {
      // An unreachable port said so; WireGuard tries again by itself.
    });
    socket.on('message', (datagram, from) => {
      this.wire.push({ direction: 'in', datagram: Buffer.from(datagram), at: performance.now() });
      this.device.onDatagram(datagram, { carrier: 'udp', address: from.address, port: from.port });
      this.#afterwards();
    });
    socket.bind(0, this.#host);
    await once(socket, 'listening');
    const previous = this.#socket;
    this.#socket = socket;
    previous?.close();
  }

  /** Sends an echo request through the tunnel; true when its reply came within the time, false otherwise. */
  async ping(source: string, destination: string, limitMs = 10_000, size = 56): Promise<boolean> {
    const sequence = (this.#sequence += 1) & 0xffff;
    const key = `${this.#id} ${sequence}`;
    const arrived = new Promise<boolean>((resolve) => {
      const limit = setTimeout(() => resolve(false), limitMs);
      this.#waiting.set(key, () => {
        clearTimeout(limit);
        resolve(true);
      });
    });
    this.send(echoPacket({ kind: 'request', source, destination, id: this.#id, sequence, payload: randomBytes(size) }));
    const result = await arrived;
    this.#waiting.delete(key);
    return result;
  }

  send(packet: Buffer): void {
    this.device.sendPacket(packet);
    this.#afterwards();
  }

  /** Puts bytes on the wire as they are, from this device's port: what an attacker on the path can do. */
  sendRaw(datagram: Buffer, to: { host: string; port: number }): void {
    this.#socket?.send(datagram, to.port, to.host);
  }

  /** Datagrams of one kind that went one way. */
  messages(direction: 'out' | 'in', type: MessageType): SentOrReceived[] {
    return this.wire.filter((one) => one.direction === direction && messageTypes[one.datagram[0] ?? 0] === type);
  }

  handshakes(): (DeviceEvent & { at: number })[] {
    return this.events.filter((event) => event.kind === 'handshake');
  }

  /** What went over the wire and what was dropped, for the message of an expectation that fails. */
  story(): string {
    const start = this.wire[0]?.at ?? 0;
    const lines = this.wire.slice(-60).map(({ direction, datagram, at }) => {
      const type = messageTypes[datagram[0] ?? 0] ?? 'unknown';
      return `${Math.round(at - start)} ms ${direction} ${type} ${datagram.length}`;
    });
    const drops = Object.entries(this.device.counters().drops).filter(([, count]) => count > 0);
    return [...lines, `dropped: ${JSON.stringify(Object.fromEntries(drops))}`].join('\n');
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.device.close();
    this.#socket?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #send(datagram: Buffer, to: Endpoint): void {
    this.wire.push({ direction: 'out', datagram: Buffer.from(datagram), at: performance.now() });
    this.#socket?.send(datagram, to.port, to.address);
  }

  #receive(packet: Buffer, _peer: DevicePeer): void {
    const echo = readEcho(packet);
    if (!echo) return;
    if (echo.kind === 'reply') {
      this.replies.push(echo);
      this.#waiting.get(`${echo.id} ${echo.sequence}`)?.();
      return;
    }
    if (!this.answersEcho || this.#addresses.length === 0) return;
    const { source, destination } = echo;
    this.device.sendPacket(echoPacket({ ...echo, kind: 'reply', source: destination, destination: source }));
  }

  /** What the worker of a mesh does after each turn: handshakes after the data, then sleep until the next timer. */
  #afterwards(): void {
    if (this.#isClosed) return;
    if (this.device.backlog > 0 && !this.#isServing) {
      this.#isServing = true;
      setImmediate(() => {
        this.#isServing = false;
        if (this.#isClosed) return;
        this.device.runBacklog(8);
        this.#afterwards();
      });
    }
    clearTimeout(this.#timer);
    const wait = this.device.nextTimerAt() - systemClock.monotonic();
    if (wait === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(
      () => {
        this.device.onTimer();
        this.#afterwards();
      },
      Math.max(0, Math.ceil(wait)),
    );
  }
}
