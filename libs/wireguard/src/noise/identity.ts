import { type KeyObject } from 'node:crypto';
import { KEY_BYTES } from '../constants.js';
import { hashBoth } from './kdf.js';
import { requireWireGuardCrypto } from './crypto-check.js';
import { badWireGuardKey } from './key.errors.js';
import { importPublicKey, keyPairFrom, sharedSecret } from './x25519.js';

/** This end: its static key and what is computed from it once. */
export interface LocalIdentity {
  readonly publicKey: Buffer;
  readonly privateKey: KeyObject;
  /** Key of mac1 in messages *to* this end: `HASH("mac1----" ‖ public key)`. */
  readonly mac1Key: Buffer;
  /** Key of cookie replies *from* this end: `HASH("cookie--" ‖ public key)`. */
  readonly cookieKey: Buffer;
}

/**
 * A peer's end as this one sees it. `staticStatic` and `presharedKey` are secret: `wipeRemoteIdentity` when the peer
 * goes.
 */
export interface RemoteIdentity {
  readonly publicKey: Buffer;
  readonly key: KeyObject;
  /** X25519 of both static keys: saves a DH per handshake. */
  readonly staticStatic: Buffer;
  /** 32 zero bytes when there is none, as the protocol has it. */
  readonly presharedKey: Buffer;
  readonly mac1Key: Buffer;
  readonly cookieKey: Buffer;
}

const mac1Label = Buffer.from('mac1----', 'latin1');
const cookieLabel = Buffer.from('cookie--', 'latin1');

/**
 * Throws `bad_wireguard_key` unless given 32 bytes that are not all zero, `wireguard_crypto_missing` where OpenSSL is
 * restricted. The bytes are read, not kept, not wiped.
 */
export function localIdentity(privateKey: Uint8Array): LocalIdentity {
  checkLength('private_key', privateKey);
  requireWireGuardCrypto();
  // Every 32 bytes are a private key after clamping; all zero is a key somebody forgot to fill in.
  if (isZero(privateKey)) throw badWireGuardKey('private_key', 'it is all zero');
  const pair = keyPairFrom(privateKey);
  return { ...pair, mac1Key: hashBoth(mac1Label, pair.publicKey), cookieKey: hashBoth(cookieLabel, pair.publicKey) };
}

/**
 * Throws `bad_wireguard_key` for a wrong length, a point of low order (nobody holds its private half) and this end's
 * own key.
 */
export function remoteIdentity(local: LocalIdentity, publicKey: Uint8Array, presharedKey?: Uint8Array): RemoteIdentity {
  checkLength('public_key', publicKey);
  if (presharedKey) checkLength('preshared_key', presharedKey);
  // Own, unpooled memory: it outlives the caller's, and secrets do not lie in a buffer shared with others.
  const copy = Buffer.allocUnsafeSlow(KEY_BYTES);
  copy.set(publicKey);
  if (copy.equals(local.publicKey)) throw badWireGuardKey('public_key', 'it is the own key of this end');
  const key = importPublicKey(copy);
  const staticStatic = sharedSecret(local.privateKey, key);
  if (!staticStatic) throw badWireGuardKey('public_key', 'it is a point of low order, which is nobody’s key');
  const psk = Buffer.alloc(KEY_BYTES);
  if (presharedKey) psk.set(presharedKey);
  return {
    publicKey: copy,
    key,
    staticStatic,
    presharedKey: psk,
    mac1Key: hashBoth(mac1Label, copy),
    cookieKey: hashBoth(cookieLabel, copy),
  };
}

/** The secrets of a peer that is gone. Handshakes with it fail from then on. */
export function wipeRemoteIdentity(remote: RemoteIdentity): void {
  remote.staticStatic.fill(0);
  remote.presharedKey.fill(0);
}

function checkLength(where: 'private_key' | 'public_key' | 'preshared_key', key: Uint8Array): void {
  if (key.length !== KEY_BYTES) throw badWireGuardKey(where, `it has ${key.length} bytes, not ${KEY_BYTES}`);
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
