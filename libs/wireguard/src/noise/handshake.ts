import { INITIATION_BYTES, KEY_BYTES, MESSAGE_INITIATION, MESSAGE_RESPONSE, RESPONSE_BYTES } from '../constants.js';
import { setMac1 } from '../cookie/macs.js';
import {
  firstMessageOverhead,
  noiseName,
  readFirst,
  readSecond,
  secondMessageOverhead,
  writeFirst,
  writeSecond,
} from './ikpsk2.js';
import type { FirstRead } from './ikpsk2.js';
import type { LocalIdentity, RemoteIdentity } from './identity.js';
import { badWireGuardKey } from './key.errors.js';
import type { RandomBytes } from './random.js';
import { SymmetricState } from './symmetric-state.js';
import { transportKeys, type TransportKeys } from './transport-keys.js';
import { keyPairFrom, type KeyPair } from './x25519.js';

/**
 * WireGuard's two handshake messages (whitepaper §5.4.2 and §5.4.3) around Noise IKpsk2:
 *
 *   initiation  type ‖ 0 0 0 ‖ sender index ‖ Noise first message (payload: TAI64N) ‖ mac1 ‖ mac2      148 bytes
 *   response    type ‖ 0 0 0 ‖ sender index ‖ receiver index ‖ Noise second message ‖ mac1 ‖ mac2       92 bytes
 *
 * Indexes are little-endian. mac1 is set here, mac2 is zero until a `CookieJar` sets it. Reading assumes that mac1 was
 * checked before (`CookieChecker.hasValidMac1`): a DH for every stranger's datagram is what mac1 is there to prevent.
 */

const prologue = Buffer.from('WireGuard v1 zx2c4 Jason@zx2c4.com', 'latin1');
/** Made with the first handshake, not at import: where OpenSSL has no BLAKE2s, `localIdentity` is to say so. */
let start: SymmetricState | undefined;
const nothing = Buffer.alloc(0);

const senderAt = 4;
const initiationNoiseAt = 8;
const receiverAt = 8;
const responseNoiseAt = 12;
const timestampBytes = 12;
const initiationNoiseEnd = initiationNoiseAt + firstMessageOverhead + timestampBytes;
const responseNoiseEnd = responseNoiseAt + secondMessageOverhead;

/** One attempt to start a session. A retry is a new one: ephemeral keys and nonces are never used twice. */
export class InitiatorHandshake {
  /** 148 bytes to send. */
  readonly message: Buffer;
  readonly localIndex: number;
  readonly #local: LocalIdentity;
  readonly #presharedKey: Buffer;
  readonly #ephemeral: KeyPair;
  #sent: SymmetricState | undefined;

  /** `localIndex`: random and unique in the device. `timestamp`: the 12 bytes of a `Tai64n`. */
  constructor(
    local: LocalIdentity,
    remote: RemoteIdentity,
    o: { localIndex: number; timestamp: Buffer; random: RandomBytes },
  ) {
    this.#local = local;
    this.#presharedKey = remote.presharedKey;
    this.#ephemeral = freshKeyPair(o.random);
    this.localIndex = o.localIndex;
    const message = Buffer.alloc(INITIATION_BYTES);
    message[0] = MESSAGE_INITIATION;
    message.writeUInt32LE(o.localIndex, senderAt);
    this.#sent = writeFirst(startState(), local, remote, this.#ephemeral, o.timestamp, message, initiationNoiseAt);
    if (!this.#sent) throw badWireGuardKey('public_key', 'it is a point of low order');
    setMac1(message, remote.mac1Key);
    this.message = message;
  }

  /**
   * The keys of the session, or undefined when the response is not the answer to this attempt or somebody changed it:
   * the attempt then goes on, and the true response may still come.
   */
  finish(response: Buffer): TransportKeys | undefined {
    if (!this.#sent || !looksLike(response, MESSAGE_RESPONSE, RESPONSE_BYTES)) return undefined;
    if (response.readUInt32LE(receiverAt) !== this.localIndex) return undefined;
    const noise = response.subarray(responseNoiseAt, responseNoiseEnd);
    const read = readSecond(this.#sent, this.#local, this.#ephemeral, this.#presharedKey, noise);
    if (!read) return undefined;
    this.wipe();
    return transportKeys(read.state.split(), {
      localIndex: this.localIndex,
      remoteIndex: response.readUInt32LE(senderAt),
      initiator: true,
    });
  }

  /** The attempt is over: `finish` gives undefined from now on. */
  wipe(): void {
    this.#sent?.wipe();
    this.#sent = undefined;
  }
}

/** An initiation that proved to be from `remote`. To be answered once, or wiped. */
export class OpenedInitiation {
  readonly remote: RemoteIdentity;
  /** TAI64N, 12 bytes. The caller refuses it unless it is greater than the greatest from that peer. */
  readonly timestamp: Buffer;
  readonly remoteIndex: number;
  #read: FirstRead<RemoteIdentity> | undefined;

  constructor(read: FirstRead<RemoteIdentity>, remoteIndex: number) {
    this.#read = read;
    this.remote = read.remote;
    this.timestamp = read.payload;
    this.remoteIndex = remoteIndex;
  }

  /** What the answer is made of; gone afterwards, since a second answer out of one state would share its secrets. */
  take(): FirstRead<RemoteIdentity> | undefined {
    const read = this.#read;
    this.#read = undefined;
    return read;
  }

  /** When it is not answered: replayed, too soon, peer over. */
  wipe(): void {
    this.take()?.state.wipe();
  }
}

/** Undefined for anything that is not a whole, untouched initiation to this end from a peer `lookup` knows. */
export function openInitiation(
  local: LocalIdentity,
  message: Buffer,
  lookup: (publicKey: Buffer) => RemoteIdentity | undefined,
): OpenedInitiation | undefined {
  if (!looksLike(message, MESSAGE_INITIATION, INITIATION_BYTES)) return undefined;
  const read = readFirst(startState(), local, message.subarray(initiationNoiseAt, initiationNoiseEnd), lookup);
  return read && new OpenedInitiation(read, message.readUInt32LE(senderAt));
}

/**
 * The response and the session's keys. Undefined when the initiation was answered or wiped, or its ephemeral is of low
 * order.
 */
export function answerInitiation(
  opened: OpenedInitiation,
  o: { localIndex: number; random: RandomBytes },
): { message: Buffer; keys: TransportKeys } | undefined {
  const read = opened.take();
  if (!read) return undefined;
  const { state, remote } = read;
  const message = Buffer.alloc(RESPONSE_BYTES);
  message[0] = MESSAGE_RESPONSE;
  message.writeUInt32LE(o.localIndex, senderAt);
  message.writeUInt32LE(opened.remoteIndex, receiverAt);
  const ephemeral = freshKeyPair(o.random);
  if (!writeSecond(state, remote, read.ephemeral, ephemeral, remote.presharedKey, nothing, message, responseNoiseAt)) {
    state.wipe();
    return undefined;
  }
  setMac1(message, remote.mac1Key);
  const session = { localIndex: o.localIndex, remoteIndex: opened.remoteIndex, initiator: false };
  return { message, keys: transportKeys(state.split(), session) };
}

/** Exact length, type, and the three reserved bytes zero. */
function looksLike(message: Buffer, type: number, length: number): boolean {
  return message.length === length && message.readUInt32LE(0) === type;
}

function startState(): SymmetricState {
  start ??= SymmetricState.start(noiseName, prologue);
  return start;
}

function freshKeyPair(random: RandomBytes): KeyPair {
  const raw = random(KEY_BYTES);
  try {
    return keyPairFrom(raw);
  } finally {
    raw.fill(0);
  }
}
