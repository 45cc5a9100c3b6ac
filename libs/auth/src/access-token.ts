// Short-lived access tokens. Read first: RFC 7519 (JWT), RFC 8725 (its pitfalls), RFC 9068 (at+jwt), RFC 7800 (cnf),
// RFC 8037 (EdDSA keys as JWK).
import { createPrivateKey, createPublicKey, hash as digest, randomUUID, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, errors, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { CoralError } from '@coral/errors';
import {
  isPermission,
  permissions,
  systemClock,
  type AgentId,
  type Clock,
  type KeyId,
  type Permission,
  type UserId,
} from '@coral/model';
import { keyDamaged, readOrCreatePrivateFile } from './private-file.js';

/** Where a token counts: inside the tunnel of its own key, or at the public resource with this URI (RFC 8707). Never both. */
export type Audience = 'mesh' | { resource: string };

interface Grant {
  userId: UserId;
  agentId: AgentId;
  /** Those at issue, for people to read: calls are decided by the policy. */
  permissions: Permission[];
  /** Wall clock ms, rounded down to a whole second; the token is dead from this instant on. */
  expiresAt: number;
}

export interface MeshGrant extends Grant {
  /** The mesh key the token is bound to; it counts only inside the tunnel of that key. */
  keyId: KeyId;
  resource?: undefined;
  scope?: undefined;
}

/** Counts wherever its bearer is: hence short, and for one resource only. */
export interface PublicGrant extends Grant {
  keyId?: undefined;
  resource: string;
  /** What its holder asked to be limited to. It takes away from what the policy gives and never adds to it. */
  scope?: Permission[];
}

export type AccessGrant = MeshGrant | PublicGrant;

/** What a verified token says. */
export interface AccessClaims extends Grant {
  colonyId: string;
  keyId: KeyId | undefined;
  scope: Permission[] | undefined;
  tokenId: string;
}

const algorithm = 'EdDSA';
const tokenType = 'at+jwt';
/** Ours are below 1 KiB. Longer text is refused before it is parsed. */
export const maxAccessTokenLength = 4_096;
/** No token lives longer, whoever signed it: from `iat` to `exp`, seconds. */
export const maxAccessTokenSeconds = 900;
/** Verified tokens whose signature is not checked again, of about 500 bytes each. */
export const maxRememberedTokens = 1_024;
/** 9999-12-31T23:59:59Z: the last second that every date library can tell. */
const lastSecond = 253_402_300_799;

const seconds = z.int().min(0).max(lastSecond);
const word = z.string().min(1).max(256);
const claimsSchema = z.strictObject({
  iss: word,
  // One audience, as a string: RFC 7519 also allows a list, which would let one token fit two doors.
  aud: word,
  sub: word,
  agent_id: word,
  permissions: z.array(z.enum(permissions)),
  iat: seconds,
  nbf: seconds.optional(),
  exp: seconds,
  jti: word,
});
const schemas = {
  mesh: claimsSchema.extend({ cnf: z.strictObject({ wg: word }), scope: z.undefined().optional() }),
  public: claimsSchema.extend({
    cnf: z.undefined().optional(),
    scope: z.string().max(1_024).transform(toScope).optional(),
  }),
};
type Claims = z.output<(typeof schemas)['mesh']> | z.output<(typeof schemas)['public']>;
const headerSchema = z.strictObject({ alg: z.literal(algorithm), typ: z.literal(tokenType), kid: word });

/** Issues and verifies the colony's access tokens with one Ed25519 key, kept as a JWK in a 0600 file. */
export class AccessTokens {
  readonly #colonyId: string;
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #kid: string;
  readonly #clock: Clock;
  /** By the hash of audience and token: what was signed stays signed, and checking it again costs a fifth of a call. */
  readonly #seen = new Map<string, Claims>();

  private constructor(colonyId: string, privateKey: KeyObject, kid: string, clock: Clock) {
    this.#colonyId = colonyId;
    this.#privateKey = privateKey;
    this.#publicKey = createPublicKey(privateKey);
    this.#kid = kid;
    this.#clock = clock;
  }

  /** Makes the key at the first start. `clock` stamps `iat` only; `verify` is told the time by its caller. */
  static async open(options: { keyFile: string; colonyId: string; clock?: Clock }): Promise<AccessTokens> {
    const text = await readOrCreatePrivateFile(options.keyFile, newSigningKey);
    let privateKey: KeyObject;
    try {
      privateKey = createPrivateKey({ key: JSON.parse(text), format: 'jwk' });
    } catch (cause) {
      throw keyDamaged(options.keyFile, 'holds no JWK private key', cause);
    }
    if (privateKey.asymmetricKeyType !== 'ed25519')
      throw keyDamaged(options.keyFile, 'holds a key that is not Ed25519');
    const kid = await calculateJwkThumbprint(await exportJWK(createPublicKey(privateKey)));
    return new AccessTokens(options.colonyId, privateKey, kid, options.clock ?? systemClock);
  }

  /** Seconds are rounded down, so that a token never outlives its lease. */
  async issue(grant: AccessGrant): Promise<string> {
    const claims = {
      iss: this.#issuer,
      aud: this.#nameOf(grant.resource === undefined ? 'mesh' : { resource: grant.resource }),
      sub: grant.userId,
      agent_id: grant.agentId,
      ...(grant.resource === undefined ? { cnf: { wg: grant.keyId } } : {}),
      ...(grant.scope === undefined ? {} : { scope: grant.scope.join(' ') }),
      permissions: grant.permissions,
      iat: Math.floor(this.#clock.now() / 1_000),
      exp: Math.floor(grant.expiresAt / 1_000),
      jti: randomUUID(),
    };
    schemas[grant.resource === undefined ? 'mesh' : 'public'].parse(claims);
    return await new SignJWT(claims)
      .setProtectedHeader({ alg: algorithm, typ: tokenType, kid: this.#kid })
      .sign(this.#privateKey);
  }

  /**
   * Says whose token it is at `now` (wall clock ms), or throws `unauthenticated`: `token_missing`, `token_expired`,
   * `token_invalid`. No leeway, no key but our own, whatever the header asks for. A token from the future is invalid,
   * so a colony whose clock stepped back refuses rather than stretches; so is one for another door, and a long one.
   */
  async verify(token: string, now: number, at: Audience = 'mesh'): Promise<AccessClaims> {
    if (token === '') throw tokenMissing();
    if (token.length > maxAccessTokenLength) throw tokenInvalid();
    const seen = digest('sha256', `${JSON.stringify(at)}\0${token}`, 'base64');
    const claims = this.#seen.get(seen) ?? (await this.#read(token, now, at));
    // What depends on the time is asked anew for each call.
    if (!(claims.iat * 1_000 <= now && (claims.nbf ?? 0) * 1_000 <= now)) throw tokenInvalid();
    if (!(now < claims.exp * 1_000)) throw tokenExpired();
    this.#remember(seen, claims);
    return {
      colonyId: this.#colonyId,
      userId: claims.sub as UserId,
      agentId: claims.agent_id as AgentId,
      keyId: claims.cnf?.wg as KeyId | undefined,
      // Copies: what is remembered must not change under a caller's hands.
      scope: claims.scope && [...claims.scope],
      permissions: [...claims.permissions],
      expiresAt: claims.exp * 1_000,
      tokenId: claims.jti,
    };
  }

  /** Signature, header and form; the time only as far as the library insists. */
  async #read(token: string, now: number, at: Audience): Promise<Claims> {
    const audience = this.#nameOf(at);
    if (!isCanonical(token)) throw tokenInvalid();
    const verified = await jwtVerify(token, this.#publicKey, {
      algorithms: [algorithm],
      typ: tokenType,
      issuer: this.#issuer,
      audience,
      requiredClaims: ['exp', 'iat', 'jti', 'sub'],
      clockTolerance: 0,
      currentDate: new Date(now),
    }).catch((cause: unknown) => {
      throw cause instanceof errors.JWTExpired ? tokenExpired() : tokenInvalid(cause);
    });
    const header = headerSchema.safeParse(verified.protectedHeader);
    const parsed = schemas[at === 'mesh' ? 'mesh' : 'public'].safeParse(verified.payload);
    if (!header.success || header.data.kid !== this.#kid) throw tokenInvalid(header.error);
    if (!parsed.success) throw tokenInvalid(parsed.error);
    const claims = parsed.data;
    if (claims.aud !== audience) throw tokenInvalid();
    if (claims.exp - claims.iat > maxAccessTokenSeconds) throw tokenInvalid();
    return claims;
  }

  /** The oldest goes first; a token that is used again is young again. */
  #remember(seen: string, claims: Claims): void {
    this.#seen.delete(seen);
    this.#seen.set(seen, claims);
    if (this.#seen.size > maxRememberedTokens) this.#seen.delete(this.#seen.keys().next().value as string);
  }

  get #issuer(): string {
    return `coral-colony:${this.#colonyId}`;
  }

  #nameOf(audience: Audience): string {
    return audience === 'mesh' ? `coral-mesh:${this.#colonyId}` : audience.resource;
  }
}

/** RFC 6749 §3.3: words with one space between them. An empty scope would be a token for nothing. */
function toScope(text: string, ctx: z.RefinementCtx): Permission[] {
  const words = text.split(' ');
  if (words.every(isPermission)) return words;
  ctx.addIssue({ code: 'custom', message: 'unknown scope' });
  return z.NEVER;
}

async function newSigningKey(): Promise<string> {
  const { privateKey } = await generateKeyPair(algorithm, { crv: 'Ed25519', extractable: true });
  return `${JSON.stringify(await exportJWK(privateKey))}\n`;
}

/** base64url has several spellings of one value (unused bits of the last letter); only the canonical one is a token. */
function isCanonical(token: string): boolean {
  const parts = token.split('.');
  return parts.length === 3 && parts.every((part) => Buffer.from(part, 'base64url').toString('base64url') === part);
}

const takeNewLease = 'Request a new lease; `coral ask` does so by itself.';

function tokenMissing(): CoralError {
  return new CoralError({
    kind: 'unauthenticated',
    reason: 'token_missing',
    message: 'The call carries no access token.',
    next: 'Send `authorization: Bearer <access token>` with the token of your lease.',
  });
}

/** One text for every way to be wrong: the caller learns nothing about which check a forgery passed. */
function tokenInvalid(cause?: unknown): CoralError {
  return new CoralError({
    kind: 'unauthenticated',
    reason: 'token_invalid',
    message: 'The access token is not valid for this colony.',
    next: takeNewLease,
    cause,
  });
}

function tokenExpired(): CoralError {
  return new CoralError({
    kind: 'unauthenticated',
    reason: 'token_expired',
    message: 'The access token has expired: its lease is over.',
    next: takeNewLease,
  });
}
