import { createHash, randomInt, timingSafeEqual } from 'node:crypto';

/** `pat`: a person's API token. `join`: lets one agent enrol, once. */
export type TokenKind = 'pat' | 'join';

export interface NewToken {
  /** Names the token in lists, revocations and audit rows. Not secret. */
  id: string;
  /** Shown once. */
  token: string;
  /** What the colony keeps. */
  hash: string;
}

const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const idLength = 12;
/** 32 base62 characters: 190 bits. */
const secretLength = 32;
const checkLength = 6;
const shape = /^coral_(pat|join)_([0-9A-Za-z]{12})_([0-9A-Za-z]{38})$/;

export function newApiToken(): NewToken {
  return newToken('pat');
}

export function newJoinToken(): NewToken {
  return newToken('join');
}

/** Reads kind and id without trusting them; undefined when the text is not a token or was mistyped (checksum). */
export function parseToken(text: string): { kind: TokenKind; id: string } | undefined {
  const match = shape.exec(text);
  if (!match) return undefined;
  if (checksum(text.slice(0, -checkLength)) !== text.slice(-checkLength)) return undefined;
  return { kind: match[1] as TokenKind, id: match[2] as string };
}

/**
 * `sha256:<hex>`. A plain hash is right here, and a slow one (argon2, scrypt) would be wrong: the secret is 190 random
 * bits, so there is nothing to guess, while a slow hash would hand every stranger a way to burn the colony's CPU.
 */
export function hashToken(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

/** Constant time in the token. A stored hash that is not ours matches nothing. */
export function tokenMatches(text: string, hash: string): boolean {
  const given = Buffer.from(hashToken(text));
  const stored = Buffer.from(hash);
  return given.length === stored.length && timingSafeEqual(given, stored);
}

function newToken(kind: TokenKind): NewToken {
  const id = randomText(idLength);
  const body = `coral_${kind}_${id}_${randomText(secretLength)}`;
  const token = body + checksum(body);
  return { id, token, hash: hashToken(token) };
}

function randomText(length: number): string {
  return Array.from({ length }, () => base62.charAt(randomInt(base62.length))).join('');
}

/** Catches slips of copy and paste before any lookup, and lets secret scanners be sure. Protects nothing. */
function checksum(body: string): string {
  let rest = createHash('sha256').update(body).digest().readUIntBE(0, 6);
  let text = '';
  for (let i = 0; i < checkLength; i++) {
    text += base62.charAt(rest % base62.length);
    rest = Math.floor(rest / base62.length);
  }
  return text;
}
