import { ImpairedPath, type Impairments, type PathCounters } from './impairments.js';
import { SeededRandom } from './seeded-random.js';
import type { VirtualClock } from './virtual-clock.js';

/** Where a socket is. Fits the WireGuard core's `Endpoint`. */
export interface Place {
  carrier: 'udp';
  address: string;
  port: number;
}

export interface MemoryNetworkOptions {
  clock: VirtualClock;
  seed: number | string;
  /** Of every path; `impairPath` says otherwise for one. */
  impairments?: Partial<Impairments>;
}

/** What a tap sees: each datagram as it is sent, before the network does anything to it. */
export interface SeenDatagram {
  at: number;
  from: Place;
  to: Place;
  datagram: Buffer;
}

/** One way from here to there in virtual time: IP packets, datagrams or whatever is put in. */
export class MemoryLink {
  readonly path: ImpairedPath;
  readonly #clock: VirtualClock;
  readonly #deliver: (packet: Buffer) => void;

  constructor(o: {
    clock: VirtualClock;
    random: SeededRandom;
    impairments?: Partial<Impairments>;
    deliver: (packet: Buffer) => void;
  }) {
    this.path = new ImpairedPath(o.random, o.impairments);
    this.#clock = o.clock;
    this.#deliver = o.deliver;
  }

  get counters(): PathCounters {
    return this.path.counters;
  }

  impair(change: Partial<Impairments>): void {
    this.path.impair(change);
  }

  /** The packet is given away; it arrives in a later turn, never inside this call. A property, so that it can be handed on. */
  readonly send = (packet: Buffer): void => {
    const now = this.#clock.monotonic();
    for (const passage of this.path.pass(packet, now))
      this.#clock.after(passage.at - now, () => this.#deliver(passage.datagram));
  };
}

/** A socket in a memory network. */
export class MemorySocket {
  place: Place;
  readonly #network: MemoryNetwork;

  constructor(network: MemoryNetwork, place: Place) {
    this.#network = network;
    this.place = place;
  }

  /** The buffer is given away. Nobody there: it is lost without a word. */
  send(datagram: Buffer, to: { address: string; port: number }): void {
    this.#network.carry(datagram, this.place, { carrier: 'udp', address: to.address, port: to.port });
  }

  /** Roams: from now on it sends from there and hears only what is sent there; what is on its way to the old place is lost. */
  moveTo(address: string, port: number): void {
    this.#network.move(this, { carrier: 'udp', address, port });
  }

  close(): void {
    this.#network.remove(this);
  }
}

/**
 * Datagrams between sockets in virtual time. Every (from, to) is a path of its own with its own random source, so one
 * conversation does not disturb another, and the same seed repeats the same run.
 */
export class MemoryNetwork {
  readonly clock: VirtualClock;
  readonly #random: SeededRandom;
  readonly #default: Partial<Impairments>;
  readonly #sockets = new Map<string, { socket: MemorySocket; receive: (datagram: Buffer, from: Place) => void }>();
  readonly #links = new Map<string, MemoryLink>();
  readonly #taps = new Set<(seen: SeenDatagram) => void>();

  constructor(options: MemoryNetworkOptions) {
    this.clock = options.clock;
    this.#random = new SeededRandom(options.seed);
    this.#default = { ...options.impairments };
  }

  /** Opens a socket; the datagrams it receives are its own. Throws when the place is taken. */
  open(address: string, port: number, receive: (datagram: Buffer, from: Place) => void): MemorySocket {
    const place: Place = { carrier: 'udp', address, port };
    const socket = new MemorySocket(this, place);
    this.#occupy(place, { socket, receive });
    return socket;
  }

  /** Changes every path, also those not used yet. */
  impair(change: Partial<Impairments>): void {
    Object.assign(this.#default, change);
    for (const link of this.#links.values()) link.impair(change);
  }

  /** Changes one direction between two sockets as they are placed now. */
  impairPath(from: MemorySocket, to: MemorySocket, change: Partial<Impairments>): void {
    this.#link(from.place, to.place).impair(change);
  }

  counters(from: MemorySocket, to: MemorySocket): PathCounters {
    return this.#link(from.place, to.place).counters;
  }

  /** Sees all that is sent, as copies; the returned function ends it. Put one back with `inject`. */
  tap(seen: (datagram: SeenDatagram) => void): () => void {
    this.#taps.add(seen);
    return () => {
      this.#taps.delete(seen);
    };
  }

  /** An attacker's datagram with any sender's address: arrives at once (in a later turn), past taps and impairments. */
  inject(datagram: Buffer, from: { address: string; port: number }, to: { address: string; port: number }): void {
    const sender: Place = { carrier: 'udp', address: from.address, port: from.port };
    const copy = Buffer.from(datagram);
    this.clock.after(0, () => this.#sockets.get(keyOf(to))?.receive(copy, sender));
  }

  /** For sockets of this network: what `MemorySocket.send`, `moveTo` and `close` do. */
  carry(datagram: Buffer, from: Place, to: Place): void {
    if (this.#taps.size > 0)
      for (const tap of this.#taps) tap({ at: this.clock.monotonic(), from, to, datagram: Buffer.from(datagram) });
    this.#link(from, to).send(datagram);
  }

  move(socket: MemorySocket, place: Place): void {
    const here = this.#sockets.get(keyOf(socket.place));
    if (here?.socket !== socket) throw new Error('a closed socket cannot move');
    this.#occupy(place, here);
    this.#sockets.delete(keyOf(socket.place));
    socket.place = place;
  }

  remove(socket: MemorySocket): void {
    if (this.#sockets.get(keyOf(socket.place))?.socket === socket) this.#sockets.delete(keyOf(socket.place));
  }

  #occupy(place: Place, entry: { socket: MemorySocket; receive: (datagram: Buffer, from: Place) => void }): void {
    if (this.#sockets.has(keyOf(place))) throw new Error(`${keyOf(place)} is taken`);
    this.#sockets.set(keyOf(place), entry);
  }

  #link(from: Place, to: Place): MemoryLink {
    const key = `${keyOf(from)}>${keyOf(to)}`;
    const known = this.#links.get(key);
    if (known) return known;
    const link = new MemoryLink({
      clock: this.clock,
      random: this.#random.fork(key),
      impairments: this.#default,
      deliver: (datagram) => this.#sockets.get(keyOf(to))?.receive(datagram, from),
    });
    this.#links.set(key, link);
    return link;
  }
}

function keyOf(place: { address: string; port: number }): string {
  return `${place.address}:${place.port}`;
}
