import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashToken, newApiToken, newJoinToken, parseToken, tokenMatches } from './opaque-token.js';

describe('API and join tokens', () => {
  it('says its kind and id, and matches only its own hash', () => {
    const api = newApiToken();
    const join = newJoinToken();
    expect(api.token).toMatch(/^coral_pat_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$/);
    expect(join.token).toMatch(/^coral_join_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}$/);
    expect(parseToken(api.token)).toEqual({ kind: 'pat', id: api.id });
    expect(parseToken(join.token)).toEqual({ kind: 'join', id: join.id });
    expect(api.hash).toBe(hashToken(api.token));
    expect(tokenMatches(api.token, api.hash)).toBe(true);
    expect(tokenMatches(join.token, api.hash)).toBe(false);
  });

  it('keeps nothing of the secret in what is stored', () => {
    const { id, token, hash } = newApiToken();
    const secret = token.slice(`coral_pat_${id}_`.length);
    expect(`${id} ${hash}`).not.toContain(secret);
  });

  it('has at least 160 bits that never repeat', () => {
    const secrets = Array.from({ length: 2_000 }, () => newApiToken().token.split('_')[3]?.slice(0, 32) ?? '');
    expect(new Set(secrets).size).toBe(2_000);
    // Every letter at every place: 62^32 is 190 bits, but only when all of it is used.
    for (let place = 0; place < 32; place++) {
      expect(new Set(secrets.map((secret) => secret.charAt(place))).size).toBe(62);
    }
  });

  it('notices every slip of one character', () => {
    const { token } = newApiToken();
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, letter) => {
        const typed = token.slice(0, at) + letter + token.slice(at + 1);
        expect(parseToken(typed) === undefined).toBe(typed !== token);
        expect(tokenMatches(typed, hashToken(token))).toBe(typed === token);
      }),
    );
  });

  it.each(['', 'coral_pat_', 'coral_root_abcdefghijkl_0', ' ' + newApiToken().token, newApiToken().token + '\n'])(
    'is not a token: %j',
    (text) => {
      expect(parseToken(text)).toBeUndefined();
    },
  );

  it.each(['', 'sha256:', 'md5:abc', 'x'.repeat(71), '\u{1F511}'.repeat(30)])('matches no damaged hash: %j', (hash) => {
    expect(tokenMatches(newApiToken().token, hash)).toBe(false);
  });
});
