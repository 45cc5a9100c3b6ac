import { randomBytes } from 'node:crypto';
import { VirtualClock } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import curveVectors from '../../testdata/x25519.json' with { type: 'json' };
import { setMac1 } from '../cookie/macs.js';
import { requireWireGuardCrypto } from './crypto-check.js';
import { answerInitiation, InitiatorHandshake, openInitiation } from './handshake.js';
import {
  localIdentity,
  remoteIdentity,
  wipeRemoteIdentity,
  type LocalIdentity,
  type RemoteIdentity,
} from './identity.js';
import { Tai64n } from './tai64n.js';
import { transportKeys, type TransportKeys } from './transport-keys.js';

const ephemeralAt = { initiation: 8, response: 12 };
const lowOrder = curveVectors.wycheproof.filter(({ shared }) => /^0+$/.test(shared)).map((vector) => vector.public);

interface Pair {
  initiator: LocalIdentity;
  responder: LocalIdentity;
  toResponder: RemoteIdentity;
  toInitiator: RemoteIdentity;
}

function pair(psk?: Buffer, responderPsk = psk): Pair {
  const initiator = localIdentity(randomBytes(32));
  const responder = localIdentity(randomBytes(32));
  return {
    initiator,
    responder,
    toResponder: remoteIdentity(initiator, responder.publicKey, psk),
    toInitiator: remoteIdentity(responder, initiator.publicKey, responderPsk),
  };
}

const random = (size: number): Buffer => randomBytes(size);
const timestamp = (): Buffer => new Tai64n(new VirtualClock()).next();

function initiate(ends: Pair, localIndex = 7): InitiatorHandshake {
  return new InitiatorHandshake(ends.initiator, ends.toResponder, { localIndex, timestamp: timestamp(), random });
}

function answer(ends: Pair, initiation: Buffer, localIndex = 9): { message: Buffer; keys: TransportKeys } {
  const opened = openInitiation(ends.responder, initiation, () => ends.toInitiator);
  if (!opened) throw new Error('the initiation was refused');
  const answered = answerInitiation(opened, { localIndex, random });
  if (!answered) throw new Error('the initiation was answered before');
  return answered;
}

describe('a handshake', () => {
  it.each([
    ['without a preshared key', undefined],
    ['with one', randomBytes(32)],
  ])('gives both ends the same keys %s, crosswise', (_, psk) => {
    const ends = pair(psk);
    const attempt = initiate(ends, 0xfedcba98);
    const { message, keys } = answer(ends, attempt.message, 0x89abcdef);
    const mine = attempt.finish(message);
    expect(mine).toMatchObject({ localIndex: 0xfedcba98, remoteIndex: 0x89abcdef, initiator: true });
    expect(keys).toMatchObject({ localIndex: 0x89abcdef, remoteIndex: 0xfedcba98, initiator: false });
    expect(mine?.send.equals(keys.receive)).toBe(true);
    expect(mine?.receive.equals(keys.send)).toBe(true);
    expect(keys.send.equals(keys.receive)).toBe(false);
  });

  it('tells the responder who it is and when it was made', () => {
    const ends = pair();
    const at = timestamp();
    const attempt = new InitiatorHandshake(ends.initiator, ends.toResponder, { localIndex: 1, timestamp: at, random });
    const asked: Buffer[] = [];
    const opened = openInitiation(ends.responder, attempt.message, (key) => {
      asked.push(key);
      return ends.toInitiator;
    });
    expect(asked).toEqual([ends.initiator.publicKey]);
    expect(opened).toMatchObject({ timestamp: at, remoteIndex: 1, remote: ends.toInitiator });
  });

  it('has messages of the lengths and types of the protocol, mac2 left zero', () => {
    const ends = pair();
    const attempt = initiate(ends);
    const { message } = answer(ends, attempt.message);
    expect(attempt.message.subarray(0, 8).toString('hex')).toBe('0100000007000000');
    expect(attempt.message).toHaveLength(148);
    expect(message.subarray(0, 12).toString('hex')).toBe('020000000900000007000000');
    expect(message).toHaveLength(92);
    for (const end of [attempt.message, message]) expect(end.subarray(-16)).toEqual(Buffer.alloc(16));
  });

  it('never uses an ephemeral key twice: a retry is another message', () => {
    const ends = pair();
    const ephemerals = Array.from({ length: 50 }, () =>
      initiate(ends)
        .message.subarray(ephemeralAt.initiation, ephemeralAt.initiation + 32)
        .toString('hex'),
    );
    expect(new Set(ephemerals)).toHaveProperty('size', 50);
    const { message } = initiate(ends);
    const answers = [answer(ends, message), answer(ends, message)].map(({ message: response }) =>
      response.subarray(ephemeralAt.response, ephemeralAt.response + 32).toString('hex'),
    );
    expect(answers[0]).not.toBe(answers[1]);
  });

  it('answers one opened initiation once', () => {
    const ends = pair();
    const opened = openInitiation(ends.responder, initiate(ends).message, () => ends.toInitiator);
    if (!opened) throw new Error('the initiation was refused');
    expect(answerInitiation(opened, { localIndex: 1, random })).toBeDefined();
    expect(answerInitiation(opened, { localIndex: 2, random })).toBeUndefined();
  });

  it('wipes the raw bytes of every key it takes from the random source or hands to a KeyObject', () => {
    const given: Buffer[] = [];
    const watched = (size: number): Buffer => {
      const bytes = randomBytes(size);
      given.push(bytes);
      return bytes;
    };
    const ends = pair();
    const attempt = new InitiatorHandshake(ends.initiator, ends.toResponder, {
      localIndex: 1,
      timestamp: timestamp(),
      random: watched,
    });
    const opened = openInitiation(ends.responder, attempt.message, () => ends.toInitiator);
    expect(opened && answerInitiation(opened, { localIndex: 2, random: watched })).toBeDefined();
    const raw: [Buffer, Buffer] = [randomBytes(32), randomBytes(32)];
    transportKeys(raw, { localIndex: 1, remoteIndex: 2, initiator: true });
    expect(given).toHaveLength(2);
    for (const bytes of [...given, ...raw]) expect(bytes).toEqual(Buffer.alloc(32));
  });
});

describe('what does not fit', () => {
  it('is no session: unknown peer, other responder; another preshared key shows in the response', () => {
    const ends = pair();
    const { message } = initiate(ends);
    expect(openInitiation(ends.responder, message, () => undefined)).toBeUndefined();
    expect(openInitiation(pair().responder, message, () => ends.toInitiator)).toBeUndefined();

    const differing = pair(randomBytes(32), randomBytes(32));
    const attempt = initiate(differing);
    expect(attempt.finish(answer(differing, attempt.message).message)).toBeUndefined();
  });

  it('is no initiation when the sender has another private key: the static-static secret proves it', () => {
    const ends = pair();
    const impostor = pair();
    // Knows the responder and says to be the initiator, but has another private key.
    const forged = new InitiatorHandshake(
      { ...ends.initiator, privateKey: impostor.initiator.privateKey },
      { ...ends.toResponder, staticStatic: remoteIdentity(impostor.initiator, ends.responder.publicKey).staticStatic },
      { localIndex: 1, timestamp: timestamp(), random },
    );
    expect(openInitiation(ends.responder, forged.message, () => ends.toInitiator)).toBeUndefined();
  });

  it('leaves the attempt as it was: the true response still finishes it, once', () => {
    const ends = pair();
    const attempt = initiate(ends);
    const { message } = answer(ends, attempt.message);
    const flipped = Buffer.from(message);
    flipped[44] = (flipped[44] as number) ^ 1;
    const elsewhere = Buffer.from(message);
    elsewhere.writeUInt32LE(8, 8);
    for (const bad of [flipped, elsewhere, message.subarray(1), Buffer.concat([message, Buffer.alloc(1)])]) {
      expect(attempt.finish(bad)).toBeUndefined();
    }
    expect(attempt.finish(message)).toBeDefined();
    expect(attempt.finish(message)).toBeUndefined();
  });

  it('is refused after the attempt was wiped, and a peer that was wiped cannot be talked to any more', () => {
    const ends = pair();
    const attempt = initiate(ends);
    const { message } = answer(ends, attempt.message);
    attempt.wipe();
    expect(attempt.finish(message)).toBeUndefined();

    const next = initiate(ends).message;
    wipeRemoteIdentity(ends.toInitiator);
    expect(openInitiation(ends.responder, next, () => ends.toInitiator)).toBeUndefined();
  });

  it.each(lowOrder)('is dropped, not thrown at: an ephemeral key of low order (%s)', (point) => {
    const ends = pair();
    const attempt = initiate(ends);
    const bad = Buffer.from(attempt.message);
    hexInto(bad, ephemeralAt.initiation, point);
    setMac1(bad, ends.responder.mac1Key);
    expect(openInitiation(ends.responder, bad, () => ends.toInitiator)).toBeUndefined();

    const { message } = answer(ends, attempt.message);
    const badResponse = Buffer.from(message);
    hexInto(badResponse, ephemeralAt.response, point);
    expect(attempt.finish(badResponse)).toBeUndefined();
    expect(attempt.finish(message)).toBeDefined();
  });
});

describe('identities', () => {
  it.each([
    ['31 bytes', Buffer.alloc(31, 1)],
    ['33 bytes', Buffer.alloc(33, 1)],
    ['nothing', Buffer.alloc(0)],
  ])('are refused for a key of %s, by name', (_, key) => {
    const local = localIdentity(randomBytes(32));
    expect(() => localIdentity(key)).toThrow(
      expect.objectContaining({ reason: 'bad_wireguard_key', where: 'private_key' }),
    );
    expect(() => remoteIdentity(local, key)).toThrow(
      expect.objectContaining({ reason: 'bad_wireguard_key', where: 'public_key' }),
    );
    expect(() => remoteIdentity(local, randomBytes(32), key)).toThrow(
      expect.objectContaining({ reason: 'bad_wireguard_key', where: 'preshared_key' }),
    );
  });

  it.each(lowOrder)('are refused for the public key of low order %s', (point) => {
    const local = localIdentity(randomBytes(32));
    expect(() => remoteIdentity(local, Buffer.from(point, 'hex'))).toThrow(/low order/);
  });

  it('are refused for the own public key and the all-zero private key, and no message shows a key', () => {
    const raw = randomBytes(32);
    const local = localIdentity(raw);
    expect(() => remoteIdentity(local, local.publicKey)).toThrow(/own key/);
    expect(() => localIdentity(Buffer.alloc(32))).toThrow(/all zero/);
    expect(JSON.stringify(local)).not.toContain(raw.toString('base64'));
  });

  it('leave the caller’s key bytes alone and do not keep them', () => {
    const raw = randomBytes(32);
    const copy = Buffer.from(raw);
    const local = localIdentity(raw);
    const publicKey = Buffer.from(localIdentity(randomBytes(32)).publicKey);
    const remote = remoteIdentity(local, publicKey);
    expect(raw).toEqual(copy);
    publicKey.fill(0);
    expect(remote.publicKey).not.toEqual(publicKey);
  });
});

describe('a Node.js without the algorithms', () => {
  it('is told which one is missing', () => {
    const refuse = (): never => {
      throw new Error('digital envelope routines::unsupported');
    };
    expect(() =>
      requireWireGuardCrypto([
        ['BLAKE2s', () => 1],
        ['ChaCha20-Poly1305', refuse],
      ]),
    ).toThrow(
      expect.objectContaining({
        reason: 'wireguard_crypto_missing',
        message: expect.stringContaining('ChaCha20-Poly1305'),
      }),
    );
    expect(() => requireWireGuardCrypto()).not.toThrow();
  });
});

function hexInto(message: Buffer, at: number, text: string): void {
  message.set(Buffer.from(text, 'hex'), at);
}
