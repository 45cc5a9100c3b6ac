import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import type { Clock } from '@coral/model';
import { COOKIE_LIFETIME_MS, COOKIE_REPLY_BYTES, MAC_BYTES, MESSAGE_COOKIE_REPLY } from '../constants.js';
import { mac, mac1At, mac2At } from './macs.js';

const nonceAt = 8;
const sealedAt = 32;

/**
 * The cookie one peer gave us, and the message it was given for (whitepaper §5.4.7). One jar per peer, for initiations
 * and responses alike. A reply only fills the jar: the next message that is due anyway carries mac2, none is sent for
 * it.
 */
export class CookieJar {
  readonly #cookieKey: Buffer;
  readonly #clock: Clock;
  #lastMac1: Buffer | undefined;
  #cookie: Uint8Array | undefined;
  #cookieUntil = 0;

  /** `remote.cookieKey`: replies are sealed with it. */
  constructor(remote: { cookieKey: Buffer }, clock: Clock) {
    this.#cookieKey = remote.cookieKey;
    this.#clock = clock;
  }

  /**
   * To be called with each initiation or response just before it is sent: remembers its mac1, sets mac2 while a cookie
   * is fresh.
   */
  stamp(message: Buffer): void {
    const at = mac2At(message);
    this.#lastMac1 = Buffer.from(message.subarray(mac1At(message), at));
    if (!this.#cookie) return;
    if (this.#clock.monotonic() >= this.#cookieUntil) {
      this.wipe();
      return;
    }
    message.set(mac(this.#cookie, message.subarray(0, at)), at);
  }

  /**
   * False when the reply is not from that peer or not to the last message stamped. The caller has matched its receiver
   * index.
   */
  take(reply: Buffer): boolean {
    if (reply.length !== COOKIE_REPLY_BYTES || reply.readUInt32LE(0) !== MESSAGE_COOKIE_REPLY || !this.#lastMac1) {
      return false;
    }
    const opener = xchacha20poly1305(this.#cookieKey, reply.subarray(nonceAt, sealedAt), this.#lastMac1);
    let cookie: Uint8Array;
    try {
      cookie = opener.decrypt(reply.subarray(sealedAt));
    } catch {
      // The library's way to say "wrong tag".
      return false;
    }
    this.#cookie = cookie.subarray(0, MAC_BYTES);
    this.#cookieUntil = this.#clock.monotonic() + COOKIE_LIFETIME_MS;
    // One reply per message: the same one again is a replay.
    this.#lastMac1 = undefined;
    return true;
  }

  wipe(): void {
    this.#cookie?.fill(0);
    this.#cookie = undefined;
  }
}
