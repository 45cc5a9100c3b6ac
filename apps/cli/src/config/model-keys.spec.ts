import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Secret } from '@coral/config';
import { exitCodeFor, type CoralError } from '@coral/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepToken } from './colony-credentials.js';
import { checkKey, findKey, keepModelKey, type KeyOwner } from './model-keys.js';

const referenced = Secret.reference('env://MINE');
const own: KeyOwner = { provider: 'openai' };
const region: KeyOwner = { provider: 'openai', endpoint: 'https://eu.api.openai.com/v1' };
const elsewhere: KeyOwner = { provider: 'openai', endpoint: 'https://models.example.com/v1' };
const other: KeyOwner = { provider: 'openai', endpoint: 'https://others.example.com/v1' };
const env = { OPENAI_API_KEY: 'usual', MINE: 'mine' };

describe('the key of a model', () => {
  let directory: string;
  let credentials: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coral-model-keys-'));
    credentials = join(directory, 'credentials.yaml');
  });
  afterEach(() => rm(directory, { recursive: true }));
  const found = async (owner: KeyOwner) => {
    const { key, source } = await findKey(owner, { credentials, env });
    return { key: key?.reveal(env), source };
  };

  it('is the config’s own, else the one that was kept, else that of the usual variable', async () => {
    expect(await found(own)).toEqual({ key: 'usual', source: 'env://OPENAI_API_KEY' });
    await keepModelKey(credentials, own, Secret.literal('kept'));
    expect(await found(own)).toEqual({ key: 'kept', source: 'credentials.yaml' });
    expect(await found({ ...own, api_key: referenced })).toEqual({ key: 'mine', source: 'env://MINE' });
    expect(await found({ ...own, api_key: Secret.literal('here') })).toEqual({ key: 'here', source: 'config.yaml' });
  });

  it('goes to nobody but the server it was given for', async () => {
    await keepModelKey(credentials, own, Secret.literal('kept'));
    expect((await found(region)).key).toBe('kept');
    expect((await found(elsewhere)).key).toBeUndefined();
    expect((await found({ provider: 'anthropic' })).key).toBeUndefined();
    await keepModelKey(credentials, elsewhere, Secret.literal('theirs'));
    expect((await found(elsewhere)).key).toBe('theirs');
    expect((await found(other)).key).toBeUndefined();
    expect((await found(own)).key).toBe('kept');
  });

  it('is kept beside colony tokens, closed to others', async () => {
    await keepToken(credentials, 'prod', Secret.literal('token'));
    await writeFile(credentials, `# mine\n${await readFile(credentials, 'utf8')}`);
    await keepModelKey(credentials, elsewhere, Secret.literal('theirs'));
    expect(await readFile(credentials, 'utf8')).toBe(
      '# mine\ntokens:\n  prod: token\nmodel_keys:\n  openai@models.example.com: theirs\n',
    );
    expect((await stat(credentials)).mode & 0o777).toBe(0o600);
  });

  const refusal = (owner: KeyOwner, key?: Secret, environment: NodeJS.ProcessEnv = env): CoralError | undefined => {
    try {
      checkKey(owner, key ? { key } : {}, environment);
      return undefined;
    } catch (thrown) {
      return thrown as CoralError;
    }
  };

  it.each<[string, KeyOwner, Secret | undefined, string]>([
    ['the usual one', own, undefined, 'OPENAI_API_KEY'],
    ['the one that is referred to', own, referenced, 'MINE'],
    ['that of another server', elsewhere, referenced, 'MINE'],
  ])('is missed by name, with two ways to mend it: %s', (_what, owner, key, variable) => {
    const error = refusal(owner, key, {});
    expect(error).toMatchObject({ reason: 'secret_unset', where: `env://${variable}` });
    expect(error?.message).toContain(variable);
    expect(error?.next).toContain(`export ${variable}=…`);
    expect(error?.next).toContain('coral llm configure --provider openai');
    expect(error && exitCodeFor(error.kind)).toBe(78);
  });

  it.each<[KeyOwner, Secret | undefined]>([
    [{ provider: 'builtin' }, undefined],
    [elsewhere, undefined],
    [{ provider: 'openai', endpoint: 'http://localhost:8000/v1' }, referenced],
    [{ provider: 'openai', endpoint: 'http://gpu.example.com:8000/v1' }, undefined],
    [own, referenced],
  ])('is right, or not needed (%#)', (owner, key) => {
    expect(refusal(owner, key)).toBeUndefined();
  });

  it('is not sent where everybody on the way could read it', () => {
    const error = refusal({ provider: 'openai', endpoint: 'http://gpu.example.com:8000/v1' }, referenced);
    expect(error).toMatchObject({ kind: 'failed_precondition', reason: 'insecure_endpoint' });
  });
});
