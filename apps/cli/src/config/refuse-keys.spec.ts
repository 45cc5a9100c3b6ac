import { describe, expect, it } from 'vitest';
import { refuseKeysAndStrangers, refuseRest } from './refuse-keys.js';

const known = ['provider', 'api-key', 'model', 'test'];
const canary = 'sk-ant-canary-0123456789';

function refusalOf(words: string[]): { reason: string; message: string; next: string } | undefined {
  try {
    refuseKeysAndStrangers(words, known);
    return undefined;
  } catch (thrown) {
    return thrown as { reason: string; message: string; next: string };
  }
}

describe('the words of a command', () => {
  it.each([
    [[canary], 'secret_in_arguments'],
    [['--api-key', canary], 'secret_in_arguments'],
    [[`--api-key=${canary}`], 'secret_in_arguments'],
    [['--api-key=hunter2canary'], 'secret_in_arguments'],
    [[`--apikey=${canary}`], 'secret_in_arguments'],
    [['--model', canary], 'secret_in_arguments'],
    [[`--provider=${canary}`], 'secret_in_arguments'],
    [['--key', 'canary'], 'usage'],
    [['--apikey=canary'], 'usage'],
    [['--', '--api-key', canary], 'secret_in_arguments'],
  ])('never bring a key, nor have it repeated: %j', (words, reason) => {
    const error = refusalOf(words);
    expect(error).toMatchObject({ kind: 'invalid_argument', reason });
    expect(JSON.stringify(error) + error?.message + error?.next).not.toContain('canary');
  });

  it('may name flags that are, with references', () => {
    expect(
      refusalOf(['--provider', 'openai', '--api-key', 'env://K', '--api-key=-', '--test', '--help']),
    ).toBeUndefined();
  });

  it('get the nearest flag', () => {
    expect(refusalOf(['--apikey', 'env://K'])?.next).toContain('--api-key');
  });

  it('are all used', () => {
    expect(() => refuseRest(['canary'])).toThrow(/^There is an argument too many\.$/);
    expect(() => refuseRest([])).not.toThrow();
  });
});
