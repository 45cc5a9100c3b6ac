import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadCliConfig } from './cli-config.js';
import { planModel, writePlan, type ModelRequest } from './configure-model.js';
import type { SecretInput } from './read-secret.js';

/** A terminal at which somebody types this. */
function terminal(typed: string): SecretInput & { raw: boolean[] } {
  const stream = new PassThrough();
  const raw: boolean[] = [];
  stream.write(typed);
  return Object.assign(stream as unknown as NodeJS.ReadStream, {
    isTTY: true,
    raw,
    setRawMode(on: boolean) {
      raw.push(on);
      shown.push(on ? '<' : '>');
    },
  }) as SecretInput & { raw: boolean[] };
}

async function* pipe(text: string): AsyncGenerator<Buffer> {
  if (text !== '') yield Buffer.from(text);
}

/** What was written to the terminal; `<` and `>` where it stops and starts to show what is typed. */
const shown: string[] = [];

const custom = 'https://models.example.com/v1';

describe('configuring a model', () => {
  let directory: string;
  let paths: { config: string; credentials: string };
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coral-configure-'));
    paths = { config: join(directory, 'config.yaml'), credentials: join(directory, 'credentials.yaml') };
    shown.length = 0;
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => shown.push(String(text)) > 0);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await rm(directory, { recursive: true });
  });

  const configure = async (
    request: ModelRequest,
    { before = '', stdin = pipe('') as SecretInput, env = {} as NodeJS.ProcessEnv } = {},
  ) => {
    if (before !== '') await writeFile(paths.config, before, { mode: 0o600 });
    const { ai } = await loadCliConfig(paths.config);
    const plan = await planModel(request, ai, { paths, env, stdin });
    await writePlan(plan, paths);
    return { ...plan, config: await readFile(paths.config, 'utf8') };
  };
  const kept = () => readFile(paths.credentials, 'utf8').catch(() => '');

  it('asks for the key at a terminal, without showing it, and keeps it apart', async () => {
    const stdin = terminal('sk-typd\u007fed\r');
    const { config, found } = await configure({ provider: 'anthropic', model: 'm' }, { stdin });
    expect(config).toBe('ai:\n  provider: "anthropic"\n  model: "m"\n');
    expect(await kept()).toBe('model_keys:\n  anthropic: sk-typed\n');
    expect(found.source).toBe('credentials.yaml');
    expect(stdin.raw).toEqual([true, false]);
    expect(shown.join('')).toBe('<API key (not shown): >\n');
  });

  it('asks there too when told to read it from stdin', async () => {
    await configure({ provider: 'openai', apiKey: '-', endpoint: custom }, { stdin: terminal('k1\n') });
    expect(await kept()).toBe('model_keys:\n  openai@models.example.com: k1\n');
  });

  it('changes nothing at Ctrl-C', async () => {
    const stdin = terminal('half\u0003');
    await expect(configure({ provider: 'anthropic' }, { stdin })).rejects.toMatchObject({ kind: 'cancelled' });
    expect(await kept()).toBe('');
  });

  it.each([
    ['a key that is configured', 'ai: {provider: openai, api_key: env://OLD}\n', {}, 'env://OLD'],
    ['the usual variable’s', '', { OPENAI_API_KEY: 'k' }, 'env://OPENAI_API_KEY'],
  ])('asks for none where there is %s', async (_what, before, env, source) => {
    const { found, config } = await configure({ provider: 'openai', model: 'm' }, { before, env, stdin: terminal('') });
    expect(found.source).toBe(source);
    expect(config.includes('env://OLD')).toBe(before !== '');
    expect(await kept()).toBe('');
  });

  it('asks for none for a server of somebody else’s, and gives it no key of others', async () => {
    const before = 'ai: {provider: openai, api_key: env://OLD, model: m}\n';
    const env = { OPENAI_API_KEY: 'k', OLD: 'k' };
    const { found, config } = await configure({ provider: 'openai', endpoint: custom }, { before, env });
    expect(found).toEqual({});
    expect(config).toBe(`ai: { provider: openai, model: m, endpoint: ${custom} }\n`);
  });

  it('replaces a reference by a kept key, and a kept key by a reference', async () => {
    const before = 'ai:\n  provider: openai\n  api_key: env://OLD # there\n';
    expect((await configure({ provider: 'openai', apiKey: '-' }, { before, stdin: pipe('k2\n') })).config).toBe(
      'ai:\n  provider: openai\n',
    );
    expect((await configure({ provider: 'openai', apiKey: 'env://NEW' })).config).toBe(
      'ai:\n  provider: openai\n  api_key: "env://NEW"\n',
    );
    expect(await kept()).toBe('model_keys:\n  openai: k2\n');
  });

  it.each([
    ['two words', 'a b\n'],
    ['letters that no header takes', 'clé\n'],
  ])('refuses a key of %s', async (_what, text) => {
    const error = (await configure({ provider: 'openai', apiKey: '-' }, { stdin: pipe(text) }).catch(
      (thrown: unknown) => thrown,
    )) as Error;
    expect(error).toMatchObject({ kind: 'invalid_argument', reason: 'bad_argument', where: '--api-key' });
    expect(error.message).not.toContain(text.trim());
    expect(await kept()).toBe('');
  });
});
