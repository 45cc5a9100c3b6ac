import { parseAddress } from '@coral/tcp';
import { badPeer } from '../mesh.errors.js';

/** An IP address as libs/tcp has it: four signed words, IPv4 as ::ffff:a.b.c.d. */
export interface Words {
  w0: number;
  w1: number;
  w2: number;
  w3: number;
}

export function wordsOf(address: string): Words {
  const parsed = parseAddress(address);
  if (!parsed) throw badPeer(`${JSON.stringify(address.slice(0, 60))} is not an IP address`);
  return { w0: parsed.w0, w1: parsed.w1, w2: parsed.w2, w3: parsed.w3 };
}

/** Values by address, without text: by the last word, in which the addresses of a mesh differ. */
export class AddressMap<T> {
  readonly #byLastWord = new Map<number, (Words & { value: T })[]>();

  get(w0: number, w1: number, w2: number, w3: number): T | undefined {
    const chain = this.#byLastWord.get(w3);
    if (chain === undefined) return undefined;
    for (const entry of chain) if (entry.w2 === w2 && entry.w1 === w1 && entry.w0 === w0) return entry.value;
    return undefined;
  }

  set(words: Words, value: T): void {
    this.delete(words);
    const chain = this.#byLastWord.get(words.w3);
    if (chain) chain.push({ ...words, value });
    else this.#byLastWord.set(words.w3, [{ ...words, value }]);
  }

  delete(words: Words): void {
    const chain = this.#byLastWord.get(words.w3);
    if (!chain) return;
    const rest = chain.filter((entry) => entry.w2 !== words.w2 || entry.w1 !== words.w1 || entry.w0 !== words.w0);
    if (rest.length > 0) this.#byLastWord.set(words.w3, rest);
    else this.#byLastWord.delete(words.w3);
  }
}
