import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AnthropicServer, callTools, ModelScript, OpenAiServer, say, type ScriptStep } from '@coral/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ColonyDouble } from '../apps/cli/src/testing/colony-double.js';
import { openDouble, type Ended, type Laptop } from './support/laptop.js';

const canary = 'sk-canary-7f3a91c2d4';
const mine =
  '# mine\nai:\n    provider: "anthropic"     # which\n    # warm\n    temperature: 0.7\n    stream: false\n';

/** Calls the tool it is told to call, and answers with what came back: a model that does what it should. */
const obedient: readonly ScriptStep[] = [
  ({ question }) => callTools(['coral_echo', { word: /the word (\w+)/.exec(question)?.[1] ?? '' }]),
  ({ results }) => say(/"receipt":"(\w+)"/.exec(results[0]?.text ?? '')?.[1] ?? 'nothing came back'),
];

describe('coral llm', () => {
  let colony: ColonyDouble;
  let laptop: Laptop;
  let servers: OpenAiServer[];

  beforeEach(async () => {
    servers = [];
    ({ colony, laptop } = await openDouble());
  });
  afterEach(async () => {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    await laptop[Symbol.asyncDispose]();
    await colony[Symbol.asyncDispose]();
  });

  const put = (text: string) => writeFile(laptop.config, text, { mode: 0o600 });
  const config = () => readFile(laptop.config, 'utf8');
  const credentials = () => join(laptop.home, '.coral', 'credentials.yaml');
  const configure = (args: string[], env: NodeJS.ProcessEnv = {}, stdin = ''): Promise<Ended> =>
    laptop.coral(['llm', 'configure', ...args], env, stdin);
  const serve = async (steps: readonly ScriptStep[], key?: string): Promise<OpenAiServer> => {
    const server = await OpenAiServer.start(new ModelScript(steps, true), key);
    servers.push(server);
    return server;
  };

  it('configures by reference, byte for byte, and changes nothing else', async () => {
    await put(`${mine}colonies: [ {id:  a,   endpoint: "h:1"} ]   # odd\n`);
    const args = ['--provider', 'anthropic', '--api-key', 'env://MY_KEY', '--model', 'claude-sonnet-5-5'];
    const done = await configure(args, { MY_KEY: canary });
    expect(done).toMatchObject({ code: 0, stdout: '' });
    expect(done.stderr).toBe(
      `Configured in ${laptop.config}: anthropic, model claude-sonnet-5-5, key from env://MY_KEY.\n`,
    );
    expect(await config()).toBe(
      '# mine\nai:\n    provider: "anthropic"     # which\n    api_key: "env://MY_KEY"\n    model: "claude-sonnet-5-5"\n' +
        '    # warm\n    temperature: 0.7\n    stream: false\ncolonies: [ {id:  a,   endpoint: "h:1"} ]   # odd\n',
    );
    expect((await stat(laptop.config)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(laptop.home, '.coral'))).toEqual(['config.yaml']);
  });

  it('makes the file when there is none, and says what is still missing', async () => {
    await rm(laptop.config);
    const done = await configure(['--provider', 'anthropic', '--api-key', 'env://ANTHROPIC_API_KEY']);
    expect(done.code).toBe(0);
    expect(done.stderr).toContain('ANTHROPIC_API_KEY is not set in this shell');
    expect(done.stderr).toContain('No model is chosen');
    expect(await config()).toBe('ai:\n  provider: "anthropic"\n  api_key: "env://ANTHROPIC_API_KEY"\n');
    expect((await stat(laptop.config)).mode & 0o777).toBe(0o600);
  });

  it('drops what was for the former provider, and says so', async () => {
    await put(mine);
    const done = await configure(['--provider', 'openai', '--model', 'gpt-5.5'], { OPENAI_API_KEY: canary });
    expect(done).toMatchObject({ code: 0 });
    expect(done.stderr).toContain('key from env://OPENAI_API_KEY');
    expect(done.stderr).toContain('Removed from the ai block: temperature.');
    expect(await config()).toBe(
      '# mine\nai:\n    provider: "openai"     # which\n    model: "gpt-5.5"\n    # warm\n    stream: false\n',
    );
  });

  it('keeps a piped key beside the config, never in it, and uses it', async () => {
    const server = await serve(obedient, canary);
    await put('ai: {provider: openai, api_key: env://OLD}\n');
    const args = ['--provider', 'openai', '--model', 'm-1', '--endpoint', server.endpoint, '--api-key', '-'];
    expect((await configure(args, {}, `${canary}\nmore\n`)).code).toBe(0);
    expect(await config()).not.toContain(canary);
    expect(await config()).not.toContain('OLD');
    const host = new URL(server.endpoint).host;
    expect(await readFile(credentials(), 'utf8')).toBe(`model_keys:\n  openai@${host}: ${canary}\n`);
    expect((await stat(credentials())).mode & 0o777).toBe(0o600);
    const tested = await configure(['--test']);
    expect(tested).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^ok: m-1 called the tool and answered · /),
    });
    expect(server.refusals).toEqual([]);
  });

  it.each([
    ['as the flag’s value', ['--api-key', canary]],
    ['joined to it', [`--api-key=${canary}`]],
    ['with no known beginning', ['--api-key=canary-hunter2']],
    ['as a stray word', [canary]],
    ['behind a flag that is none', [`--apikey=${canary}`]],
    ['as a model', ['--model', canary]],
  ])('refuses a key on the command line: %s', async (_where, args) => {
    await put(mine);
    for (const json of [[], ['--json']]) {
      const { code, stdout, stderr } = await configure(['--provider', 'openai', ...args, ...json]);
      expect(code).toBe(2);
      expect(stderr).toContain('secret_in_arguments');
      expect(stderr).toContain('env://');
      expect(stdout + stderr).not.toContain('canary');
    }
    expect(await config()).toBe(mine);
    expect(await readdir(join(laptop.home, '.coral'))).toEqual(['config.yaml']);
  });

  it.each([
    ['no provider', [], 'no_provider_given', 2, /--provider/],
    ['an unknown provider', ['--provider', 'opena'], 'unknown_provider', 2, /openai/],
    ['one that cannot be used yet', ['--provider', 'google'], 'provider_unusable', 78, /builtin/],
    ['no key', ['--provider', 'openai'], 'no_key_given', 2, /env:\/\/OPENAI_API_KEY.*--api-key -/],
    ['an empty pipe', ['--provider', 'openai', '--api-key', '-'], 'no_key_given', 2, /--api-key/],
    [
      'a scheme that would run something',
      ['--provider', 'openai', '--api-key', 'exec://id'],
      'secret_scheme',
      78,
      /env:/,
    ],
    ['an address that is none', ['--provider', 'openai', '--endpoint', 'models'], 'bad_argument', 2, /--help/],
    ['a password in it', ['--provider', 'openai', '--endpoint', 'https://u:canary@h/v1'], 'bad_argument', 2, /--help/],
    ['a model with spaces', ['--provider', 'openai', '--model', 'a b'], 'bad_argument', 2, /--help/],
    ['another protocol', ['--provider', 'openai', '--api', 'canary'], 'bad_argument', 2, /--help/],
    ['a protocol of another', ['--provider', 'anthropic', '--api', 'chat'], 'bad_argument', 2, /--help/],
    ['a key for builtin', ['--provider', 'builtin', '--api-key', 'env://K'], 'bad_argument', 2, /--help/],
    ['a word too many', ['--provider', 'builtin', 'canary'], 'usage', 2, /--help/],
    ['a flag that is none', ['--provider', 'builtin', '--modell=canary'], 'usage', 2, /--model/],
    [
      'a key over plain HTTP',
      ['--provider', 'openai', '--api-key', 'env://K', '--endpoint', 'http://gpu.example.com/v1'],
      'insecure_endpoint',
      78,
      /https/,
    ],
  ])('refuses %s, and writes nothing', async (_what, args, reason, code, next) => {
    await put(mine);
    const done = await configure(args);
    expect({ code: done.code, stdout: done.stdout }).toEqual({ code, stdout: '' });
    expect(done.stderr).toMatch(new RegExp(`^error: ${reason}: `, 'm'));
    expect(/^next: (.*)/ms.exec(done.stderr)?.[1] ?? '').toMatch(next);
    expect(done.stderr).not.toContain('canary');
    expect(await config()).toBe(mine);
    expect(await readdir(join(laptop.home, '.coral'))).toEqual(['config.yaml']);
  });

  it('refuses a config that is a link, wrong, or open to others, and leaves it as it is', async () => {
    const args = ['--provider', 'builtin'];
    await put('nonsense: 1\n');
    expect(await configure(args)).toMatchObject({ code: 78, stderr: expect.stringContaining('bad_config') });
    expect(await config()).toBe('nonsense: 1\n');
    await put(mine);
    await chmod(laptop.config, 0o644);
    expect(await configure(args)).toMatchObject({ code: 78, stderr: expect.stringContaining('config_not_private') });
    await rm(laptop.config);
    const real = join(laptop.home, 'real.yaml');
    await writeFile(real, mine, { mode: 0o600 });
    await symlink(real, laptop.config);
    expect(await configure(args)).toMatchObject({ code: 78, stderr: expect.stringContaining('config_not_private') });
    expect(await readFile(real, 'utf8')).toBe(mine);
  });

  describe('--test', () => {
    const at = (server: OpenAiServer) => ['--provider', 'openai', '--model', 'm-1', '--endpoint', server.endpoint];

    it('has the model call a tool, and then writes', async () => {
      const server = await serve(obedient);
      await put(mine);
      const done = await configure([...at(server), '--test']);
      expect(done.code).toBe(0);
      expect(done.stdout).toMatch(
        /^ok: m-1 called the tool and answered · [\d.]+k? in \/ \d+ out tokens · \$0\.00 · \d+\.\d s\n$/,
      );
      expect(server.requests.map(({ path }) => path)).toEqual(['/v1/chat/completions', '/v1/chat/completions']);
      expect(await config()).toContain(`endpoint: "${server.endpoint}"`);
      const json = await configure([...at(await serve(obedient)), '--test', '--json']);
      expect(JSON.parse(json.stdout)).toMatchObject({
        provider: 'openai',
        model: 'm-1',
        key: { source: null },
        removed: [],
        test: { ok: true, cost_usd: 0, usage: { input_tokens: expect.any(Number) }, seconds: expect.any(Number) },
      });
    });

    it('has a model of Anthropic’s protocol call it too, with its key, and one of Responses', async () => {
      await using claude = await AnthropicServer.start(new ModelScript(obedient), canary);
      const args = ['--provider', 'anthropic', '--endpoint', claude.url, '--model', 'claude-sonnet-5-5'];
      const first = await configure([...args, '--api-key', '-', '--test'], {}, canary);
      expect(first).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ok: claude-sonnet-5-5 called the tool/) });
      expect(claude.refusals).toEqual([]);
      expect(first.stdout + first.stderr + (await config())).not.toContain(canary);
      const server = await serve(obedient, canary);
      const second = await configure([...at(server), '--api', 'responses', '--api-key', 'env://K', '--test'], {
        K: canary,
      });
      expect(second).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ok: m-1 called the tool/) });
      expect(server.requests.map(({ path }) => path)).toEqual(['/v1/responses', '/v1/responses']);
      expect(await config()).toContain('api: "responses"');
    });

    it.each<[string, ScriptStep, string, RegExp]>([
      ['refuses the key', { fault: 'status', status: 401 }, 'provider_unauthorized', /key/],
      ['does not know the model', { fault: 'status', status: 404 }, 'provider_refused', /model/],
      ['is no API at all', { fault: 'html' }, 'provider_protocol', /endpoint/],
      ['calls no tool', say('All is well.'), 'model_calls_no_tools', /call tools/],
      [
        'invents what the tool said',
        (request) => (request.index === 0 ? (obedient[0] as (r: typeof request) => never)(request) : say('c0ffee')),
        'model_ignores_tools',
        /another model/,
      ],
    ])('exits 5 when the server %s, and writes nothing', async (_what, step, reason, next) => {
      const server = await serve([step]);
      await put(mine);
      const done = await configure([...at(server), '--test']);
      expect({ code: done.code, stdout: done.stdout }).toEqual({ code: 5, stdout: '' });
      expect(done.stderr).toMatch(new RegExp(`^error: ${reason}: `, 'm'));
      expect(/^next: (.*)/ms.exec(done.stderr)?.[1] ?? '').toMatch(next);
      expect(await config()).toBe(mine);
    });

    it('exits 78 when something is missing, before anybody is asked', async () => {
      const server = await serve(obedient);
      await put(mine);
      const unset = await configure([...at(server), '--api-key', 'env://UNSET', '--test']);
      expect(unset).toMatchObject({ code: 78, stderr: expect.stringContaining('error: secret_unset: ') });
      const args = ['--provider', 'openai', '--endpoint', server.endpoint, '--test'];
      const nameless = await configure(args);
      expect(nameless).toMatchObject({ code: 78, stderr: expect.stringContaining('error: model_unset: ') });
      expect(server.requests).toEqual([]);
      expect(await config()).toBe(mine);
    });
  });

  it('lists providers, and never a key', async () => {
    await mkdir(join(laptop.home, '.coral'), { recursive: true });
    await put('ai: {provider: openai, model: gpt-5.5, api_key: env://MINE}\n');
    await writeFile(credentials(), `model_keys: {anthropic: ${canary}}\n`, { mode: 0o600 });
    const env = { MINE: canary, GEMINI_API_KEY: canary };
    const text = await laptop.coral(['llm', 'list'], env);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^\* +openai +gpt-5\.5 +env:\/\/MINE +api\.openai\.com +known$/m);
    expect(text.stdout).toMatch(/^ +builtin +this machine +free$/m);
    expect(text.stdout).toMatch(
      /^ +google +env:\/\/GEMINI_API_KEY +generativelanguage.* +not usable in this version$/m,
    );
    const json = await laptop.coral(['llm', 'list', '--json'], env);
    const { providers } = JSON.parse(json.stdout) as { providers: Record<string, unknown>[] };
    expect(providers.find(({ provider }) => provider === 'anthropic')).toMatchObject({
      usable: true,
      configured: false,
      key: { needed: true, source: 'credentials.yaml', present: true, variable: 'ANTHROPIC_API_KEY' },
      local: false,
      model: null,
      endpoint: 'https://api.anthropic.com',
    });
    expect(providers.find(({ provider }) => provider === 'openai')).toMatchObject({
      configured: true,
      model: 'gpt-5.5',
    });
    const unset = await laptop.coral(['llm', 'list']);
    expect(unset.stdout).toContain('env://MINE (not set)');
    expect(text.stdout + text.stderr + json.stdout).not.toContain(canary);
  });
});
