import {
  COOKIE_REPLY_BYTES,
  INITIATION_BYTES,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  RESPONSE_BYTES,
} from '../constants.js';
import { CookieChecker, type Endpoint } from '../cookie/index.js';
import type { DeviceCore } from './core.js';
import { SourceLimits } from './source-limits.js';

/** So long after load has ended what was remembered of its sources is forgotten. */
const forgetAfterMs = 5_000;

interface Waiting {
  /** Room for the longest message, used again and again: a flood allocates nothing. */
  readonly room: Buffer;
  length: number;
  from: Endpoint;
}

/** Where a handshake message goes once it may cost a Diffie-Hellman. The buffer is lent for the call. */
export type HandshakeReader = (message: Buffer, from: Endpoint) => void;

/**
 * The gate before all expensive work (whitepaper §5.3): length and type, index, mac1, and under load cookie and rate limit;
 * then a bounded line, served when the data of the turn has been. What fails a step costs nothing of the next.
 */
export class HandshakeIntake {
  readonly #core: DeviceCore;
  readonly #read: HandshakeReader;
  readonly #checker: CookieChecker;
  #sources: SourceLimits | undefined;
  /** A ring that grows to `limits.backlog` when it has to. */
  readonly #line: Waiting[] = [];
  #head = 0;
  #waiting = 0;
  #loadedUntil = Number.NEGATIVE_INFINITY;

  constructor(core: DeviceCore, read: HandshakeReader) {
    this.#core = core;
    this.#read = read;
    const { clock, random } = core;
    this.#checker = new CookieChecker(core.local, { clock, random });
  }

  get backlog(): number {
    return this.#waiting;
  }

  /** Cookies are asked for. */
  get underLoad(): boolean {
    return this.#core.clock.monotonic() < this.#loadedUntil;
  }

  /** Sources remembered because of load. */
  get sources(): number {
    return this.#sources?.size ?? 0;
  }

  nextTimerAt(): number {
    return this.#sources ? this.#loadedUntil + forgetAfterMs : Number.POSITIVE_INFINITY;
  }

  /** After a flood its memory is given back. */
  onTimer(now: number): void {
    if (now < this.nextTimerAt()) return;
    this.#sources = undefined;
    if (this.#waiting > 0) return;
    this.#line.length = 0;
    this.#head = 0;
  }

  /** A message of type 1 to 3, nothing else about it known. */
  take(message: Buffer, type: number, from: Endpoint): void {
    const core = this.#core;
    if (message.length !== lengthOf(type)) return core.drop('malformed');
    if (type === MESSAGE_COOKIE_REPLY) {
      if (!core.indexes.get(message.readInt32LE(4))) return core.drop('unknown_index');
      return this.#enqueue(message, from);
    }
    if (type === MESSAGE_RESPONSE && !core.indexes.get(message.readInt32LE(8))?.attempt) {
      return core.drop('unknown_index');
    }
    if (!this.#checker.hasValidMac1(message)) return core.drop('bad_mac1');
    if (this.#loaded()) {
      this.#sources ??= new SourceLimits(core.clock, core.limits);
      if (!this.#checker.hasValidMac2(message, from)) return this.#askForCookie(message, from, this.#sources);
      if (!this.#sources.allowsHandshake(from)) return core.drop('rate_limited');
    }
    this.#enqueue(message, from);
  }

  /** Serves up to `max` of those that wait, oldest first. */
  run(max: number): void {
    for (let left = max; left > 0 && this.#waiting > 0; left--) {
      const waiting = this.#line[this.#head] as Waiting;
      this.#head = (this.#head + 1) % this.#line.length;
      this.#waiting -= 1;
      this.#read(waiting.room.subarray(0, waiting.length), waiting.from);
    }
  }

  close(): void {
    this.#checker.wipe();
    this.#sources = undefined;
    this.#line.length = 0;
    this.#waiting = 0;
    this.#head = 0;
  }

  #loaded(): boolean {
    const { clock, limits } = this.#core;
    const now = clock.monotonic();
    if (this.#waiting >= limits.backlogUnderLoad) this.#loadedUntil = now + limits.loadMs;
    return now < this.#loadedUntil;
  }

  #askForCookie(message: Buffer, from: Endpoint, sources: SourceLimits): void {
    const core = this.#core;
    core.drop('cookie_required');
    if (!sources.allowsCookieReply(from)) return;
    const reply = this.#checker.reply(message, from);
    core.counters.cookieRepliesSent += 1;
    core.counters.txDatagrams += 1;
    core.counters.txBytes += reply.length;
    core.output.send(reply, from);
  }

  #enqueue(message: Buffer, from: Endpoint): void {
    if (this.#waiting === this.#line.length && !this.#grow()) return this.#core.drop('backlog_full');
    const waiting = this.#line[(this.#head + this.#waiting) % this.#line.length] as Waiting;
    // A copy: the caller may use its receive buffer again.
    message.copy(waiting.room);
    waiting.length = message.length;
    waiting.from = from;
    this.#waiting += 1;
  }

  /** Only when full, so the line is in order once it begins at the head. */
  #grow(): boolean {
    const { backlog } = this.#core.limits;
    if (this.#line.length >= backlog) return false;
    const more = Math.min(backlog - this.#line.length, Math.max(4, this.#line.length));
    const inOrder = [...this.#line.slice(this.#head), ...this.#line.slice(0, this.#head)];
    this.#line.splice(0, this.#line.length, ...inOrder);
    this.#head = 0;
    for (let i = 0; i < more; i++) this.#line.push({ room: Buffer.alloc(INITIATION_BYTES), length: 0, from: nowhere });
    return true;
  }
}

const nowhere: Endpoint = { carrier: 'udp', address: '', port: 0 };

function lengthOf(type: number): number {
  if (type === MESSAGE_INITIATION) return INITIATION_BYTES;
  return type === MESSAGE_RESPONSE ? RESPONSE_BYTES : COOKIE_REPLY_BYTES;
}
