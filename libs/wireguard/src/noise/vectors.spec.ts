import { diffieHellman } from 'node:crypto';
import { blake2s } from '@noble/hashes/blake2.js';
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { describe, expect, it } from 'vitest';
import blakeVectors from '../../testdata/blake2s.json' with { type: 'json' };
import aeadVectors from '../../testdata/chacha20-poly1305.json' with { type: 'json' };
import kdfVectors from '../../testdata/kdf.json' with { type: 'json' };
import noiseVectors from '../../testdata/noise-ikpsk2.json' with { type: 'json' };
import curveVectors from '../../testdata/x25519.json' with { type: 'json' };
import extendedVectors from '../../testdata/xchacha20-poly1305.json' with { type: 'json' };
import { mac } from '../cookie/macs.js';
import { openOnce, sealOnce } from './aead.js';
import {
  firstMessageOverhead,
  noiseName,
  readFirst,
  readSecond,
  secondMessageOverhead,
  writeFirst,
  writeSecond,
  type KnownRemote,
} from './ikpsk2.js';
import { hash, kdf1, kdf2, kdf3 } from './kdf.js';
import { SymmetricState } from './symmetric-state.js';
import { importPublicKey, keyPairFrom, sharedSecret, type KeyPair } from './x25519.js';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const shared = (privateKey: string, publicKey: string): string | undefined =>
  sharedSecret(keyPairFrom(hex(privateKey)).privateKey, importPublicKey(hex(publicKey)))?.toString('hex');

describe('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s against cacophony', () => {
  const vector = noiseVectors;
  const [first, second, ...rest] = vector.messages.map(({ payload, ciphertext }) => ({
    payload: hex(payload),
    ciphertext,
  }));
  const start = (): SymmetricState => SymmetricState.start(noiseName, hex(vector.init_prologue));
  const psk = hex(vector.init_psks[0] ?? '');
  const initiator = keyPairFrom(hex(vector.init_static));
  const responder = keyPairFrom(hex(vector.resp_static));
  const initiatorEphemeral = keyPairFrom(hex(vector.init_ephemeral));
  const responderEphemeral = keyPairFrom(hex(vector.resp_ephemeral));

  it('makes and reads both handshake messages, agrees on the hash, and its keys carry the transport messages', () => {
    if (!first || !second) throw new Error('the vector has no handshake');
    expect(vector.protocol_name).toBe(noiseName);
    expect(responder.publicKey.toString('hex')).toBe(vector.init_remote_static);

    const message1 = Buffer.alloc(firstMessageOverhead + first.payload.length);
    const sent = writeFirst(
      start(),
      initiator,
      known(initiator, responder.publicKey),
      initiatorEphemeral,
      first.payload,
      message1,
      0,
    );
    expect(message1.toString('hex')).toBe(first.ciphertext);

    const read = readFirst(start(), responder, message1, (key) => known(responder, key));
    if (!sent || !read) throw new Error('the first message was refused');
    expect(read.payload).toEqual(first.payload);
    expect(read.remote.publicKey).toEqual(initiator.publicKey);

    const message2 = Buffer.alloc(secondMessageOverhead + second.payload.length);
    const { state, remote, ephemeral } = read;
    expect(writeSecond(state, remote, ephemeral, responderEphemeral, psk, second.payload, message2, 0)).toBe(true);
    expect(message2.toString('hex')).toBe(second.ciphertext);

    const answer = readSecond(sent, initiator, initiatorEphemeral, psk, message2);
    if (!answer) throw new Error('the second message was refused');
    expect(answer.payload).toEqual(second.payload);
    expect(answer.state.handshakeHash).toEqual(state.handshakeHash);

    const keys = answer.state.split();
    expect(state.split()).toEqual(keys);
    for (const [i, { payload, ciphertext }] of rest.entries()) {
      const key = keys[i % 2] as Buffer;
      const nonce = Buffer.alloc(12);
      nonce.writeBigUInt64LE(BigInt(Math.floor(i / 2)), 4);
      const out = Buffer.alloc(payload.length + 16);
      sealOnce(key, payload, Buffer.alloc(0), out, 0, nonce);
      expect(out.toString('hex')).toBe(ciphertext);
    }
  });

  it('hashes what was said as cacophony does: its hash is the one before the psk token', () => {
    const state = start();
    const [message1, message2] = [hex(first?.ciphertext ?? ''), hex(second?.ciphertext ?? '')];
    state.mixHash(responder.publicKey);
    for (const part of [message1.subarray(0, 32), message1.subarray(32, 80), message1.subarray(80)])
      state.mixHash(part);
    state.mixHash(message2.subarray(0, 32));
    expect(state.handshakeHash.toString('hex')).toBe(vector.handshake_hash);
  });

  function known(mine: KeyPair, publicKey: Buffer): KnownRemote {
    const key = importPublicKey(publicKey);
    return { publicKey, key, staticStatic: diffieHellman({ privateKey: mine.privateKey, publicKey: key }) };
  }
});

describe('the key derivation against wireguard-go', () => {
  it.each(kdfVectors.tests)('derives one, two and three keys from "$key"', ({ key, input, t0, t1, t2 }) => {
    const text = (outputs: Buffer[]): string[] => outputs.map((output) => output.toString('hex'));
    expect(text([kdf1(hex(key), hex(input))])).toEqual([t0]);
    expect(text(kdf2(hex(key), hex(input)))).toEqual([t0, t1]);
    expect(text(kdf3(hex(key), hex(input)))).toEqual([t0, t1, t2]);
  });
});

describe('X25519', () => {
  it('gives the shared secrets of RFC 7748 §5.2', () => {
    for (const vector of curveVectors.rfc7748_5_2) {
      expect(shared(vector.private, vector.public)).toBe(vector.shared);
    }
  });

  it('gives the results of RFC 7748 §5.2 after 1 and 1,000 iterations', () => {
    const { start, after_1: once, after_1000: often } = curveVectors.rfc7748_5_2_iterated;
    let [k, u] = [start, start];
    for (let i = 1; i <= 1000; i++) {
      [k, u] = [shared(k, u) ?? 'zero', k];
      if (i === 1) expect(k).toBe(once);
    }
    expect(k).toBe(often);
  });

  it('derives public keys and the secret of RFC 7748 §6.1', () => {
    const vector = curveVectors.rfc7748_6_1;
    expect(keyPairFrom(hex(vector.alice_private)).publicKey.toString('hex')).toBe(vector.alice_public);
    expect(keyPairFrom(hex(vector.bob_private)).publicKey.toString('hex')).toBe(vector.bob_public);
    expect(shared(vector.alice_private, vector.bob_public)).toBe(vector.shared);
    expect(shared(vector.bob_private, vector.alice_public)).toBe(vector.shared);
  });

  it.each(curveVectors.wycheproof)('agrees with Wycheproof test $tcId; an all-zero result is none', (vector) => {
    const expected = /^0+$/.test(vector.shared) ? undefined : vector.shared;
    expect(shared(vector.private, vector.public)).toBe(expected);
  });
});

describe('ChaCha20-Poly1305', () => {
  it.each(aeadVectors.tests)(
    'seals and opens Wycheproof test $tcId, and opens nothing with a bit of the tag changed',
    (vector) => {
      const [key, nonce, aad, plain] = [hex(vector.key), hex(vector.iv), hex(vector.aad), hex(vector.msg)];
      const sealed = Buffer.alloc(plain.length + 16);
      sealOnce(key, plain, aad, sealed, 0, nonce);
      expect(sealed.toString('hex')).toBe(vector.ct + vector.tag);
      expect(openOnce(key, sealed, aad, nonce)).toEqual(plain);
      for (let bit = 0; bit < 128; bit++) {
        const forged = Buffer.from(sealed);
        const at = plain.length + (bit >> 3);
        forged[at] = (forged[at] as number) ^ (1 << (bit & 7));
        expect(openOnce(key, forged, aad, nonce)).toBeUndefined();
      }
    },
  );
});

describe('XChaCha20-Poly1305', () => {
  it('seals and opens the message of the draft’s appendix A.3.1', () => {
    const vector = extendedVectors.aead_a_3_1;
    const cipher = (): ReturnType<typeof xchacha20poly1305> =>
      xchacha20poly1305(hex(vector.key), hex(vector.iv), hex(vector.aad));
    const sealed = cipher().encrypt(hex(vector.plaintext));
    expect(Buffer.from(sealed).toString('hex')).toBe(vector.ciphertext + vector.tag);
    expect(Buffer.from(cipher().decrypt(sealed)).toString('hex')).toBe(vector.plaintext);
  });
});

describe('BLAKE2s against RFC 7693', () => {
  it('hashes "abc" as in appendix B', () => {
    expect(hash(Buffer.from('abc')).toString('hex')).toBe(blakeVectors.abc);
  });

  it('passes the self-test of appendix E, keyed 16-byte macs included', () => {
    const { output_lengths: outputs, input_lengths: inputs, result } = blakeVectors.self_test;
    const all: Uint8Array[] = [];
    for (const dkLen of outputs) {
      for (const length of inputs) {
        const input = sequence(length, length);
        const key = sequence(dkLen, dkLen);
        all.push(blake2s(input, { dkLen }), dkLen === 16 ? mac(key, input) : blake2s(input, { dkLen, key }));
      }
    }
    expect(hash(Buffer.concat(all)).toString('hex')).toBe(result);
  });

  /** The deterministic bytes of the self-test (a Fibonacci generator). */
  function sequence(length: number, seed: number): Uint8Array {
    let a = Math.imul(0xdead4bad, seed) >>> 0;
    let b = 1;
    return Uint8Array.from({ length }, () => {
      const t = (a + b) >>> 0;
      a = b;
      b = t;
      return (t >>> 24) & 0xff;
    });
  }
});
