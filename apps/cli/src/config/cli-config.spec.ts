import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseYaml, Secret } from '@coral/config';
import { CoralError, exitCodeFor } from '@coral/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chooseColony } from './choose-colony.js';
import { cliConfigSchema, loadCliConfig } from './cli-config.js';
import { cliPaths } from './cli-paths.js';
import { keepToken, tokenFor } from './colony-credentials.js';
import { putColony, setCurrentColony } from './edit-config.js';

const fingerprint = `sha256:${'a'.repeat(64)}`;
const caught = async (work: () => unknown): Promise<CoralError> => {
  const thrown = await Promise.resolve()
    .then(work)
    .then(
      () => undefined,
      (error: unknown) => error,
    );
  expect(thrown).toBeInstanceOf(CoralError);
  return thrown as CoralError;
};

describe('the config file', () => {
  let directory: string;
  let file: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'coral-config-'));
    file = join(directory, 'config.yaml');
  });
  afterEach(() => rm(directory, { recursive: true }));
  const put = (text: string) => writeFile(file, text, { mode: 0o600 });

  it('knows every key of the published examples', async () => {
    const example = await readFile('config/cli.example.yaml', 'utf8');
    const config = parseYaml(example, 'config/cli.example.yaml', cliConfigSchema);
    expect(config).toMatchObject({
      ai: { provider: 'anthropic', model: 'claude-sonnet-5-5', max_tokens: 4096, stream: true },
      colonies: [{ id: 'my-shop-production', endpoint: 'coral.mycompany.com:41820' }],
      ephemeral: { default_ttl: 300_000, auto_cleanup: true },
    });
    const uncommented = [
      'ai: { provider: "anthropic", api_key: "env://ANTHROPIC_API_KEY", model: "claude-sonnet-4.5", temperature: 0.7 }',
      'ai: { provider: "ollama", model: "llama3.1:8b", endpoint: "http://localhost:11434", context_length: 8192 }',
      'ai: { provider: "llamacpp", model_path: "/usr/local/models/l.gguf", threads: 8, context_length: 8192 }',
      'ai: { provider: "openai", api_key: "env://OPENAI_API_KEY", model: "gpt-4-turbo", temperature: 0.7 }',
      'colonies: [{ id: "my-shop-production", endpoint: "coral.mycompany.com:41820" }]',
    ];
    for (const text of uncommented) expect(() => parseYaml(text, 'rfd', cliConfigSchema)).not.toThrow();
  });

  it('has a budget for every question, and prices of the user’s own', () => {
    const text = 'ai: {provider: openai, budget: {max_usd: 0.5}, prices: {m: {input: 1, output: 2, cache_read: 0.1}}}';
    const { ai } = parseYaml(text, 'f', cliConfigSchema);
    expect(ai?.budget).toEqual({
      max_steps: 24,
      max_tool_calls: 60,
      max_seconds: 180,
      max_stall_seconds: 90,
      max_tokens: 1_000_000,
      max_usd: 0.5,
    });
    expect(ai?.prices).toEqual({ m: { inputPerMillion: 1, outputPerMillion: 2, cacheReadPerMillion: 0.1 } });
  });

  it('is not needed: without one the defaults hold', async () => {
    expect(await loadCliConfig(file)).toMatchObject({ colonies: [], ephemeral: { auto_cleanup: true } });
  });

  it.each([
    ['an unknown key, with the nearest real one', 'ephemral:\n  default_ttl: 5m\n', 'bad_config', ':1:1', 'ephemeral'],
    ['an unknown nested key', 'ephemeral:\n  auto_clean: true\n', 'bad_config', ':2:3', 'auto_cleanup'],
    ['malformed YAML', 'ai: {provider: builtin\n', 'bad_config', ':', ''],
    ['a wrong type', 'ai:\n  provider: builtin\n  max_tokens: many\n', 'bad_config', ':3:15', 'max_tokens'],
    ['a duration that is none', 'ephemeral:\n  default_ttl: 5 parsecs\n', 'bad_config', ':2:16', 'default_ttl'],
    ['an unknown provider', 'ai:\n  provider: antropic\n', 'bad_config', ':2:13', 'anthropic'],
    ['an unknown protocol', 'ai:\n  provider: openai\n  api: batch\n', 'bad_config', ':3:8', 'responses'],
    ['an address that is none', 'ai:\n  provider: openai\n  endpoint: models\n', 'bad_config', ':3:13', 'http'],
    ['a password in it', 'ai:\n  provider: openai\n  endpoint: "https://u:p@h/v1"\n', 'bad_config', ':3:13', 'alone'],
    ['a key in it', 'ai:\n  provider: openai\n  endpoint: "https://h/v1?key=k"\n', 'bad_config', ':3:13', 'alone'],
    ['a model with spaces', 'ai:\n  provider: openai\n  model: "a b"\n', 'bad_config', ':3:10', 'spaces'],
    ['an unknown limit', 'ai:\n  provider: openai\n  budget: {max_euro: 1}\n', 'bad_config', ':3:12', 'max_'],
    ['a limit of nothing', 'ai:\n  provider: openai\n  budget: {max_usd: 0}\n', 'bad_config', ':3:21', 'max_usd'],
    ['half a price', 'ai:\n  provider: openai\n  prices: {m: {input: 1}}\n', 'bad_config', ':3:', 'output'],
    [
      'the same colony twice',
      'colonies:\n  - {id: a, endpoint: "h:1"}\n  - {id: a, endpoint: "h:2"}\n',
      'bad_config',
      ':3:10',
      'twice',
    ],
    [
      'a literal token',
      'colonies:\n  - {id: a, endpoint: "h:1", token: coral_pat_x_y}\n',
      'secret_scheme',
      ':2:37',
      'token',
    ],
    [
      'a reference that would run something',
      'ai:\n  provider: openai\n  api_key: exec://id\n',
      'secret_scheme',
      ':3:12',
      'exec',
    ],
  ])('refuses %s, says where and exits 78', async (_what, text, reason, where, word) => {
    await put(text);
    const error = await caught(() => loadCliConfig(file));
    expect(error.reason).toBe(reason);
    expect(error.where).toContain(`config.yaml${where}`);
    expect(`${error.message} ${error.next}`).toContain(word);
    expect(exitCodeFor(error.kind)).toBe(78);
    expect(`${error.message} ${error.next}`).not.toContain('coral_pat_x_y');
  });

  it('is refused when others can read it, with the command that mends it', async () => {
    await put('colonies: []\n');
    await chmod(file, 0o644);
    const error = await caught(() => loadCliConfig(file));
    expect(error).toMatchObject({ kind: 'failed_precondition', reason: 'config_not_private' });
    expect(error.next).toContain(`chmod 600 ${file}`);
  });

  it('is refused when it is a link', async () => {
    await writeFile(join(directory, 'real.yaml'), 'colonies: []\n', { mode: 0o600 });
    await symlink(join(directory, 'real.yaml'), file);
    expect(await caught(() => loadCliConfig(file))).toMatchObject({ reason: 'config_not_private' });
  });

  it('keeps comments, order and mode when a colony is added, and the first becomes current', async () => {
    await put('# mine\nai:\n  provider: builtin # no key\nephemeral: {default_ttl: 2m}\n');
    await putColony(file, { id: 'prod', endpoint: 'h:1', caFingerprint: fingerprint, tokenReference: 'env://T' });
    await putColony(file, { id: 'stage', endpoint: 'h:2', caFingerprint: fingerprint });
    await putColony(file, { id: 'prod', endpoint: 'h:3', caFingerprint: fingerprint });
    await setCurrentColony(file, 'stage');
    const text = await readFile(file, 'utf8');
    expect(text).toContain('# mine\nai:\n  provider: builtin # no key\n');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await loadCliConfig(file)).toMatchObject({
      colonies: [
        { id: 'prod', endpoint: 'h:3' },
        { id: 'stage', endpoint: 'h:2' },
      ],
      current_colony: 'stage',
      ephemeral: { default_ttl: 120_000 },
    });
    expect(text).not.toContain('env://T');
  });

  it('is never rewritten while something in it is wrong', async () => {
    await put('nonsense: 1\n');
    await caught(() => putColony(file, { id: 'prod', endpoint: 'h:1', caFingerprint: fingerprint }));
    expect(await readFile(file, 'utf8')).toBe('nonsense: 1\n');
  });

  it('keeps a given token apart, closed to others, and finds it again', async () => {
    const credentials = join(directory, 'credentials.yaml');
    await keepToken(credentials, 'prod', Secret.literal('coral_pat_1_abc'));
    await keepToken(credentials, 'stage', Secret.literal('coral_pat_2_def'));
    expect((await stat(credentials)).mode & 0o777).toBe(0o600);
    const prod = { id: 'prod', endpoint: 'h:1' };
    expect((await tokenFor(prod, credentials)).reveal()).toBe('coral_pat_1_abc');
    const referenced = { ...prod, token: Secret.reference('env://SOME_TOKEN') };
    expect((await tokenFor(referenced, credentials)).reveal({ SOME_TOKEN: 'x' })).toBe('x');
    expect(await caught(() => tokenFor({ ...prod, id: 'other' }, credentials))).toMatchObject({ reason: 'no_token' });
    await chmod(credentials, 0o640);
    expect(await caught(() => tokenFor(prod, credentials))).toMatchObject({ reason: 'config_not_private' });
  });
});

describe('the colony that is asked', () => {
  const entry = (id: string) => ({ id, endpoint: 'h:1', ca_fingerprint: fingerprint });
  const config = (ids: string[], current?: string) => ({
    ...cliConfigSchema.parse({}),
    colonies: ids.map(entry),
    ...(current ? { current_colony: current } : {}),
  });

  it('is the one of the flag, else the current one, else the only one', () => {
    expect(chooseColony(config(['a', 'b'], 'b'), 'a', 'f').id).toBe('a');
    expect(chooseColony(config(['a', 'b'], 'b'), undefined, 'f').id).toBe('b');
    expect(chooseColony(config(['a']), undefined, 'f').id).toBe('a');
  });

  it.each([
    ['none is configured', config([]), undefined, 'no_colony', 78],
    ['there are several', config(['a', 'b']), undefined, 'which_colony', 2],
    ['the name is unknown', config(['production']), 'producton', 'unknown_colony', 1],
    ['it is not pinned', { ...config([]), colonies: [{ id: 'a', endpoint: 'h:1' }] }, 'a', 'colony_not_pinned', 78],
  ])('is an error when %s', async (_when, given, asked, reason, exit) => {
    const error = await caught(() => chooseColony(given, asked, 'config.yaml'));
    expect(error.reason).toBe(reason);
    expect(exitCodeFor(error.kind)).toBe(exit);
    expect(error.next).toBeTruthy();
  });
});

describe('the places the CLI knows', () => {
  it('are below ~/.coral unless the environment says otherwise', () => {
    expect(cliPaths({ CORAL_HOME: '/h' })).toEqual({
      config: '/h/config.yaml',
      credentials: '/h/credentials.yaml',
      transcripts: '/h/transcripts',
      notices: '/h/notices.yaml',
      adminSocket: '/h/colony/admin.sock',
    });
    const moved = cliPaths({ CORAL_HOME: '/h', CORAL_CONFIG: '/c/my.yaml', XDG_STATE_HOME: '/s' });
    expect(moved).toMatchObject({ config: '/c/my.yaml', credentials: '/c/credentials.yaml' });
    expect(moved).toMatchObject({ transcripts: '/s/coral/transcripts', notices: '/s/coral/notices.yaml' });
  });
});
