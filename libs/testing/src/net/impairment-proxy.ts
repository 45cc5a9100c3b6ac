import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { systemClock } from '@coral/model';
import { ImpairedPath, type Impairments, type Passage, type PathCounters } from './impairments.js';
import { SeededRandom } from './seeded-random.js';
import { TimeQueue } from './time-queue.js';

export type Direction = 'toTarget' | 'toClient';

export interface ImpairmentProxyOptions {
  target: { host: string; port: number };
  seed: number | string;
  /** Where clients reach it; 127.0.0.1 by default, and any free port. */
  host?: string;
  impairments?: Partial<Impairments>;
  /** Keep copies of the first so many datagrams, for `replay`. */
  record?: number;
}

export interface RecordedDatagram {
  direction: Direction;
  datagram: Buffer;
}

/**
 * What has become due since the last tick of Node's timers goes out in bursts of so many: a receiver's default socket buffer
 * holds some 90 full datagrams, and a wire would not have filled it at once.
 */
const burst = 32;

/** A client of the proxy, and the socket by which the target knows it. */
interface Flow {
  client: RemoteInfo;
  upstream: Socket;
}

/** Real UDP between clients and one target, impaired in both directions by a seed. Needs no root and no netem. */
export class ImpairmentProxy {
  readonly #options: ImpairmentProxyOptions;
  readonly #paths: Record<Direction, ImpairedPath>;
  readonly #front: Socket;
  readonly #flows = new Map<string, Flow>();
  readonly #waiting = new TimeQueue<() => void>();
  readonly recorded: RecordedDatagram[] = [];
  /** Sends the kernel refused, and ICMP errors it passed on. */
  socketErrors = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Infinity;
  #isSending = false;
  #closed = false;

  static async start(options: ImpairmentProxyOptions): Promise<ImpairmentProxy> {
    const host = options.host ?? '127.0.0.1';
    const front = newSocket(host);
    front.bind(0, host);
    await once(front, 'listening');
    return new ImpairmentProxy(options, front);
  }

  private constructor(options: ImpairmentProxyOptions, front: Socket) {
    const random = new SeededRandom(options.seed);
    this.#options = options;
    this.#front = front;
    this.#paths = {
      toTarget: new ImpairedPath(random.fork('toTarget'), options.impairments),
      toClient: new ImpairedPath(random.fork('toClient'), options.impairments),
    };
    front.on('error', this.#noteError);
    front.on('message', (datagram, client) => this.#pass('toTarget', this.#flowOf(client), datagram));
  }

  get host(): string {
    return this.#front.address().address;
  }

  get port(): number {
    return this.#front.address().port;
  }

  counters(direction: Direction): PathCounters {
    return this.#paths[direction].counters;
  }

  /** Ports by which the target knows the clients, in the order they came. */
  sourcePorts(): number[] {
    return [...this.#flows.values()].map((flow) => flow.upstream.address().port);
  }

  /** From now on; both directions unless one is named. */
  impair(change: Partial<Impairments>, direction?: Direction): void {
    for (const each of direction ? [direction] : (['toTarget', 'toClient'] as const)) this.#paths[each].impair(change);
  }

  /** Every client gets a new source port at the target, as behind a NAT that forgot; what comes to the old one is lost. */
  async rebind(): Promise<void> {
    for (const flow of this.#flows.values()) {
      const old = flow.upstream;
      flow.upstream = this.#newUpstream(flow);
      await once(flow.upstream, 'listening');
      old.close();
    }
  }

  /** Sends it once more as it was recorded, to everyone on that side, past the impairments. */
  replay({ direction, datagram }: RecordedDatagram): void {
    for (const flow of this.#flows.values()) this.#sendOn(direction, flow, datagram);
  }

  /** Sends it to the target from an address that nobody had before. */
  async replayFromStranger(datagram: Buffer): Promise<void> {
    const { host, port } = this.#options.target;
    const stranger = newSocket(host);
    await new Promise<void>((resolve, reject) =>
      stranger.send(datagram, port, host, (error) => (error ? reject(error) : resolve())),
    );
    stranger.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#front.close();
    for (const flow of this.#flows.values()) flow.upstream.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #flowOf(client: RemoteInfo): Flow {
    const key = `${client.address}:${client.port}`;
    const known = this.#flows.get(key);
    if (known) return known;
    const flow = { client } as Flow;
    flow.upstream = this.#newUpstream(flow);
    this.#flows.set(key, flow);
    return flow;
  }

  /** The kernel may say that nobody listens there, or that a buffer is full: on a bad network that is one more loss. */
  readonly #noteError = (error: Error | null): void => {
    if (error) this.socketErrors += 1;
  };

  #newUpstream(flow: Flow): Socket {
    const { host, port } = this.#options.target;
    const upstream = newSocket(host);
    upstream.on('error', this.#noteError);
    upstream.bind(0);
    upstream.on('message', (datagram, from) => {
      if (from.port === port) this.#pass('toClient', flow, datagram);
    });
    return upstream;
  }

  #pass(direction: Direction, flow: Flow, datagram: Buffer): void {
    if (this.recorded.length < (this.#options.record ?? 0))
      this.recorded.push({ direction, datagram: Buffer.from(datagram) });
    const now = systemClock.monotonic();
    for (const passage of this.#paths[direction].pass(datagram, now)) this.#carry(direction, flow, passage, now);
  }

  #carry(direction: Direction, flow: Flow, { at, datagram }: Passage, now: number): void {
    if (at <= now && this.#waiting.size === 0) this.#sendOn(direction, flow, datagram);
    else {
      this.#waiting.push(at, () => this.#sendOn(direction, flow, datagram));
      this.#arm(now);
    }
  }

  #arm(now: number): void {
    const next = this.#waiting.nextAt;
    if (this.#closed || this.#isSending || next >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = next;
    this.#timer = setTimeout(() => this.#sendDue(), Math.max(0, next - now));
  }

  #sendDue(): void {
    this.#timerAt = Infinity;
    const now = systemClock.monotonic();
    let sent = 0;
    for (let due = this.#waiting.takeDue(now); due; due = this.#waiting.takeDue(now)) {
      due.item();
      if ((sent += 1) === burst) {
        this.#isSending = true;
        setImmediate(() => {
          this.#isSending = false;
          this.#sendDue();
        });
        return;
      }
    }
    if (this.#waiting.size > 0) this.#arm(now);
  }

  #sendOn(direction: Direction, flow: Flow, datagram: Buffer): void {
    if (this.#closed) return;
    const { target } = this.#options;
    if (direction === 'toTarget') flow.upstream.send(datagram, target.port, target.host, this.#noteError);
    else this.#front.send(datagram, flow.client.port, flow.client.address, this.#noteError);
  }
}

function newSocket(host: string): Socket {
  return createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 });
}
