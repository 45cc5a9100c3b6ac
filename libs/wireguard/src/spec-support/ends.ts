import { MemoryNetwork, SeededRandom, VirtualClock, type Impairments, type MemorySocket } from '@coral/testing';
import {
  WireGuardDevice,
  type DeviceCounters,
  type DeviceEvent,
  type DeviceLimits,
  type DevicePeer,
  type DropReason,
  type Endpoint,
  type PeerOptions,
} from '../index.js';
import { numberOf, packet } from './packets.js';

/** A device at a socket of the memory network, and all that came out of it. */
export class End {
  readonly device: WireGuardDevice;
  readonly socket: MemorySocket;
  readonly address: string;
  readonly received: Buffer[] = [];
  readonly events: DeviceEvent[] = [];
  readonly #clock: VirtualClock;

  constructor(
    network: Network,
    o: { name: string; at: string; address: string; limits?: Partial<DeviceLimits>; privateKey?: Buffer },
  ) {
    this.#clock = network.clock;
    this.address = o.address;
    const random = network.random.fork(o.name);
    this.device = new WireGuardDevice({
      privateKey: o.privateKey ?? random.bytes(32),
      clock: network.clock,
      random: random.bytes,
      ...(o.limits && { limits: o.limits }),
      output: {
        send: (datagram, to) => this.socket.send(datagram, to),
        receive: (inner) => this.received.push(inner),
        event: (event) => this.events.push(event),
      },
    });
    this.socket = network.wire.open(o.at, 41820, (datagram, from) => this.device.onDatagram(datagram, from));
    network.clock.attach(this.device);
  }

  get place(): Endpoint {
    return this.socket.place;
  }

  addPeer(other: End, change: Partial<PeerOptions> = {}): DevicePeer {
    const own = { publicKey: other.device.publicKey, allowedIps: [other.address], endpoint: other.place };
    return this.device.addPeer({ ...own, ...change });
  }

  /** A numbered packet to the other end. */
  say(other: End, number: number, bytes?: number): ReturnType<WireGuardDevice['sendPacket']> {
    return this.device.sendPacket(packet(this.address, other.address, { number, ...(bytes && { bytes }) }));
  }

  /** The numbers of what came since it was last asked. */
  heard(): number[] {
    return this.received.splice(0).map(numberOf);
  }

  kinds(): string[] {
    return this.events.map((event) => event.kind);
  }

  get counters(): DeviceCounters {
    return this.device.counters();
  }

  /** Drops by reason, those that never happened left out. */
  get drops(): Partial<Record<DropReason, number>> {
    return Object.fromEntries(Object.entries(this.counters.drops).filter(([, count]) => count > 0));
  }

  advance(milliseconds: number): void {
    this.#clock.advance(milliseconds);
  }
}

export class Network {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly wire: MemoryNetwork;

  constructor(seed: number | string, impairments: Partial<Impairments> = {}) {
    this.random = new SeededRandom(seed);
    this.wire = new MemoryNetwork({ clock: this.clock, seed, impairments: { delayMs: 10, ...impairments } });
  }
}

export interface PairOptions {
  seed?: number | string;
  impairments?: Partial<Impairments>;
  limits?: Partial<DeviceLimits>;
  left?: Partial<PeerOptions>;
  right?: Partial<PeerOptions>;
}

/** Two ends that know each other, 10 ms apart. `left` has the smaller public key: it stays on its session when both ask. */
export function pair(o: PairOptions = {}) {
  const network = new Network(o.seed ?? 'pair', o.impairments);
  const keys = [network.random.bytes(32), network.random.bytes(32)] as const;
  const none = { send: () => {}, receive: () => {}, event: () => {} };
  const [one, other] = keys.map(
    (privateKey) =>
      new WireGuardDevice({ privateKey, clock: network.clock, random: network.random.bytes, output: none }).publicKey,
  ) as [Buffer, Buffer];
  const [small, large] = one.compare(other) < 0 ? keys : [keys[1], keys[0]];
  const limits = o.limits && { limits: o.limits };
  const left = new End(network, { name: 'left', at: '192.0.2.1', address: '10.137.0.1', privateKey: small, ...limits });
  const right = new End(network, {
    name: 'right',
    at: '192.0.2.2',
    address: '10.137.0.2',
    privateKey: large,
    ...limits,
  });
  const toRight = left.addPeer(right, o.left);
  const toLeft = right.addPeer(left, o.right);
  return { network, clock: network.clock, wire: network.wire, left, right, toRight, toLeft };
}
