import { createHash, createHmac, hash, randomBytes } from 'node:crypto';
import { VirtualClock } from '@coral/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { COOKIE_LIFETIME_MS } from '../constants.js';
import { answerInitiation, InitiatorHandshake, openInitiation } from '../noise/handshake.js';
import { localIdentity, remoteIdentity } from '../noise/identity.js';
import { Tai64n } from '../noise/tai64n.js';
import { CookieChecker } from './cookie-checker.js';
import { CookieJar } from './cookie-jar.js';
import type { Endpoint } from './endpoint.js';
import { mac } from './macs.js';

const random = (size: number): Buffer => randomBytes(size);
const laptop: Endpoint = { carrier: 'udp', address: '192.0.2.7', port: 51820 };
const zero = Buffer.alloc(16);

describe('the mac of mac1, mac2 and cookies', () => {
  const key = Buffer.alloc(32, 7);
  const text = Buffer.from('coral');

  it('is keyed BLAKE2s with 16 bytes of output: not an HMAC, not a plain hash, not a longer one cut short', () => {
    const result = Buffer.from(mac(key, text));
    // From the reference implementation: hashlib.blake2s(b"coral", key=bytes([7] * 32), digest_size=16).
    expect(result.toString('hex')).toBe('d27a0d1fcd3b81aef74c45c70021e3c9');
    const others = [
      createHmac('blake2s256', key).update(text).digest(),
      hash('blake2s256', Buffer.concat([key, text]), 'buffer'),
      hash('blake2s256', text, 'buffer'),
    ];
    for (const other of others) expect(other.subarray(0, 16)).not.toEqual(result);
  });

  it('cannot come from node:crypto, which refuses the length and ignores the key', () => {
    expect(() => createHash('blake2s256', { outputLength: 16 })).toThrow(/digital envelope/);
    const keyed = createHash('blake2s256', { key } as object);
    expect(keyed.update(text).digest()).toEqual(hash('blake2s256', text, 'buffer'));
  });
});

describe('cookies', () => {
  let clock: VirtualClock;
  let checker: CookieChecker;
  let jar: CookieJar;
  const colony = localIdentity(randomBytes(32));
  const client = localIdentity(randomBytes(32));
  const toColony = remoteIdentity(client, colony.publicKey);
  const toClient = remoteIdentity(colony, client.publicKey);

  beforeEach(() => {
    clock = new VirtualClock();
    checker = new CookieChecker(colony, { clock, random });
    jar = new CookieJar(toColony, clock);
  });

  function initiation(): Buffer {
    const timestamp = new Tai64n(clock).next();
    const { message } = new InitiatorHandshake(client, toColony, { localIndex: 5, timestamp, random });
    jar.stamp(message);
    return message;
  }

  function changed(message: Buffer, at: number): Buffer {
    const copy = Buffer.from(message);
    copy[at] = (copy[at] as number) ^ 1;
    return copy;
  }

  it('mac1 is right only for the colony meant, and every byte before it counts', () => {
    const message = initiation();
    expect(checker.hasValidMac1(message)).toBe(true);
    const other = new CookieChecker(localIdentity(randomBytes(32)), { clock, random });
    expect(other.hasValidMac1(message)).toBe(false);
    for (let at = 0; at < 132; at++) expect(checker.hasValidMac1(changed(message, at))).toBe(false);
    for (const length of [0, 1, 31, 64, 91, 93, 147, 149]) {
      expect(checker.hasValidMac1(Buffer.alloc(length))).toBe(false);
      expect(checker.hasValidMac2(Buffer.alloc(length), laptop)).toBe(false);
    }
  });

  it('mac2 is zero until a reply came, then right on the next message, from that address and port alone', () => {
    const first = initiation();
    expect(first.subarray(132)).toEqual(zero);
    expect(checker.hasValidMac2(first, laptop)).toBe(false);

    const reply = checker.reply(first, laptop);
    expect(reply).toHaveLength(64);
    // Type 3, and the index by which the sender knows what it is about.
    expect(reply.subarray(0, 8).toString('hex')).toBe('0300000005000000');
    expect(jar.take(reply)).toBe(true);
    // Nothing is sent again for it: the message that got the reply stays as it was.
    expect(first.subarray(132)).toEqual(zero);

    const second = initiation();
    expect(checker.hasValidMac1(second)).toBe(true);
    expect(checker.hasValidMac2(second, laptop)).toBe(true);
    expect(checker.hasValidMac2(second, { ...laptop, port: 51821 })).toBe(false);
    expect(checker.hasValidMac2(second, { ...laptop, address: '192.0.2.8' })).toBe(false);
    expect(checker.hasValidMac2(second, { carrier: 'ws', address: '192.0.2.7', port: 51820 })).toBe(false);
    for (let at = 0; at < 148; at++) expect(checker.hasValidMac2(changed(second, at), laptop)).toBe(false);
  });

  it('a handshake with mac2 set is answered like any other, and the response can carry a mac2 too', () => {
    jar.stamp(initiation());
    jar.take(checker.reply(initiation(), laptop));
    const opened = openInitiation(colony, initiation(), () => toClient);
    if (!opened) throw new Error('the initiation was refused');
    const { message: response } = answerInitiation(opened, { localIndex: 9, random }) ?? {};
    if (!response) throw new Error('no answer');
    const atClient = new CookieChecker(client, { clock, random });
    const colonysJar = new CookieJar(toClient, clock);
    colonysJar.stamp(response);
    expect(atClient.hasValidMac1(response)).toBe(true);
    expect(colonysJar.take(atClient.reply(response, laptop))).toBe(true);
    colonysJar.stamp(response);
    expect(atClient.hasValidMac2(response, laptop)).toBe(true);
  });

  it('a reply fits only the message it answers: bound to its mac1, from the colony, untouched, once', () => {
    const earlier = initiation();
    const first = initiation();
    expect(jar.take(checker.reply(earlier, laptop))).toBe(false);
    const stranger = new CookieChecker(localIdentity(randomBytes(32)), { clock, random });
    expect(jar.take(stranger.reply(first, laptop))).toBe(false);
    const reply = checker.reply(first, laptop);
    for (const at of [0, 1, 8, 31, 32, 48, 63]) expect(jar.take(changed(reply, at))).toBe(false);
    for (const wrong of [reply.subarray(1), Buffer.concat([reply, Buffer.alloc(1)])])
      expect(jar.take(wrong)).toBe(false);
    expect(jar.take(reply)).toBe(true);
    expect(jar.take(reply)).toBe(false);
  });

  it('are fresh for 120 s at the initiator', () => {
    jar.take(checker.reply(initiation(), laptop));
    clock.advance(COOKIE_LIFETIME_MS - 1);
    expect(initiation().subarray(132)).not.toEqual(zero);
    clock.advance(1);
    expect(initiation().subarray(132)).toEqual(zero);
  });

  it('are bound to a secret that is another after 120 s, and stepping the wall clock does not lengthen that', () => {
    jar.take(checker.reply(initiation(), laptop));
    const message = initiation();
    clock.stepWall(-3_600_000);
    clock.advance(COOKIE_LIFETIME_MS - 1);
    expect(checker.hasValidMac2(message, laptop)).toBe(true);
    clock.advance(1);
    expect(checker.hasValidMac2(message, laptop)).toBe(false);
    checker.reply(message, laptop);
    expect(checker.hasValidMac2(message, laptop)).toBe(false);
  });

  it('the raw bytes of the secret are wiped as soon as it is in use', () => {
    const given: Buffer[] = [];
    const watched = new CookieChecker(colony, {
      clock,
      random: (size) => {
        const bytes = randomBytes(size);
        given.push(bytes);
        return bytes;
      },
    });
    watched.reply(initiation(), laptop);
    expect(given.filter(({ length }) => length === 32)).toEqual([Buffer.alloc(32)]);
  });

  it('before the first reply there is no secret, so no mac2 is right, not even a guessed one', () => {
    const message = initiation();
    const source = Buffer.from('udp 192.0.2.7 51820');
    const guessed = mac(mac(Buffer.alloc(32), source), message.subarray(0, 132));
    message.set(guessed, 132);
    expect(checker.hasValidMac2(message, laptop)).toBe(false);
  });
});
