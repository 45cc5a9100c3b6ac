import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ColonyUnderTest } from './start-colony.js';

type Claims = Record<string, unknown>;

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function decode(part: string | undefined): Claims {
  return JSON.parse(Buffer.from(part ?? '', 'base64url').toString()) as Claims;
}

/** Makes tokens that are as good as a real one but for one thing: some even with the colony's own key. */
export class Forger {
  readonly #key: KeyObject;

  private constructor(key: KeyObject) {
    this.#key = key;
  }

  static async at(colony: ColonyUnderTest): Promise<Forger> {
    const jwk = JSON.parse(await readFile(join(colony.dataDirectory, 'keys', 'access-tokens.jwk'), 'utf8'));
    return new Forger(createPrivateKey({ key: jwk, format: 'jwk' }));
  }

  /** `good` with changed claims and header, signed by the colony's key. `undefined` takes a claim away. */
  change(good: string, claims: Claims, header: Claims = {}): string {
    return this.#sign(good, claims, header, (text) => sign(null, Buffer.from(text), this.#key));
  }

  /** Every way not to be a token of this colony, by name. */
  all(good: string): [string, string][] {
    const seconds = Math.floor(Date.now() / 1_000);
    const stranger = generateKeyPairSync('ed25519').privateKey;
    const pem = createPublicKey(this.#key).export({ format: 'pem', type: 'spki' });
    const hmac = (text: string): Buffer => createHmac('sha256', pem).update(text).digest();
    return [
      ['garbage', 'garbage'],
      ['an API token of nobody', 'coral_pat_abcdefghijkl_abcdefghijklmnopqrstuvwxyz'],
      ['expired', this.change(good, { iat: seconds - 600, exp: seconds - 1 })],
      ['expired in this second', this.change(good, { iat: seconds - 600, exp: seconds })],
      ['not before the future', this.change(good, { nbf: seconds + 60 })],
      ['issued in the future', this.change(good, { iat: seconds + 60, exp: seconds + 120 })],
      ['of another issuer', this.change(good, { iss: 'coral-colony:other' })],
      ['for another resource', this.change(good, { aud: 'https://other.example.com/mcp' })],
      ['for two audiences', this.change(good, { aud: [decode(good.split('.')[1])['aud'], 'https://other/mcp'] })],
      ['without an end', this.change(good, { exp: undefined })],
      ['with a long life', this.change(good, { iat: seconds - 1, exp: seconds + 901 })],
      ['of a lease that never was', this.change(good, { agent_id: 'web-aaaaaaaaaaaaaaaa' })],
      ['alg none', this.#sign(good, {}, { alg: 'none' }, () => Buffer.alloc(0))],
      ['HS256 with the public key', this.#sign(good, {}, { alg: 'HS256' }, hmac)],
      ['of an unknown key', this.change(good, {}, { kid: 'unknown' })],
      ["signed by somebody else's key", this.#sign(good, {}, {}, (text) => sign(null, Buffer.from(text), stranger))],
      ['with a key of its own', this.change(good, {}, { jwk: createPublicKey(stranger).export({ format: 'jwk' }) })],
      ['without its signature', `${good.split('.').slice(0, 2).join('.')}.`],
    ];
  }

  #sign(good: string, claims: Claims, header: Claims, signer: (text: string) => Buffer): string {
    const [head, body] = good.split('.');
    const text = `${encode({ ...decode(head), ...header })}.${encode({ ...decode(body), ...claims })}`;
    return `${text}.${signer(text).toString('base64url')}`;
  }
}
