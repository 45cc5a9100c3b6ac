import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import {
  MESSAGE_TRANSPORT,
  PADDING_BYTES,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
  TRANSPORT_MIN_BYTES,
} from '../constants.js';
import type { TransportKeys } from '../noise/index.js';
import { ReplayWindow } from './replay-window.js';

/**
 * Transport messages (whitepaper §5.4.6):
 *
 *   type 4 ‖ 0 0 0 ‖ receiver index (LE) ‖ counter (64 bits LE) ‖ ChaCha20-Poly1305(packet ‖ zero padding) ‖ tag
 *
 * Nonce: 4 zero bytes ‖ counter. A session never sends a counter twice: `seal` counts before it encrypts.
 */
const cipherName = 'chacha20-poly1305';
const cipherOptions = { authTagLength: TAG_BYTES };
const counterAt = 8;
const twoTo32 = 2 ** 32;
/** The counter's upper half up to 2^53, where numbers stop being exact. */
const upperLimit = 2 ** 21;

/** Shared by all sessions: each call is over before the next begins. */
const nonce = Buffer.alloc(12);
/** The packet and its padding side by side, so that the cipher is fed once. Grows to the largest packet. */
let scratch = Buffer.alloc(2_048);

/** Why a transport message was not opened. */
export type OpenFailure = 'bad_packet' | 'counter_limit' | 'replayed';

/** The keys of one session. Has no clock: its owner decides how long it may be used. */
export class TransportSession {
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly initiator: boolean;
  /** Monotonic ms. */
  readonly createdAt: number;
  readonly window = new ReplayWindow();
  #send: KeyObject | undefined;
  #receive: KeyObject | undefined;
  #sent = 0;

  constructor(keys: TransportKeys, createdAt: number) {
    this.localIndex = keys.localIndex;
    this.remoteIndex = keys.remoteIndex;
    this.initiator = keys.initiator;
    this.createdAt = createdAt;
    this.#send = keys.send;
    this.#receive = keys.receive;
  }

  /** Messages sent so far: the counter of the next one. */
  get sent(): number {
    return this.#sent;
  }

  /**
   * The datagram for an inner packet, padded to 16 bytes but never over `mtu`; an empty packet is a keepalive. Undefined once
   * the session is wiped.
   */
  seal(packet: Buffer, mtu: number): Buffer | undefined {
    if (!this.#send) return undefined;
    const length = packet.length;
    // The smaller of both, but a packet over the MTU keeps its length.
    const padded = Math.max(length, Math.min((length + PADDING_BYTES - 1) & -PADDING_BYTES, mtu));
    const counter = this.#sent;
    this.#sent = counter + 1;
    const low = counter >>> 0;
    const high = (counter - low) / twoTo32;
    nonce.writeUInt32LE(low, 4);
    nonce.writeUInt32LE(high, 8);

    const datagram = Buffer.allocUnsafe(TRANSPORT_HEADER_BYTES + padded + TAG_BYTES);
    datagram.writeUInt32LE(MESSAGE_TRANSPORT, 0);
    datagram.writeInt32LE(this.remoteIndex | 0, 4);
    datagram.writeUInt32LE(low, counterAt);
    datagram.writeUInt32LE(high, counterAt + 4);

    const cipher = createCipheriv(cipherName, this.#send, nonce, cipherOptions);
    if (padded > 0)
      datagram.set(cipher.update(padded === length ? packet : withPadding(packet, padded)), TRANSPORT_HEADER_BYTES);
    cipher.final();
    datagram.set(cipher.getAuthTag(), TRANSPORT_HEADER_BYTES + padded);
    return datagram;
  }

  /**
   * What was sealed, padding included, in memory of its own; a keepalive is empty. `datagram` has at least
   * TRANSPORT_MIN_BYTES; its counter must be below `limit`. The window is moved only by what proved authentic.
   */
  open(datagram: Buffer, limit: number): Buffer | OpenFailure {
    if (!this.#receive) return 'bad_packet';
    const high = datagram.readUInt32LE(counterAt + 4);
    const counter = high * twoTo32 + datagram.readUInt32LE(counterAt);
    if (high >= upperLimit || counter >= limit) return 'counter_limit';
    datagram.copy(nonce, 4, counterAt, counterAt + 8);
    const end = datagram.length - TAG_BYTES;
    const decipher = createDecipheriv(cipherName, this.#receive, nonce, cipherOptions);
    decipher.setAuthTag(datagram.subarray(end));
    // An empty update first would cost as much as a full one.
    const packet =
      datagram.length === TRANSPORT_MIN_BYTES ? empty : decipher.update(datagram.subarray(TRANSPORT_HEADER_BYTES, end));
    try {
      decipher.final();
    } catch {
      // The only way OpenSSL says "wrong tag".
      return 'bad_packet';
    }
    return this.window.accept(counter) ? packet : 'replayed';
  }

  get wiped(): boolean {
    return this.#send === undefined;
  }

  /** KeyObjects cannot be zeroed; without a reference they are freed, and OpenSSL cleanses what it frees. */
  wipe(): void {
    this.#send = undefined;
    this.#receive = undefined;
  }
}

const empty = Buffer.alloc(0);

function withPadding(packet: Buffer, padded: number): Buffer {
  if (scratch.length < padded) scratch = Buffer.alloc(padded);
  scratch.set(packet);
  scratch.fill(0, packet.length, padded);
  return scratch.subarray(0, padded);
}
