// One end of the mesh, inside its worker. What comes in, a datagram, a batch of messages or a timer, opens a turn; the turn
// ends once everything that was ready has been taken in:
//
//   datagrams ─► WireGuardDevice ─► IpStack, or the hub's policy and back      messages ─► streams, peers
//                   └──────────── end of turn: handshakes, timers, ACKs and data out, one post to the main thread
//
// Before each packet and each batch of messages: has somebody been revoked, is somebody's time over? They end first.
import { randomBytes } from 'node:crypto';
import { systemClock, type Clock } from '@coral/model';
import { IpStack } from '@coral/tcp';
import { WireGuardDevice, type DevicePeer, type Endpoint as WireEndpoint } from '@coral/wireguard';
import { ForwardingPolicy } from '../../hub/forwarding.js';
import { forwardDrops, type HubCounters } from '../../hub/forwarding.types.js';
import { RevocationView } from '../peer-slots.js';
import type { CallResult, FromWorker, OpenMessage, Outbox, ToWorker, WorkerStatus } from '../protocol.js';
import { SharedClock } from '../shared-clock.js';
import { OwnAddresses } from './own-addresses.js';
import { PeerLife } from './peer-life.js';
import { RelayCarrier } from './relay-carrier.js';
import { Streams } from './streams.js';
import { TurnTimer } from './turn-timer.js';
import { UdpCarrier } from './udp-carrier.js';
import { WorkerPeers, type WorkerPeer } from './worker-peers.js';

/** Handshake messages taken up per turn: data goes first, and a flood of them must not make a turn long. */
export const handshakesPerTurn = 8;
/** A wall clock that was set is noticed within this time, even when nothing moves. */
const leaseCheckMs = 500;
/** Streams that were closed in order may take this long to deliver the rest when the mesh closes. */
export const lingerMs = 1_000;
/** A stream whose far end has been silent for so long, though it was asked, is over: data unacknowledged, or a waiting reader. */
export const silenceMs = 10_000;
/** Denied forwards are reported this often. */
const denialsEveryMs = 1_000;

export class Endpoint {
  readonly #open: OpenMessage;
  readonly #outbox: Outbox<FromWorker>;
  readonly #onClosed: () => void;
  readonly #readPending: () => ToWorker[];
  readonly #clock: Clock;
  readonly #device: WireGuardDevice;
  readonly #stack: IpStack;
  readonly #policy: ForwardingPolicy | undefined;
  readonly #own: OwnAddresses;
  readonly #peers: WorkerPeers;
  readonly #life: PeerLife;
  readonly #streams: Streams;
  readonly #udp: UdpCarrier;
  readonly #relay: RelayCarrier;
  readonly #timer: TurnTimer;
  #inTurn = false;
  #turnBegan = 0;
  #turns = 0;
  #longestTurnMs = 0;
  #sendDropped = 0;
  #sendErrors = 0;
  #denialsAt = 0;
  #closeBy: number | undefined;
  /** Messages that were read ahead of their turn. */
  readonly #late: ToWorker[] = [];

  /** `readPending`: messages that have been posted and not been delivered yet; they will not be. */
  constructor(
    open: OpenMessage,
    outbox: Outbox<FromWorker>,
    onClosed: () => void,
    readPending: () => ToWorker[] = () => [],
  ) {
    this.#open = open;
    this.#readPending = readPending;
    this.#outbox = outbox;
    this.#onClosed = onClosed;
    const clock = (this.#clock = open.clock ? new SharedClock(open.clock) : systemClock);
    const peers = (this.#peers = new WorkerPeers(clock));
    const policy = (this.#policy = open.hub ? new ForwardingPolicy(clock) : undefined);
    const relay = (this.#relay = new RelayCarrier(outbox));
    const device = (this.#device = new WireGuardDevice({
      privateKey: open.privateKey,
      clock,
      random: randomBytes,
      limits: { mtu: open.mtu },
      output: {
        send: (datagram, to) => this.#send(datagram, to),
        receive: (packet, peer) => this.#onPacket(packet, peer),
        event: (event) => this.#life.onDeviceEvent(event),
      },
    }));
    open.privateKey.fill(0);
    const stack = (this.#stack = new IpStack({
      addresses: open.addresses,
      mtu: open.mtu,
      clock,
      random: randomBytes,
      output: { packet: (packet) => void device.sendPacket(packet) },
      tcp: { giveUpMs: silenceMs },
    }));
    this.#own = new OwnAddresses(open.addresses);
    const revocations = new RevocationView(open.slots);
    const wake = (): void => this.#begin();
    const endpointFound = (peer: WorkerPeer): void => this.#streams.endpointFound(peer);
    const parts = { outbox, clock, peers, revocations, device, stack, policy, relay };
    this.#life = new PeerLife({ ...parts, wake, endpointFound, lookAhead: () => this.#lookAhead() });
    this.#streams = new Streams({ outbox, stack, peers, onSilence: (peer) => this.#life.silent(peer) });
    this.#udp = new UdpCarrier({
      datagram: (datagram, from) => this.#onDatagram(datagram, from),
      error: () => this.#sendErrors++,
    });
    this.#timer = new TurnTimer(clock, wake);
  }

  /** Tells the main thread `ready`, or `failed` and why; false then. */
  async bind(): Promise<boolean> {
    const { host, port } = this.#open.udp ?? { host: undefined, port: 0 };
    try {
      this.#outbox.add({ type: 'ready', udpPort: await this.#udp.open(host, port) });
      return true;
    } catch (error) {
      const { code = 'unknown', message } = error as NodeJS.ErrnoException;
      this.#outbox.add({ type: 'failed', code, problem: message, host: host ?? '0.0.0.0', port });
      return false;
    } finally {
      this.#outbox.flush();
    }
  }

  /** Messages of the main thread, in order. */
  receive(arrived: readonly ToWorker[]): void {
    const messages = [...this.#late.splice(0), ...arrived];
    this.#takePeers(arrived);
    this.#begin();
    for (const message of messages) this.#handle(message);
  }

  /** A new end that was given in time counts, even if the old one passed while the message was on its way. */
  #takePeers(messages: readonly ToWorker[]): void {
    this.#life.checkRevoked();
    for (const message of messages) if (message.type === 'peer') this.#life.put(message);
  }

  /** Before somebody's time is found to be over: what the main thread has said by now. The rest of it waits its turn. */
  #lookAhead(): void {
    const pending = this.#readPending();
    this.#takePeers(pending);
    this.#late.push(...pending);
  }

  #handle(message: ToWorker): void {
    switch (message.type) {
      case 'bytes':
        return this.#streams.get(message.id)?.write(message.bytes);
      case 'credit':
        return this.#streams.get(message.id)?.mayRead(message.bytes);
      case 'end':
        return this.#streams.get(message.id)?.end();
      case 'reset':
        return this.#streams.reset(message.id);
      case 'release':
        return this.#streams.get(message.id)?.release();
      case 'dial':
        return this.#streams.dial(message);
      case 'give_up':
        return this.#streams.giveUp(message.id);
      case 'listen':
        return this.#answer(message.call, () => this.#streams.listen(message.port, message.forwarded));
      case 'unlisten':
        return this.#answer(message.call, () => this.#streams.unlisten(message.port));
      case 'remove_peer':
        return this.#life.remove(message.slot);
      case 'forwarding':
        if (this.#peers.atSlot(message.slot)) this.#policy?.setRules(message.slot, message.rules);
        return undefined;
      case 'ping':
        return this.#ping(message);
      case 'status':
        return this.#answer(message.call, () => ({ status: this.#status() }));
      case 'relay_opened':
        return this.#relay.opened(message.id);
      case 'relay_closed':
        return this.#relay.closed(message.id);
      case 'relay_datagrams':
        return this.#onRelayed(message.id, message.datagrams);
      case 'close':
        return this.#close();
      case 'open':
      case 'peer':
        return undefined;
    }
  }

  #onDatagram(datagram: Buffer, from: WireEndpoint): void {
    this.#begin();
    this.#device.onDatagram(datagram, from);
  }

  #onRelayed(id: string, datagrams: readonly Uint8Array[]): void {
    const from = this.#relay.endpointOf(id);
    if (!from) return;
    for (const one of datagrams) {
      this.#life.check();
      this.#device.onDatagram(Buffer.from(one.buffer, one.byteOffset, one.length), from);
    }
  }

  /** From the device: authenticated, and within its peer's ranges. For us, or for the hub to judge. */
  #onPacket(packet: Buffer, from: DevicePeer): void {
    const peer = this.#peers.ofDevice(from);
    if (!peer) return;
    peer.rxPackets++;
    const policy = this.#policy;
    if (!policy || this.#own.isForUs(packet)) return this.#stack.onPacket(packet);
    if (policy.check(packet, peer.slot) !== undefined) return;
    const result = this.#device.sendPacket(packet);
    policy.sent(result === 'sent' || result === 'queued');
  }

  #send(datagram: Buffer, to: WireEndpoint): void {
    const carrier = to.carrier === 'udp' ? this.#udp : this.#relay;
    if (!carrier.send(datagram, to)) this.#sendDropped++;
  }

  /** First thing in whatever comes in. */
  #begin(): void {
    this.#life.check();
    if (this.#inTurn) return;
    this.#inTurn = true;
    this.#turnBegan = performance.now();
    // After everything that is ready to be read.
    setImmediate(() => this.#endTurn());
  }

  #endTurn(): void {
    this.#inTurn = false;
    this.#turns++;
    this.#life.check();
    for (const message of this.#late.splice(0)) this.#handle(message);
    if (this.#device.backlog > 0) this.#device.runBacklog(handshakesPerTurn);
    this.#runTimers();
    this.#stack.endOfTurn();
    this.#streams.settle();
    this.#relay.flush();
    this.#outbox.flush();
    this.#longestTurnMs = Math.max(this.#longestTurnMs, performance.now() - this.#turnBegan);
    if (this.#closeBy !== undefined && (this.#streams.isQuiet || this.#clock.monotonic() >= this.#closeBy)) {
      return void this.#shut();
    }
    if (this.#device.backlog > 0) this.#begin();
    else this.#timer.arm(this.#nextTimerAt());
  }

  #runTimers(): void {
    const now = this.#clock.monotonic();
    if (this.#device.nextTimerAt() <= now) this.#device.onTimer();
    if (this.#stack.nextTimerAt() <= now) this.#stack.onTimer();
    if (!this.#policy || now < this.#denialsAt) return;
    this.#denialsAt = now + denialsEveryMs;
    for (const denied of this.#policy.takeDenied()) {
      this.#outbox.add({ type: 'event', event: { kind: 'forward_denied', ...denied } });
    }
  }

  #nextTimerAt(): number {
    const now = this.#clock.monotonic();
    const end = this.#peers.untilNextEnd();
    return Math.min(
      this.#device.nextTimerAt(),
      this.#stack.nextTimerAt(),
      end === Number.POSITIVE_INFINITY ? end : now + Math.min(end, leaseCheckMs),
      this.#policy?.hasDenied ? this.#denialsAt : Number.POSITIVE_INFINITY,
      this.#closeBy ?? Number.POSITIVE_INFINITY,
    );
  }

  #answer(call: number, work: () => { status: WorkerStatus } | void): void {
    let result: CallResult;
    try {
      result = { ok: true, ...work() };
    } catch (error) {
      result = { ok: false, problem: error instanceof Error ? error.message : String(error) };
    }
    this.#outbox.add({ type: 'answer', call, result });
  }

  #ping({ call, address, timeoutMs }: Extract<ToWorker, { type: 'ping' }>): void {
    const answer = (result: CallResult): void => this.#outbox.add({ type: 'answer', call, result });
    try {
      this.#stack.ping(address, {
        timeoutMs,
        done: (pingMs) =>
          answer(pingMs === undefined ? { ok: false, problem: 'no echo came back' } : { ok: true, pingMs }),
      });
    } catch (error) {
      answer({ ok: false, problem: error instanceof Error ? error.message : String(error) });
    }
  }

  #status(): WorkerStatus {
    const longestTurnMs = this.#longestTurnMs;
    this.#longestTurnMs = 0;
    const { heapUsed, external } = process.memoryUsage();
    return {
      peers: this.#life.status(),
      counters: {
        wireguard: flat(this.#device.counters()),
        tcp: flat(this.#stack.counters()),
        hub: this.#policy?.counters() ?? noHub,
        worker: {
          turns: this.#turns,
          longestTurnMs,
          streams: this.#streams.size,
          peers: this.#peers.size,
          sendDropped: this.#sendDropped,
          sendErrors: this.#sendErrors,
          heapUsedBytes: heapUsed,
          externalBytes: external,
        },
      },
    };
  }

  /** The main thread has let go of everything. What was closed in order may still go out. */
  #close(): void {
    this.#streams.close();
    this.#closeBy = this.#clock.monotonic() + lingerMs;
  }

  async #shut(): Promise<void> {
    this.#timer.stop();
    // The device first: what has been said in full must not be followed by a RST.
    this.#device.close();
    this.#stack.close();
    await this.#relay.close();
    this.#outbox.flush();
    await this.#udp.close();
    this.#onClosed();
  }
}

const noHub: HubCounters = {
  forwarded: 0,
  drops: Object.fromEntries(forwardDrops.map((reason) => [reason, 0])) as HubCounters['drops'],
};

/** `{ drops: { replayed: 1 } }` as `drops.replayed: 1`. */
function flat(counters: object, prefix = ''): Record<string, number> {
  const all: Record<string, number> = {};
  for (const [name, value] of Object.entries(counters) as [string, unknown][]) {
    if (typeof value === 'number') all[prefix + name] = value;
    else if (typeof value === 'object' && value !== null) Object.assign(all, flat(value, `${prefix}${name}.`));
  }
  return all;
}
