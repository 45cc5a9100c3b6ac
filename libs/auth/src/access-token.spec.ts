import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CoralError } from '@coral/errors';
import type { AgentId, KeyId, UserId } from '@coral/model';
import { AccessTokens, maxAccessTokenLength, maxAccessTokenSeconds } from './access-token.js';
import type { Audience, MeshGrant, PublicGrant } from './access-token.js';

const now = Date.parse('2026-11-21T12:00:00.250Z');
const second = Math.floor(now / 1_000);
const clock = { now: () => now, monotonic: () => 0 };
const grant: MeshGrant = {
  userId: 'alex' as UserId,
  agentId: 'eph-abcdefghijklmnop' as AgentId,
  keyId: 'k'.repeat(43) as KeyId,
  permissions: ['read:metrics', 'read:health'],
  expiresAt: now + 300_000,
};

let directory: string;
let keyFile: string;
let tokens: AccessTokens;
let key: KeyObject;
let kid: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coral-auth-'));
  keyFile = join(directory, 'keys', 'access-token.jwk');
  tokens = await AccessTokens.open({ keyFile, colonyId: 'reef-1', clock });
  key = createPrivateKey({ key: JSON.parse(await readFile(keyFile, 'utf8')), format: 'jwk' });
  kid = headerOf(await tokens.issue(grant)).kid as string;
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

function headerOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
}

const goodClaims = () => ({
  iss: 'coral-colony:reef-1',
  aud: 'coral-mesh:reef-1',
  sub: 'alex',
  agent_id: 'eph-abcdefghijklmnop',
  cnf: { wg: 'k'.repeat(43) },
  permissions: ['read:metrics'],
  iat: second,
  exp: second + 300,
  jti: 'j-1',
});
const goodHeader = () => ({ alg: 'EdDSA', typ: 'at+jwt', kid });

const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** A token with any header and payload, truly signed with the colony's own key unless told otherwise. */
function forge(header: unknown, payload: unknown, signer?: (input: string) => Buffer): string {
  const input = `${encode(header)}.${encode(payload)}`;
  const signature = signer ? signer(input) : sign(null, Buffer.from(input), key);
  return `${input}.${signature.toString('base64url')}`;
}

async function reasonOf(token: string, at = now, audience: Audience = 'mesh'): Promise<string> {
  return await tokens.verify(token, at, audience).then(
    () => 'accepted',
    (error: unknown) => (error instanceof CoralError && error.kind === 'unauthenticated' ? error.reason : `${error}`),
  );
}

describe('access tokens', () => {
  it('come back as they were granted, ending with the second of the lease', async () => {
    const claims = await tokens.verify(await tokens.issue(grant), now);
    expect(claims).toEqual({
      ...grant,
      colonyId: 'reef-1',
      scope: undefined,
      expiresAt: Math.floor(grant.expiresAt / 1_000) * 1_000,
      tokenId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(claims.expiresAt).toBeLessThanOrEqual(grant.expiresAt);
  });

  it('carry the published header and claims', async () => {
    const token = await tokens.issue(grant);
    expect(headerOf(token)).toEqual({ alg: 'EdDSA', typ: 'at+jwt', kid: expect.stringMatching(/^[\w-]{43}$/) });
    expect(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())).toEqual({
      ...goodClaims(),
      permissions: grant.permissions,
      jti: expect.any(String),
    });
    expect(token.length).toBeLessThan(1_024);
  });

  it('accept the hand-made good token, so that every refusal below has one cause', async () => {
    expect(await reasonOf(forge(goodHeader(), goodClaims()))).toBe('accepted');
  });

  it('end exactly at exp, without leeway', async () => {
    const token = forge(goodHeader(), goodClaims());
    expect(await reasonOf(token, (second + 300) * 1_000 - 1)).toBe('accepted');
    expect(await reasonOf(token, (second + 300) * 1_000)).toBe('token_expired');
    expect(await reasonOf(token, (second + 86_400) * 1_000)).toBe('token_expired');
  });

  it('do not count before they were issued, so a clock that steps back refuses', async () => {
    const token = forge(goodHeader(), goodClaims());
    expect(await reasonOf(token, second * 1_000)).toBe('accepted');
    expect(await reasonOf(token, second * 1_000 - 1)).toBe('token_invalid');
  });

  it('say the same the second time, whatever a caller did to the first answer', async () => {
    const token = await tokens.issue(grant);
    const first = await tokens.verify(token, now);
    const told = structuredClone(first);
    first.permissions.push('read:audit');
    expect(await tokens.verify(token, now)).toEqual(told);
  });

  it('are missing when empty', async () => {
    expect(await reasonOf('')).toBe('token_missing');
  });

  const foreign = generateKeyPairSync('ed25519').privateKey;
  const publicPem = () => createPublicKey(key).export({ format: 'pem', type: 'spki' });
  const publicRaw = () => Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url');
  const foreignSign = (input: string) => sign(null, Buffer.from(input), foreign);
  const hs256 = (secret: () => string | Buffer) => (input: string) =>
    createHmac('sha256', secret()).update(input).digest();
  const claims = (change: Record<string, unknown>) => () => forge(goodHeader(), { ...goodClaims(), ...change });
  const header = (change: Record<string, unknown>) => () => forge({ ...goodHeader(), ...change }, goodClaims());
  const without = (name: keyof ReturnType<typeof goodClaims>) => () => {
    const { [name]: _, ...rest } = goodClaims();
    return forge(goodHeader(), rest);
  };

  const hostile: [string, () => string][] = [
    ['alg none, no signature', () => forge({ ...goodHeader(), alg: 'none' }, goodClaims(), () => Buffer.alloc(0))],
    ['alg None, signed', header({ alg: 'None' })],
    [
      'HS256 with the public key as PEM',
      () => forge({ ...goodHeader(), alg: 'HS256' }, goodClaims(), hs256(publicPem)),
    ],
    ['HS256 with the raw public key', () => forge({ ...goodHeader(), alg: 'HS256' }, goodClaims(), hs256(publicRaw))],
    [
      'HS256 with an empty key',
      () =>
        forge(
          { ...goodHeader(), alg: 'HS256' },
          goodClaims(),
          hs256(() => ''),
        ),
    ],
    ['alg Ed25519, not the pinned name', header({ alg: 'Ed25519' })],
    ['alg missing', header({ alg: undefined })],
    ["another key's signature", () => forge(goodHeader(), goodClaims(), foreignSign)],
    [
      'embedded jwk of the forger',
      () =>
        forge({ ...goodHeader(), jwk: createPublicKey(foreign).export({ format: 'jwk' }) }, goodClaims(), foreignSign),
    ],
    ['jku', header({ jku: 'http://127.0.0.1:1/keys' })],
    ['x5u', header({ x5u: 'http://127.0.0.1:1/chain' })],
    ['x5c', header({ x5c: ['AA=='] })],
    ['crit', header({ crit: ['exp'] })],
    ['crit b64', header({ crit: ['b64'], b64: false })],
    ['wrong kid', header({ kid: 'other' })],
    ['kid missing', header({ kid: undefined })],
    ['kid as path', header({ kid: '../../../dev/null' })],
    ['wrong typ', header({ typ: 'JWT' })],
    ['typ missing', header({ typ: undefined })],
    ['wrong issuer', claims({ iss: 'coral-colony:reef-2' })],
    ['wrong audience', claims({ aud: 'coral-mesh:reef-2' })],
    ['two audiences', claims({ aud: ['coral-mesh:reef-1', 'coral-mesh:reef-2'] })],
    ['audience in a list', claims({ aud: ['coral-mesh:reef-1'] })],
    ['a second too long', claims({ exp: second + maxAccessTokenSeconds + 1 })],
    ['a scope, which only public tokens have', claims({ scope: 'read:health' })],
    ['exp as text', claims({ exp: String(second + 300) })],
    ['exp 1e99', () => forge(goodHeader(), JSON.stringify(goodClaims()).replace(/"exp":\d+/, '"exp":1e99'))],
    ['exp 1e999', () => forge(goodHeader(), JSON.stringify(goodClaims()).replace(/"exp":\d+/, '"exp":1e999'))],
    ['exp NaN', () => forge(goodHeader(), JSON.stringify(goodClaims()).replace(/"exp":\d+/, '"exp":NaN'))],
    ['exp fraction', claims({ exp: second + 300.5 })],
    ['exp null', claims({ exp: null })],
    ['exp list', claims({ exp: [second + 300] })],
    ['iat in the future', claims({ iat: second + 1 })],
    ['iat as text', claims({ iat: '0' })],
    ['nbf in the future', claims({ nbf: second + 1 })],
    ['nbf as text', claims({ nbf: '0' })],
    ['cnf of another kind', claims({ cnf: { jkt: 'k' } })],
    ['cnf empty', claims({ cnf: { wg: '' } })],
    ['subject empty', claims({ sub: '' })],
    ['permission unknown', claims({ permissions: ['write:everything'] })],
    ['permissions as text', claims({ permissions: 'read:metrics' })],
    ['a claim too many', claims({ admin: true })],
    ['payload a list', () => forge(goodHeader(), [])],
    ['payload null', () => forge(goodHeader(), null)],
    ['payload not JSON', () => forge(goodHeader(), '{')],
    ['prototype in the payload', () => forge(goodHeader(), '{"__proto__":{"exp":9999999999}}')],
    ['no signature part', () => forge(goodHeader(), goodClaims()).split('.').slice(0, 2).join('.')],
    ['empty signature', () => forge(goodHeader(), goodClaims(), () => Buffer.alloc(0))],
    ['five parts', () => `${forge(goodHeader(), goodClaims())}.a.b`],
    ['truncated by one', () => forge(goodHeader(), goodClaims()).slice(0, -1)],
    ['padded', () => `${forge(goodHeader(), goodClaims())}==`],
    ['with a line end', () => `${forge(goodHeader(), goodClaims())}\n`],
    ['with Bearer before it', () => `Bearer ${forge(goodHeader(), goodClaims())}`],
    ['too long', () => 'a'.repeat(maxAccessTokenLength + 1)],
    ...(['iss', 'aud', 'sub', 'agent_id', 'cnf', 'permissions', 'iat', 'exp', 'jti'] as const).map(
      (name): [string, () => string] => [`${name} missing`, without(name)],
    ),
  ];

  it.each(hostile)('refuses: %s', async (_name, make) => {
    expect(await reasonOf(make())).toBe('token_invalid');
  });

  it('refuses 1,000 random mutations, and every prefix', async () => {
    const token = await tokens.issue(grant);
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \0';
    let state = 20_261_121;
    const random = (below: number): number => {
      // Lehmer's generator: the same mutations in every run.
      state = (state * 48_271) % 2_147_483_647;
      return state % below;
    };
    let tried = 0;
    while (tried < 1_000) {
      const at = random(token.length);
      const letter = letters.charAt(random(letters.length));
      const changes = [
        token.slice(0, at) + letter + token.slice(at + 1),
        token.slice(0, at) + token.slice(at + 1 + random(3)),
        token.slice(0, at) + letter + token.slice(at),
      ];
      const changed = changes[random(3)] as string;
      if (changed === token) continue;
      tried++;
      expect([changed, await reasonOf(changed)]).toEqual([changed, 'token_invalid']);
    }
    for (let length = 1; length < token.length; length += 7) {
      expect(await reasonOf(token.slice(0, length))).toBe('token_invalid');
    }
  });

  it('of another colony with the same key do not count, and no time means no access', async () => {
    const other = await AccessTokens.open({ keyFile, colonyId: 'reef-2', clock });
    expect(await reasonOf(await other.issue(grant))).toBe('token_invalid');
    expect(await reasonOf(await tokens.issue(grant), Number.NaN)).toBe('token_invalid');
  });

  it('cannot be issued without an end or without a key', async () => {
    await expect(tokens.issue({ ...grant, expiresAt: Number.NaN })).rejects.toThrow('exp');
    await expect(tokens.issue({ ...grant, expiresAt: Number.POSITIVE_INFINITY })).rejects.toThrow('exp');
    await expect(tokens.issue({ ...grant, keyId: '' as KeyId })).rejects.toThrow('wg');
  });
});

describe('public access tokens', () => {
  const resource = 'https://colony.test:41820/mcp';
  const { keyId: _, ...facts } = grant;
  const publicGrant: PublicGrant = { ...facts, agentId: 'pub-abcdefghijklmnop' as AgentId, resource };
  const { cnf: __, ...rest } = goodClaims();
  const publicClaims = { ...rest, aud: resource };
  const forged = (change: Record<string, unknown>) => forge(goodHeader(), { ...publicClaims, ...change });

  it('have no key, and count at their resource only', async () => {
    const token = await tokens.issue(publicGrant);
    expect(await tokens.verify(token, now, { resource })).toMatchObject({
      userId: 'alex',
      agentId: 'pub-abcdefghijklmnop',
      keyId: undefined,
      scope: undefined,
    });
    for (const other of ['https://colony.test:41820/', `${resource}/`, 'https://COLONY.test:41820/mcp', '']) {
      expect(await reasonOf(token, now, { resource: other })).toBe('token_invalid');
    }
    expect(await reasonOf(token)).toBe('token_invalid');
    expect(await reasonOf(await tokens.issue(grant), now, { resource })).toBe('token_invalid');
  });

  it('may be limited to a scope, in known words', async () => {
    const limited = await tokens.issue({ ...publicGrant, scope: ['read:health', 'read:events'] });
    expect((await tokens.verify(limited, now, { resource })).scope).toEqual(['read:health', 'read:events']);
    await expect(tokens.issue({ ...publicGrant, scope: [] })).rejects.toThrow('scope');
  });

  it('accept the hand-made good token, so that every refusal below has one cause', async () => {
    expect(await reasonOf(forged({}), now, { resource })).toBe('accepted');
    expect(await reasonOf(forged({ exp: second + maxAccessTokenSeconds }), now, { resource })).toBe('accepted');
  });

  it.each<[string, Record<string, unknown>]>([
    ['a key', { cnf: { wg: 'k'.repeat(43) } }],
    ['no end', { exp: undefined }],
    ['an end a second too late', { exp: second + maxAccessTokenSeconds + 1 }],
    ['both doors', { aud: [resource, 'coral-mesh:reef-1'] }],
    ['an unknown scope', { scope: 'read:health write:everything' }],
    ['all scopes in a star', { scope: '*' }],
    ['an empty scope', { scope: '' }],
    ['scopes in a list', { scope: ['read:health'] }],
  ])('refuses one with %s', async (_name, change) => {
    expect(await reasonOf(forged(change), now, { resource })).toBe('token_invalid');
  });
});

describe('the signing key', () => {
  it('is a 0600 file that later starts use again', async () => {
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600);
    const again = await AccessTokens.open({ keyFile, colonyId: 'reef-1', clock });
    expect((await again.verify(await tokens.issue(grant), now)).userId).toBe('alex');
  });

  it('is one key even when many start at once', async () => {
    const file = join(directory, 'race', 'key.jwk');
    const all = await Promise.all(
      Array.from({ length: 12 }, () => AccessTokens.open({ keyFile: file, colonyId: 'reef-1', clock })),
    );
    const token = await all[0]?.issue(grant);
    for (const one of all) expect((await one.verify(token ?? '', now)).userId).toBe('alex');
  });

  const refusal = async (file: string) =>
    await AccessTokens.open({ keyFile: file, colonyId: 'reef-1' }).then(
      () => 'opened',
      (error: unknown) =>
        error instanceof CoralError ? `${error.reason}: ${error.message} ${error.next}` : `${error}`,
    );

  it('is refused when others can read it, or when it is not the file itself', async () => {
    const wide = join(directory, 'wide.jwk');
    await writeFile(wide, await readFile(keyFile), { mode: 0o600 });
    await chmod(wide, 0o640);
    expect(await refusal(wide)).toContain(`key_not_private: The key file ${wide} can be read by others (mode 0640)`);
    expect(await refusal(wide)).toContain(`chmod 600 ${wide}`);
    const symbolic = join(directory, 'symbolic.jwk');
    await symlink(keyFile, symbolic);
    expect(await refusal(symbolic)).toContain('is a symbolic link');
    expect(await refusal(directory)).toContain('is not a regular file');
  });

  it.each([
    ['empty', ''],
    ['half', '{"kty":"OKP","crv":"Ed255'],
    ['a public key only', () => JSON.stringify(createPublicKey(key).export({ format: 'jwk' }))],
    [
      'of another kind',
      () => JSON.stringify(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })),
    ],
    ['huge', ' '.repeat(100_000)],
  ])('that is damaged (%s) refuses the start and is never replaced', async (name, text) => {
    const file = join(directory, `damaged-${name.replaceAll(' ', '-')}.jwk`);
    const content = typeof text === 'string' ? text : text();
    await writeFile(file, content, { mode: 0o600 });
    expect(await refusal(file)).toMatch(/^key_damaged: .*Restore it from a backup/);
    expect(await readFile(file, 'utf8')).toBe(content);
  });

  it('leaves no temporary file behind', async () => {
    const file = join(directory, 'tidy', 'key.jwk');
    await AccessTokens.open({ keyFile: file, colonyId: 'reef-1' });
    expect(await readdir(join(directory, 'tidy'))).toEqual(['key.jwk']);
  });
});
