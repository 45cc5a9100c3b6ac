import type { Clock } from '@coral/model';
import { writeEcho } from '../wire/icmp-codec.js';
import type { IpHeader } from '../wire/ip-header.js';
import type { PacketWriter, Route } from '../wire/packet-writer.js';
import { tooMany } from './stack.errors.js';
import { TimerHeap, type Timed } from './timer-heap.js';

/** Bytes of a secret in each request: an answer must know it, so nobody can answer for another. */
const NONCE_BYTES = 16;

interface Ping extends Timed {
  key: number;
  route: Route;
  nonce: Buffer;
  sentAt: number;
  done: (roundTripMs: number | undefined) => void;
}

/** Echo requests of ours that wait for their answer. */
export class Pings {
  readonly #waiting = new Map<number, Ping>();
  readonly #timers = new TimerHeap<Ping>();
  readonly #clock: Clock;
  readonly #random: (size: number) => Buffer;
  readonly #most: number;
  #next: number;

  constructor(clock: Clock, random: (size: number) => Buffer, most: number) {
    this.#clock = clock;
    this.#random = random;
    this.#most = most;
    this.#next = random(4).readUInt32BE(0);
  }

  send(
    writer: PacketWriter,
    route: Route,
    timeoutMs: number,
    done: (roundTripMs: number | undefined) => void,
    emit: (packet: Buffer) => void,
  ): void {
    if (this.#waiting.size >= this.#most) throw tooMany('pings', this.#most);
    this.#next = (this.#next + 1) >>> 0;
    const sentAt = this.#clock.monotonic();
    const nonce = this.#random(NONCE_BYTES);
    const ping: Ping = {
      key: this.#next,
      route,
      nonce,
      sentAt,
      done,
      wakeAt: Infinity,
      heapIndex: -1,
      heapAt: Infinity,
    };
    this.#waiting.set(ping.key, ping);
    this.#timers.set(ping, sentAt + timeoutMs);
    emit(writeEcho(writer, route, 'echo_request', ping.key >>> 16, ping.key & 0xffff, nonce));
  }

  /** False for an answer nobody waits for, or from somewhere else. */
  onReply(header: IpHeader, id: number, sequence: number, payload: Buffer): boolean {
    const ping = this.#waiting.get(((id << 16) | sequence) >>> 0);
    if (ping === undefined || !ping.nonce.equals(payload)) return false;
    const { remote } = ping.route;
    const isFromThere =
      remote.w0 === header.source0 &&
      remote.w1 === header.source1 &&
      remote.w2 === header.source2 &&
      remote.w3 === header.source3;
    if (!isFromThere) return false;
    this.#timers.delete(ping);
    this.#waiting.delete(ping.key);
    ping.done(this.#clock.monotonic() - ping.sentAt);
    return true;
  }

  nextTimerAt(): number {
    return this.#timers.nextAt();
  }

  onTimer(now: number): void {
    for (let ping = this.#timers.takeDue(now); ping !== undefined; ping = this.#timers.takeDue(now)) {
      this.#waiting.delete(ping.key);
      ping.done(undefined);
    }
  }

  /** Those that wait hear at once that nothing will come. */
  close(): void {
    for (const ping of this.#waiting.values()) {
      this.#timers.delete(ping);
      this.#waiting.delete(ping.key);
      ping.done(undefined);
    }
  }
}
