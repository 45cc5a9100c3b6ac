/**
 * Lookup by a few integers without making a key per packet: chains in buckets. The hash is keyed by a secret, so that a
 * stranger cannot choose flows that all fall into one bucket.
 */
export interface Chained<T> {
  readonly hash: number;
  next: T | undefined;
}

const LEAST_BUCKETS = 64;

export class HashTable<T extends Chained<T>> {
  #buckets: (T | undefined)[] = emptyBuckets(LEAST_BUCKETS);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** First of the chain for this hash; go on by `next`, and compare each: chains hold other hashes too. */
  chain(hash: number): T | undefined {
    return this.#buckets[hash & (this.#buckets.length - 1)];
  }

  add(entry: T): void {
    if (this.#size >= this.#buckets.length) this.#resize(this.#buckets.length * 2);
    const index = entry.hash & (this.#buckets.length - 1);
    entry.next = this.#buckets[index];
    this.#buckets[index] = entry;
    this.#size += 1;
  }

  /** False when it is not in the table. */
  delete(entry: T): boolean {
    const index = entry.hash & (this.#buckets.length - 1);
    let previous: T | undefined;
    for (let at = this.#buckets[index]; at !== undefined; previous = at, at = at.next) {
      if (at !== entry) continue;
      if (previous === undefined) this.#buckets[index] = at.next;
      else previous.next = at.next;
      at.next = undefined;
      this.#size -= 1;
      if (this.#size * 8 < this.#buckets.length && this.#buckets.length > LEAST_BUCKETS) {
        this.#resize(this.#buckets.length / 2);
      }
      return true;
    }
    return false;
  }

  entries(): T[] {
    const all: T[] = [];
    for (const head of this.#buckets) for (let entry = head; entry !== undefined; entry = entry.next) all.push(entry);
    return all;
  }

  #resize(length: number): void {
    const old = this.#buckets;
    this.#buckets = emptyBuckets(length);
    for (const head of old) {
      for (let entry = head; entry !== undefined;) {
        const { next } = entry;
        const index = entry.hash & (length - 1);
        entry.next = this.#buckets[index];
        this.#buckets[index] = entry;
        entry = next;
      }
    }
  }
}

function emptyBuckets<T>(length: number): (T | undefined)[] {
  return Array.from({ length }, () => undefined);
}

/** A keyed mix of words. Not for signatures: it only keeps the chains short. */
export class SecretHash {
  readonly #keys: Int32Array;

  constructor(random: (size: number) => Buffer) {
    const bytes = random(32);
    this.#keys = Int32Array.from({ length: 8 }, (_, index) => bytes.readInt32LE(index * 4) | 1);
  }

  ofAddress(w0: number, w1: number, w2: number, w3: number): number {
    const keys = this.#keys;
    let hash = Math.imul(w0 ^ (keys[0] ?? 0), keys[1] ?? 0);
    hash = Math.imul(hash ^ (hash >>> 15) ^ w1, keys[2] ?? 0);
    hash = Math.imul(hash ^ (hash >>> 15) ^ w2, keys[3] ?? 0);
    hash = Math.imul(hash ^ (hash >>> 15) ^ w3, keys[4] ?? 0);
    return hash ^ (hash >>> 16);
  }

  /** Of a flow: the remote address, both ports, and which of our addresses it is. */
  ofFlow(w0: number, w1: number, w2: number, w3: number, ports: number, local: number): number {
    const keys = this.#keys;
    let hash = this.ofAddress(w0, w1, w2, w3);
    hash = Math.imul(hash ^ ports, keys[5] ?? 0);
    hash = Math.imul(hash ^ (hash >>> 15) ^ local, keys[6] ?? 0);
    return hash ^ (hash >>> 16);
  }
}
