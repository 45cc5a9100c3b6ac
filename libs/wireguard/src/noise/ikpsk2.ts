import type { KeyObject } from 'node:crypto';
import { KEY_BYTES, TAG_BYTES } from '../constants.js';
import { SymmetricState } from './symmetric-state.js';
import { importPublicKey, sharedSecret, type KeyPair } from './x25519.js';

/**
 * The Noise pattern IKpsk2 (Noise §7.5 and §9; whitepaper §5.4), free of WireGuard's framing:
 *
 *   <- s
 *   -> e, es, s, ss        first message, 96 bytes + payload
 *   <- e, ee, se, psk      second message, 48 bytes + payload
 *
 * The read functions give undefined for whatever does not fit (wrong key, flipped bit, all-zero DH) and throw nothing.
 */

export const noiseName = 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s';
/** e, sealed s, tag of the payload. */
export const firstMessageOverhead = KEY_BYTES + KEY_BYTES + TAG_BYTES + TAG_BYTES;
export const secondMessageOverhead = KEY_BYTES + TAG_BYTES;

/** The far end's static key, imported, and the DH of both static keys: the same in every handshake of a pair. */
export interface KnownRemote {
  readonly publicKey: Buffer;
  readonly key: KeyObject;
  readonly staticStatic: Buffer;
}

/** `out` takes the message from `offset`. Undefined when the remote key is of low order. */
export function writeFirst(
  start: SymmetricState,
  local: KeyPair,
  remote: KnownRemote,
  ephemeral: KeyPair,
  payload: Buffer,
  out: Buffer,
  offset: number,
): SymmetricState | undefined {
  const state = start.copy();
  state.mixHash(remote.publicKey);
  ephemeral.publicKey.copy(out, offset);
  state.mixHash(ephemeral.publicKey);
  state.mixChainingKey(ephemeral.publicKey);
  if (!mixSecret(state, ephemeral.privateKey, remote.key, 'key')) return undefined;
  state.sealAndHash(local.publicKey, out, offset + KEY_BYTES);
  state.mixKey(remote.staticStatic);
  state.sealAndHash(payload, out, offset + KEY_BYTES + KEY_BYTES + TAG_BYTES);
  return state;
}

export interface FirstRead<Remote> {
  readonly state: SymmetricState;
  readonly remote: Remote;
  readonly ephemeral: KeyObject;
  readonly ephemeralPublic: Buffer;
  readonly payload: Buffer;
}

/** `message` is what `writeFirst` wrote. `lookup` is asked once the sender's key is known but not yet proven. */
export function readFirst<Remote extends KnownRemote>(
  start: SymmetricState,
  local: KeyPair,
  message: Buffer,
  lookup: (publicKey: Buffer) => Remote | undefined,
): FirstRead<Remote> | undefined {
  if (message.length < firstMessageOverhead) return undefined;
  const state = start.copy();
  const ephemeralPublic = Buffer.from(message.subarray(0, KEY_BYTES));
  const ephemeral = importPublicKey(ephemeralPublic);
  state.mixHash(local.publicKey);
  state.mixHash(ephemeralPublic);
  state.mixChainingKey(ephemeralPublic);
  const read = readProven(state, local, ephemeral, message, lookup);
  if (!read) {
    state.wipe();
    return undefined;
  }
  return { state, ephemeral, ephemeralPublic, ...read };
}

function readProven<Remote extends KnownRemote>(
  state: SymmetricState,
  local: KeyPair,
  ephemeral: KeyObject,
  message: Buffer,
  lookup: (publicKey: Buffer) => Remote | undefined,
): { remote: Remote; payload: Buffer } | undefined {
  if (!mixSecret(state, local.privateKey, ephemeral, 'key')) return undefined;
  const staticEnd = KEY_BYTES + KEY_BYTES + TAG_BYTES;
  const remotePublic = state.openAndHash(message.subarray(KEY_BYTES, staticEnd));
  if (!remotePublic) return undefined;
  const remote = lookup(remotePublic);
  if (!remote) return undefined;
  state.mixKey(remote.staticStatic);
  const payload = state.openAndHash(message.subarray(staticEnd));
  return payload && { remote, payload };
}

/** `state` is that of the first message; it is moved on and must be split or wiped. */
export function writeSecond(
  state: SymmetricState,
  remote: KnownRemote,
  remoteEphemeral: KeyObject,
  ephemeral: KeyPair,
  presharedKey: Buffer,
  payload: Buffer,
  out: Buffer,
  offset: number,
): boolean {
  ephemeral.publicKey.copy(out, offset);
  state.mixHash(ephemeral.publicKey);
  state.mixChainingKey(ephemeral.publicKey);
  if (!mixSecret(state, ephemeral.privateKey, remoteEphemeral, 'chain')) return false;
  if (!mixSecret(state, ephemeral.privateKey, remote.key, 'chain')) return false;
  state.mixKeyAndHash(presharedKey);
  state.sealAndHash(payload, out, offset + KEY_BYTES);
  return true;
}

/** `sent` is left as it is, so another response may be tried; the state given back must be split or wiped. */
export function readSecond(
  sent: SymmetricState,
  local: KeyPair,
  ephemeral: KeyPair,
  presharedKey: Buffer,
  message: Buffer,
): { state: SymmetricState; payload: Buffer } | undefined {
  if (message.length < secondMessageOverhead) return undefined;
  const state = sent.copy();
  const remoteEphemeralPublic = message.subarray(0, KEY_BYTES);
  const remoteEphemeral = importPublicKey(remoteEphemeralPublic);
  state.mixHash(remoteEphemeralPublic);
  state.mixChainingKey(remoteEphemeralPublic);
  if (
    mixSecret(state, ephemeral.privateKey, remoteEphemeral, 'chain') &&
    mixSecret(state, local.privateKey, remoteEphemeral, 'chain')
  ) {
    state.mixKeyAndHash(presharedKey);
    const payload = state.openAndHash(message.subarray(KEY_BYTES));
    if (payload) return { state, payload };
  }
  state.wipe();
  return undefined;
}

/** False when the DH is all zero; the caller drops the message. */
function mixSecret(state: SymmetricState, mine: KeyObject, theirs: KeyObject, into: 'key' | 'chain'): boolean {
  const secret = sharedSecret(mine, theirs);
  if (!secret) return false;
  if (into === 'key') state.mixKey(secret);
  else state.mixChainingKey(secret);
  secret.fill(0);
  return true;
}
