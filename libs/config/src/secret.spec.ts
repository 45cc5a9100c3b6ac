import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from './index.js';

describe('Secret', () => {
  it('prints as *** in every way a value is printed', () => {
    const secret = Secret.literal('sk-live-4242');
    const shown = [
      `${secret}`,
      String(secret),
      JSON.stringify({ secret }),
      inspect({ deep: { secret } }),
      inspect(secret, { showHidden: true, depth: 9 }),
      Object.entries(secret).join(),
      secret.source,
    ];
    for (const text of shown) expect(text).not.toContain('4242');
    expect(shown.slice(0, 3)).toEqual(['***', '***', '{"secret":"***"}']);
    expect(secret.reveal({})).toBe('sk-live-4242');
  });

  it('reads an environment variable only when it is revealed', () => {
    const secret = Secret.reference('env://MY_KEY');
    expect(secret.source).toBe('env://MY_KEY');
    expect(secret.reveal({ MY_KEY: 'k1' })).toBe('k1');
    expect(secret.reveal({ MY_KEY: 'k2' })).toBe('k2');
  });

  it.each([[{}], [{ MY_KEY: '' }]])('says which variable is missing in %j', (env) => {
    expect(() => Secret.reference('env://MY_KEY').reveal(env)).toThrow(
      expect.objectContaining({ kind: 'failed_precondition', reason: 'secret_unset', where: 'env://MY_KEY' }),
    );
  });

  it.each([
    'exec://id',
    'file:///etc/passwd',
    'https://vault/key',
    'ENV2://X',
    'env://',
    'env://A B',
    'env://$(id)',
    'plain',
  ])('refuses the reference %s', (text) => {
    expect(() => Secret.reference(text)).toThrow(
      expect.objectContaining({ kind: 'failed_precondition', reason: 'secret_scheme' }),
    );
  });

  it('takes text without a scheme for the secret itself, and never anything with one', () => {
    expect(Secret.parse('sk-1').reveal({})).toBe('sk-1');
    expect(() => Secret.parse('exec://id')).toThrow(expect.objectContaining({ reason: 'secret_scheme' }));
  });
});
