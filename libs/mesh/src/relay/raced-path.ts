// The way to a peer that can be reached by UDP and through a relay: race and client put together, for the worker that holds the
// WireGuard device. The owner gives it what the device sends to the peer, and everything that comes in for it.
import type { CoralError } from '@coral/errors';
import type { Clock } from '@coral/model';
import type { Endpoint } from '@coral/wireguard';
import { CarrierRace } from './carrier-race.js';
import type { CarrierEvent, CarrierKind, CarrierMemory, CarrierRaceLimits, Transport } from './carrier-race.types.js';
import { RelayClient, type RelayClientCounters, type RelayClientLimits } from './relay-client.js';
import type { RelayTarget } from './relay-dial.js';

export interface RacedPathOptions {
  transport: Transport;
  target: RelayTarget;
  /** The peer's UDP address; follows it when it roams. */
  udp: Endpoint;
  memory?: CarrierMemory | undefined;
  clock: Clock;
  race?: Partial<CarrierRaceLimits>;
  client?: Partial<RelayClientLimits>;
  /** Of the device: what is read to see whether something of the peer was authentic. */
  peer: { readonly rxBytes: number; readonly endpoint: Endpoint | undefined };
  /** To the device. */
  onDatagram(datagram: Buffer, from: Endpoint): void;
  /** Onto the UDP socket. */
  sendUdp(datagram: Buffer, to: Endpoint): void;
  /** An ICMP echo to the peer's mesh address, through the device, at once; `done` when its reply has come, or has not. */
  ping(done: (roundTripMs: number | undefined) => void): void;
  /** A new initiation, though one may be on its way. */
  restart(): void;
  onEvent(event: CarrierEvent | { readonly kind: 'relay_failed'; readonly error: CoralError }): void;
}

export class RacedPath {
  readonly relay: RelayClient;
  readonly #o: RacedPathOptions;
  readonly #race: CarrierRace;
  #udp: Endpoint;
  /** Set while the device has a datagram in hand: what it gave rise to comes after it, also to the race. */
  #arrival: { answered: number[]; sent: Buffer[] } | undefined;
  #isClosed = false;

  constructor(options: RacedPathOptions) {
    this.#o = options;
    this.#udp = options.udp;
    const { clock, transport, memory } = options;
    this.relay = new RelayClient({
      target: options.target,
      clock,
      ...(options.client && { limits: options.client }),
      onDatagram: (datagram, from) => this.arrived(datagram, from),
      onState: (state, error) => {
        if (state === 'open') this.#race.opened();
        else if (state === 'waiting') this.#race.lost();
        if (error) options.onEvent({ kind: 'relay_failed', error });
      },
    });
    this.#race = new CarrierRace({
      transport,
      memory,
      clock,
      ...(options.race && { limits: options.race }),
      output: {
        transmit: (datagram, carrier) => {
          if (carrier === 'ws') this.relay.send(datagram);
          else options.sendUdp(datagram, this.#udp);
        },
        probe: (id) => options.ping((ms) => ms !== undefined && this.#arrival?.answered.push(id)),
        restart: () => options.restart(),
        dial: () => this.relay.start(),
        hangUp: () => this.relay.stop(),
        event: options.onEvent,
      },
    });
  }

  get carrier(): CarrierKind {
    return this.#race.carrier;
  }

  /** To be kept for the next session with this colony. */
  get memory(): CarrierMemory | undefined {
    return this.#race.memory;
  }

  get relayCounters(): RelayClientCounters {
    return this.relay.counters();
  }

  /** Whether datagrams to this endpoint, or from it, are the path's affair. */
  leadsTo({ carrier, address, port }: Endpoint): boolean {
    if (carrier === 'ws') return address === this.relay.endpoint.address;
    return port === this.#udp.port && address === this.#udp.address;
  }

  /** What the device sends to the peer, whichever endpoint it names. The buffer is given away. */
  send(datagram: Buffer): void {
    if (this.#arrival) this.#arrival.sent.push(datagram);
    else if (!this.#isClosed) this.#race.send(datagram);
  }

  /** A datagram that may be the peer's: from the UDP socket, whatever its address. */
  arrived(datagram: Buffer, from: Endpoint): void {
    if (this.#isClosed) return;
    const { peer, onDatagram } = this.#o;
    const before = peer.rxBytes;
    const arrival = (this.#arrival = { answered: [] as number[], sent: [] as Buffer[] });
    try {
      onDatagram(datagram, from);
    } finally {
      this.#arrival = undefined;
    }
    if (peer.rxBytes !== before) {
      if (from.carrier === 'udp') this.#udp = from;
      this.#race.received(from.carrier, 'data');
    }
    for (const probe of arrival.answered) this.#race.answered(probe, from.carrier);
    for (const answer of arrival.sent) this.send(answer);
  }

  /** The device has said that a session with the peer was made. */
  handshakeMade(): void {
    this.#race.received(this.#o.peer.endpoint?.carrier ?? 'udp', 'handshake');
  }

  /** Its name was looked up again. */
  moveUdp(to: Endpoint): void {
    this.#udp = to;
  }

  /** The device gave up, or the peer is gone. The next `send` starts anew. */
  down(): void {
    this.#race.down();
  }

  nextTimerAt(): number {
    return this.#race.nextTimerAt();
  }

  onTimer(): void {
    this.#race.onTimer();
  }

  /** Nothing is sent any more, nor taken in. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#race.down();
    await this.relay.close();
  }
}
