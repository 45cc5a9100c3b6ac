// For the specs of the race: a client and a colony, each with a real WireGuard device and a real TCP stack, in virtual time, and
// between them UDP and a WebSocket that can be spoilt.
import type { TcpConnection } from '@coral/tcp';
import { MemoryLink, SeededRandom, VirtualClock, type Impairments, type TimedPart } from '@coral/testing';
import type { Endpoint } from '@coral/wireguard';
import { CarrierRace } from '../carrier-race.js';
import type { CarrierEvent, CarrierKind, CarrierMemory, CarrierRaceLimits, Transport } from '../carrier-race.types.js';
import { Machine, onWholeMs } from './virtual-machine.js';

const colonyAddress = '10.137.0.1';
const clientAddress = '10.137.64.1';
export const port = 9_000;

export interface TunnelOptions {
  seed?: number;
  /** Of UDP, both ways together; the WebSocket's, when it differs. */
  rttMs?: number;
  wsRttMs?: number;
  /** Of each way of UDP. */
  udp?: Partial<Impairments>;
  transport?: Transport;
  memory?: CarrierMemory;
  limits?: Partial<CarrierRaceLimits>;
  /** The dial gets no answer. */
  wsBlocked?: boolean;
  keepaliveSeconds?: number;
}

export class RacedTunnel {
  readonly clock = new VirtualClock();
  readonly race: CarrierRace;
  readonly client: Machine;
  readonly colony: Machine;
  readonly events: CarrierEvent[] = [];
  readonly up: MemoryLink;
  readonly down: MemoryLink;
  readonly wsUp: MemoryLink;
  readonly wsDown: MemoryLink;
  /** What the client put on each carrier, in all. */
  readonly sent = { udp: 0, ws: 0 };
  dials = 0;
  probes = 0;
  restarts = 0;
  wsBlocked: boolean;
  readonly #wsRttMs: number;
  /** Of the WebSocket: dialled so often, and the connection that is open. */
  #connection = 0;
  #open: number | undefined;
  #wanted = false;
  #forgotten: number | undefined;
  /** Until then the client stands still. */
  #wake = 0;
  #from: CarrierKind = 'udp';
  #answers: Buffer[] | undefined;

  constructor(o: TunnelOptions = {}) {
    const { clock } = this;
    const random = new SeededRandom(o.seed ?? 1);
    const rttMs = o.rttMs ?? 20;
    this.#wsRttMs = o.wsRttMs ?? rttMs;
    this.wsBlocked = o.wsBlocked ?? false;
    const udp = { delayMs: rttMs / 2, ...o.udp };
    const ws = { delayMs: this.#wsRttMs / 2 };
    const link = (label: string, impairments: Partial<Impairments>, deliver: (datagram: Buffer) => void): MemoryLink =>
      new MemoryLink({ clock, random: random.fork(label), impairments, deliver });
    this.up = link('up', udp, (datagram) => this.colony.device.onDatagram(datagram, clientByUdp));
    this.down = link('down', udp, (datagram) => this.#arrive(datagram, 'udp'));
    this.wsUp = link('ws up', ws, (message) => this.#relay(message));
    this.wsDown = link('ws down', ws, (message) => this.#deliver(message));
    this.race = new CarrierRace({
      transport: o.transport ?? 'auto',
      ...(o.memory && { memory: o.memory }),
      ...(o.limits && { limits: o.limits }),
      clock,
      output: {
        transmit: (datagram, carrier) => this.#transmit(datagram, carrier),
        probe: (id) => this.#probe(id),
        restart: () => {
          this.restarts += 1;
          this.client.device.initiate(this.client.peer);
        },
        dial: () => this.#dial(),
        hangUp: () => this.#hangUp(),
        event: (event) => this.events.push(event),
      },
    });
    clock.attach(this.#sleepy(this.race));
    this.client = new Machine(
      clock,
      random.fork('client'),
      clientAddress,
      (datagram) => (this.#answers ? void this.#answers.push(datagram) : this.race.send(datagram)),
      () => this.race.received(this.client.peer.endpoint?.carrier ?? 'udp', 'handshake'),
    );
    this.colony = new Machine(
      clock,
      random.fork('colony'),
      colonyAddress,
      (datagram, to) => (to.carrier === 'udp' ? this.down.send(datagram) : this.#send(datagram, to)),
      () => undefined,
    );
    for (const part of [this.client.device, this.client.stack]) clock.attach(this.#sleepy(part));
    for (const part of [this.colony.device, this.colony.stack]) clock.attach(onWholeMs(part));
    this.client.peer = this.client.device.addPeer({
      publicKey: this.colony.device.publicKey,
      allowedIps: [colonyAddress],
      endpoint: colonyByUdp,
      ...(o.keepaliveSeconds && { persistentKeepaliveSeconds: o.keepaliveSeconds }),
    });
    this.colony.peer = this.colony.device.addPeer({
      publicKey: this.client.device.publicKey,
      allowedIps: [clientAddress],
    });
  }

  /** UDP swallows everything from now on, or this way alone; or no more. */
  swallowUdp(loss: 0 | 1 = 1, way: 'both' | 'up' | 'down' = 'both'): void {
    if (way !== 'down') this.up.impair({ loss });
    if (way !== 'up') this.down.impair({ loss });
  }

  /** The WebSocket's connection is there, and nothing gets through. */
  swallowWs(loss: 0 | 1 = 1): void {
    this.wsUp.impair({ loss });
    this.wsDown.impair({ loss });
  }

  /** The connection ends, and both ends hear of it. It is dialled again while it is wanted. */
  breakWs(): void {
    if (this.#open === undefined) return;
    this.#open = undefined;
    this.race.lost();
    this.#connect();
  }

  /** The network forgets the connection: nothing gets through, and nobody is told. A new one works. */
  forgetWs(): void {
    this.#forgotten = this.#open;
  }

  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  get isWanted(): boolean {
    return this.#wanted;
  }

  /** The client's process stands still while time passes; then its timers are late. */
  suspend(milliseconds: number): void {
    this.#wake = this.clock.monotonic() + milliseconds;
    this.clock.advance(milliseconds);
  }

  say(): void {
    this.client.stack.ping(colonyAddress, { timeoutMs: 1_000, done: () => undefined });
  }

  strangerSays(datagram: Buffer): void {
    this.#arrive(datagram, 'udp');
  }

  switches(): string[] {
    return this.events.flatMap((event) =>
      event.kind === 'carrier_switched' ? [`${event.from}>${event.to} ${event.why}`] : [],
    );
  }

  /** A connection whose ends see each byte go by: `gap()` is the longest time between two that were read since the last call. */
  stream(o: { bytesPerTick: number; tickMs: number; way: 'up' | 'down' }): { gap(): number; read(): number } {
    let read = 0;
    let longest = 0;
    let lastAt = this.clock.monotonic();
    const now = (): number => this.clock.monotonic();
    const reader = (connection: () => TcpConnection) => (): void => {
      for (let bytes = connection().read(); bytes; bytes = connection().read()) read += bytes.length;
      longest = Math.max(longest, now() - lastAt);
      lastAt = now();
    };
    const write = (connection: TcpConnection): void => {
      if (connection.unsent < 65_536) connection.write(Buffer.alloc(o.bytesPerTick, 7));
      this.clock.after(o.tickMs, () => write(connection));
    };
    this.colony.stack.listen(port, (connection) => {
      if (o.way === 'up') return { readable: reader(() => connection) };
      write(connection);
      return {};
    });
    const connection: TcpConnection = this.client.stack.connect({
      address: colonyAddress,
      port,
      handlers: {
        connected: () => o.way === 'up' && write(connection),
        readable: reader(() => connection),
      },
    });
    return {
      read: () => read,
      gap: () => {
        const gap = Math.max(longest, now() - lastAt);
        longest = 0;
        lastAt = now();
        return gap;
      },
    };
  }

  /** Asks and is answered after `thinkMs`, one question at a time, `everyMs` after the last answer. */
  conversation(everyMs: number, thinkMs = 0): { answers(): number; slowest(): number } {
    let answers = 0;
    let slowest = 0;
    let askedAt = this.clock.monotonic();
    this.colony.stack.listen(port, (connection) => ({
      readable: () => {
        for (let bytes = connection.read(); bytes; bytes = connection.read()) {
          const answer = bytes;
          if (thinkMs > 0) this.clock.after(thinkMs, () => connection.write(answer));
          else connection.write(answer);
        }
      },
    }));
    const ask = (): void => {
      askedAt = this.clock.monotonic();
      connection.write(Buffer.alloc(200, 1));
    };
    const connection: TcpConnection = this.client.stack.connect({
      address: colonyAddress,
      port,
      handlers: {
        connected: ask,
        readable: () => {
          while (connection.read());
          answers += 1;
          slowest = Math.max(slowest, this.clock.monotonic() - askedAt);
          this.clock.after(everyMs, ask);
        },
      },
    });
    return {
      answers: () => answers,
      slowest: () => {
        const longest = slowest;
        slowest = 0;
        return longest;
      },
    };
  }

  /** Sends UDP inside the tunnel that nobody answers. */
  monologue(everyMs: number, who: 'client' | 'colony' = 'client'): void {
    const [speaker, listener] = who === 'client' ? [this.client, this.colony] : [this.colony, this.client];
    const ours = speaker.stack.bindUdp(0, { datagram: () => undefined });
    listener.stack.bindUdp(port, { datagram: () => undefined });
    const address = who === 'client' ? colonyAddress : clientAddress;
    const speak = (): void => {
      ours.send(Buffer.alloc(100), { address, port });
      this.clock.after(everyMs, speak);
    };
    speak();
  }

  /** A part of the client: when it wakes, what was due long ago is due at once, in this order: timers, then datagrams. */
  #sleepy(part: TimedPart): TimedPart {
    const whole = onWholeMs(part);
    const nextTimerAt = whole.nextTimerAt;
    whole.nextTimerAt = () => Math.max(nextTimerAt(), this.#wake);
    return whole;
  }

  #transmit(datagram: Buffer, carrier: CarrierKind): void {
    this.sent[carrier] += 1;
    if (carrier === 'udp') this.up.send(Buffer.from(datagram));
    else if (this.#open !== undefined) this.wsUp.send(tagged(this.#open, datagram));
  }

  #arrive(datagram: Buffer, carrier: CarrierKind): void {
    const asleepMs = this.#wake - this.clock.monotonic();
    // The system keeps it, and the process reads it after its timers.
    if (asleepMs > 0) return this.clock.after(asleepMs + 1, () => this.#arrive(datagram, carrier));
    const { device, peer } = this.client;
    const before = peer.rxBytes;
    const answers = (this.#answers = [] as Buffer[]);
    this.#from = carrier;
    device.onDatagram(datagram, carrier === 'udp' ? colonyByUdp : colonyByWs);
    this.#answers = undefined;
    if (peer.rxBytes > before) this.race.received(carrier, 'data');
    // After it, as `RacedPath` does: what answers a datagram is sent later than that came.
    for (const answer of answers) this.race.send(answer);
  }

  #probe(id: number): void {
    this.probes += 1;
    this.client.stack.ping(colonyAddress, {
      timeoutMs: 5_000,
      done: (ms) => ms !== undefined && this.race.answered(id, this.#from),
    });
  }

  #dial(): void {
    this.#wanted = true;
    this.#connect();
  }

  /** TCP, TLS, upgrade: three round trips, each of which must get through. */
  #connect(): void {
    this.dials += 1;
    this.#connection += 1;
    const connection = this.#connection;
    this.clock.after(3 * this.#wsRttMs, () => {
      if (connection !== this.#connection || !this.#wanted) return;
      if (this.wsBlocked || this.wsUp.path.impairments.loss === 1) {
        this.clock.after(1_000, () => connection === this.#connection && this.#wanted && this.#connect());
        return;
      }
      this.#open = connection;
      this.race.opened();
    });
  }

  #hangUp(): void {
    this.#wanted = false;
    this.#connection += 1;
    this.#open = undefined;
  }

  #relay(message: Buffer): void {
    if (message.readUInt32BE(0) !== this.#open || this.#open === this.#forgotten) return;
    this.colony.device.onDatagram(message.subarray(4), {
      carrier: 'ws',
      address: message.toString('hex', 0, 4),
      port: 0,
    });
  }

  #send(datagram: Buffer, to: Endpoint): void {
    const connection = Number.parseInt(to.address, 16);
    if (connection === this.#open && connection !== this.#forgotten) this.wsDown.send(tagged(connection, datagram));
  }

  #deliver(message: Buffer): void {
    if (message.readUInt32BE(0) === this.#open) this.#arrive(message.subarray(4), 'ws');
  }
}

const colonyByUdp: Endpoint = { carrier: 'udp', address: '192.0.2.1', port: 41_820 };
const colonyByWs: Endpoint = { carrier: 'ws', address: 'c0', port: 0 };
const clientByUdp: Endpoint = { carrier: 'udp', address: '198.51.100.7', port: 50_000 };

function tagged(connection: number, datagram: Buffer): Buffer {
  const message = Buffer.alloc(4 + datagram.length);
  message.writeUInt32BE(connection, 0);
  datagram.copy(message, 4);
  return message;
}
