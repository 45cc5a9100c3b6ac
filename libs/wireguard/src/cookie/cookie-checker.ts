import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import type { Clock } from '@coral/model';
import {
  COOKIE_LIFETIME_MS,
  COOKIE_REPLY_BYTES,
  INITIATION_BYTES,
  KEY_BYTES,
  MAC_BYTES,
  MESSAGE_COOKIE_REPLY,
  RESPONSE_BYTES,
} from '../constants.js';
import { KeyedBlake2s } from '../keyed-blake2s.js';
import type { LocalIdentity } from '../noise/identity.js';
import type { RandomBytes } from '../noise/random.js';
import { sourceBytes, type Endpoint } from './endpoint.js';
import { mac, mac1At, mac2At, macEquals } from './macs.js';

const nonceAt = 8;
const nonceBytes = 24;
const sealedAt = nonceAt + nonceBytes;
const senderAt = 4;
const zeroMac = Buffer.alloc(MAC_BYTES);

/**
 * The responder's side of mac1, mac2 and cookies (whitepaper §5.3, §5.4.4, §5.4.7). The secret behind the cookies lives
 * 120 s, so a cookie is good for up to that long.
 */
export class CookieChecker {
  readonly #cookieKey: Buffer;
  readonly #mac1: KeyedBlake2s;
  readonly #clock: Clock;
  readonly #random: RandomBytes;
  #secret: KeyedBlake2s | undefined;
  #secretUntil = 0;

  constructor(local: LocalIdentity, o: { clock: Clock; random: RandomBytes }) {
    this.#cookieKey = local.cookieKey;
    this.#mac1 = new KeyedBlake2s(local.mac1Key);
    this.#clock = o.clock;
    this.#random = o.random;
  }

  /** First of all checks: the sender knows whom it talks to. Nothing is computed or answered for a message without. */
  hasValidMac1(message: Buffer): boolean {
    return hasMacs(message) && this.#mac1.verifies(message, mac1At(message));
  }

  /** Asked under load only: the sender gets answers at the address it writes from. */
  hasValidMac2(message: Buffer, from: Endpoint): boolean {
    if (!hasMacs(message) || !this.#secret || this.#clock.monotonic() >= this.#secretUntil) return false;
    const at = mac2At(message);
    // What everybody without a cookie sends, and most of a flood: not worth two macs to see that it is wrong.
    if (macEquals(message, at, zeroMac)) return false;
    return macEquals(message, at, mac(this.#secret.of(sourceBytes(from)), message.subarray(0, at)));
  }

  /** 64 bytes to send to `from` in place of an answer. `message` is its initiation or response, mac1 checked. */
  reply(message: Buffer, from: Endpoint): Buffer {
    const nonce = this.#random(nonceBytes);
    const mac1 = message.subarray(mac1At(message), mac2At(message));
    const cookie = this.#freshSecret().of(sourceBytes(from));
    const reply = Buffer.alloc(COOKIE_REPLY_BYTES);
    reply[0] = MESSAGE_COOKIE_REPLY;
    message.copy(reply, senderAt, senderAt, senderAt + 4);
    nonce.copy(reply, nonceAt);
    reply.set(xchacha20poly1305(this.#cookieKey, nonce, mac1).encrypt(cookie), sealedAt);
    return reply;
  }

  wipe(): void {
    this.#secret?.wipe();
    this.#secret = undefined;
  }

  #freshSecret(): KeyedBlake2s {
    const now = this.#clock.monotonic();
    if (this.#secret && now < this.#secretUntil) return this.#secret;
    this.wipe();
    this.#secretUntil = now + COOKIE_LIFETIME_MS;
    const raw = this.#random(KEY_BYTES);
    this.#secret = new KeyedBlake2s(raw);
    raw.fill(0);
    return this.#secret;
  }
}

/** Only these two messages end in macs; nothing is read from one of another length. */
function hasMacs(message: Buffer): boolean {
  return message.length === INITIATION_BYTES || message.length === RESPONSE_BYTES;
}
