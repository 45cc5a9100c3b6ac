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
  readonly #local: LocalIdentity;
  readonly #clock: Clock;
  readonly #random: RandomBytes;
  #secret: Buffer | undefined;
  #secretUntil = 0;

  constructor(local: LocalIdentity, o: { clock: Clock; random: RandomBytes }) {
    this.#local = local;
    this.#clock = o.clock;
    this.#random = o.random;
  }

  /** First of all checks: the sender knows whom it talks to. Nothing is computed or answered for a message without. */
  hasValidMac1(message: Buffer): boolean {
    if (!hasMacs(message)) return false;
    const at = mac1At(message);
    return macEquals(message, at, mac(this.#local.mac1Key, message.subarray(0, at)));
  }

  /** Asked under load only: the sender gets answers at the address it writes from. */
  hasValidMac2(message: Buffer, from: Endpoint): boolean {
    if (!hasMacs(message) || !this.#secret || this.#clock.monotonic() >= this.#secretUntil) return false;
    const at = mac2At(message);
    // What everybody without a cookie sends, and most of a flood: not worth two macs to see that it is wrong.
    if (macEquals(message, at, zeroMac)) return false;
    return macEquals(message, at, mac(this.#cookieFor(this.#secret, from), message.subarray(0, at)));
  }

  /** 64 bytes to send to `from` in place of an answer. `message` is its initiation or response, mac1 checked. */
  reply(message: Buffer, from: Endpoint): Buffer {
    const nonce = this.#random(nonceBytes);
    const mac1 = message.subarray(mac1At(message), mac2At(message));
    const cookie = this.#cookieFor(this.#freshSecret(), from);
    const reply = Buffer.alloc(COOKIE_REPLY_BYTES);
    reply[0] = MESSAGE_COOKIE_REPLY;
    message.copy(reply, senderAt, senderAt, senderAt + 4);
    nonce.copy(reply, nonceAt);
    reply.set(xchacha20poly1305(this.#local.cookieKey, nonce, mac1).encrypt(cookie), sealedAt);
    return reply;
  }

  wipe(): void {
    this.#secret?.fill(0);
    this.#secret = undefined;
  }

  #freshSecret(): Buffer {
    const now = this.#clock.monotonic();
    if (this.#secret && now < this.#secretUntil) return this.#secret;
    this.wipe();
    this.#secretUntil = now + COOKIE_LIFETIME_MS;
    this.#secret = this.#random(KEY_BYTES);
    return this.#secret;
  }

  #cookieFor(secret: Buffer, from: Endpoint): Uint8Array {
    return mac(secret, sourceBytes(from)).subarray(0, MAC_BYTES);
  }
}

/** Only these two messages end in macs; nothing is read from one of another length. */
function hasMacs(message: Buffer): boolean {
  return message.length === INITIATION_BYTES || message.length === RESPONSE_BYTES;
}
