import { hash, hashBoth, kdf1, kdf2, kdf3 } from './kdf.js';
import { openOnce, sealOnce } from './aead.js';

/**
 * Noise §5.2: what both ends of a handshake agree on so far. `chainingKey` and the cipher key are secret, `hash` is
 * not. A message is sealed or opened with the key of the last `mixKey`; each key is used once.
 */
export class SymmetricState {
  #chainingKey: Buffer;
  #hash: Buffer;
  #key: Buffer | undefined;

  constructor(chainingKey: Buffer, hashSoFar: Buffer) {
    this.#chainingKey = chainingKey;
    this.#hash = hashSoFar;
  }

  /** Name and prologue: the same for every handshake, so made once. `name` is longer than a hash. */
  static start(name: string, prologue: Uint8Array): SymmetricState {
    const named = hash(Buffer.from(name, 'latin1'));
    return new SymmetricState(named, hashBoth(named, Buffer.from(prologue)));
  }

  /** A copy to try a message on: it shares no secret buffer, so wiping one leaves the other. */
  copy(): SymmetricState {
    return new SymmetricState(Buffer.from(this.#chainingKey), this.#hash);
  }

  get handshakeHash(): Buffer {
    return this.#hash;
  }

  mixHash(data: Buffer): void {
    this.#hash = hashBoth(this.#hash, data);
  }

  /** Before another mix: the cipher key would never be used, so only the chaining key moves on. */
  mixChainingKey(input: Buffer): void {
    this.#move(kdf1(this.#chainingKey, input));
  }

  mixKey(input: Buffer): void {
    const [chainingKey, key] = kdf2(this.#chainingKey, input);
    this.#move(chainingKey, key);
  }

  /** The `psk` token. */
  mixKeyAndHash(input: Buffer): void {
    const [chainingKey, forHash, key] = kdf3(this.#chainingKey, input);
    this.#move(chainingKey, key);
    this.mixHash(forHash);
    forHash.fill(0);
  }

  sealAndHash(plain: Buffer, out: Buffer, offset: number): void {
    if (!this.#key) throw new Error('sealAndHash before mixKey');
    sealOnce(this.#key, plain, this.#hash, out, offset);
    this.mixHash(out.subarray(offset, offset + plain.length + 16));
  }

  openAndHash(sealed: Buffer): Buffer | undefined {
    if (!this.#key) throw new Error('openAndHash before mixKey');
    const plain = openOnce(this.#key, sealed, this.#hash);
    if (plain) this.mixHash(sealed);
    return plain;
  }

  /** Keys of both directions, the initiator's first. The state is over after it. */
  split(): [Buffer, Buffer] {
    const keys = kdf2(this.#chainingKey);
    this.wipe();
    return keys;
  }

  wipe(): void {
    this.#chainingKey.fill(0);
    this.#key?.fill(0);
    this.#key = undefined;
  }

  #move(chainingKey: Buffer, key?: Buffer): void {
    this.wipe();
    this.#chainingKey = chainingKey;
    this.#key = key;
  }
}
