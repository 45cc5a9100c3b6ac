import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { callTools, ModelScript, OpenAiServer, say, type ScriptStep } from '@coral/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ColonyDouble } from '../apps/cli/src/testing/colony-double.js';
import { openDouble, type Laptop } from './support/laptop.js';

const look = callTools(['coral_get_health', {}]);
const calm: readonly ScriptStep[] = [look, say('Nothing is wrong.', '\nVERDICT: CONFIRMED')];

describe('coral ask with a model', () => {
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

  /** Configures a server with that script; `away`: by an address that is not known to be this machine. */
  const serve = async (steps: readonly ScriptStep[], { away = false, more = '' } = {}): Promise<OpenAiServer> => {
    const server = await OpenAiServer.start(new ModelScript(steps));
    servers.push(server);
    const endpoint = away ? server.endpoint.replace('127.0.0.1', '[::ffff:127.0.0.1]') : server.endpoint;
    await laptop.configure(colony.entry, `ai: {provider: openai, model: m-1, endpoint: "${endpoint}"${more}}\n`);
    return server;
  };
  const ask = (...flags: string[]) => laptop.coral(['ask', 'Is anything wrong?', ...flags]);
  const notices = () => join(laptop.home, '.coral', 'notices.yaml');

  it('answers from the tools, with tokens, and nothing to say about a model on this machine', async () => {
    const server = await serve(calm);
    const done = await ask();
    expect(done).toMatchObject({ code: 0, stdout: 'Nothing is wrong.\nVERDICT: CONFIRMED\n' });
    expect(done.stderr).toMatch(
      /^ {2}coral_get_health · \d+ ms · [\d.]+ k?B\n1 tool · [\d.]+k? in \/ \d+ out tokens · \$0\.00 · [\d.]+ s · lease eph-\w+\n$/,
    );
    expect(server.refusals).toEqual([]);
    expect(colony.open).toEqual([]);
  });

  it('says once what a model elsewhere sees, on stderr, also for programs, and what it costs', async () => {
    const priced = { away: true, more: ', prices: {m-1: {input: 10, output: 50}}' };
    await serve(calm, priced);
    const first = await ask('--json');
    expect(first.code).toBe(0);
    expect(first.stderr.match(/sees your question and the telemetry it asks for/g)).toHaveLength(1);
    expect(first.stderr).toContain('unencrypted');
    const answer = JSON.parse(first.stdout) as { usage: Record<string, number>; cost_usd: number };
    const { input_tokens: input = 0, output_tokens: output = 0 } = answer.usage;
    expect(answer.cost_usd).toBeCloseTo((input * 10 + output * 50) / 1_000_000, 9);
    expect((await stat(notices())).mode & 0o777).toBe(0o600);
    // Another port is another place; remembered by host and port.
    const [server] = servers;
    await laptop.configure(
      colony.entry,
      `ai: {provider: openai, model: m-1, endpoint: "${server?.endpoint.replace('127.0.0.1', '[::ffff:127.0.0.1]')}"}\n`,
    );
    expect((await ask()).stderr).not.toContain('sees your question');
    await serve(calm, priced);
    const text = await ask();
    expect(text.stderr).toContain('sees your question');
    expect(text.stdout).toBe('Nothing is wrong.\nVERDICT: CONFIRMED\n');
    expect(text.stderr).toMatch(/ out tokens · \$0\.0\d{3} · /);
  });

  it('says it again when it cannot be remembered, and answers all the same', async () => {
    await mkdir(notices(), { recursive: true });
    await serve([...calm, ...calm], { away: true });
    for (let i = 0; i < 2; i += 1) {
      const done = await ask();
      expect(done.code).toBe(0);
      expect(done.stderr).toContain('sees your question');
    }
  });

  it('says when it cannot watch the money', async () => {
    await serve(calm, { away: true });
    const done = await ask();
    expect(done.stderr.match(/The price of m-1 is not known, so ai\.budget\.max_usd \(\$2\.00\)/g)).toHaveLength(1);
    expect(done.stderr).toContain(' · cost unknown · ');
  });

  it.each([
    ['money', ', prices: {m-1: {input: 1000, output: 1000}}, budget: {max_usd: 0.01}', 'money', /limit of \$0\.01/],
    ['tokens', ', budget: {max_tokens: 10}', 'tokens', /limit of 10 tokens/],
    ['steps', ', budget: {max_steps: 1}', 'steps', /limit of 1 steps/],
    ['tool calls', ', budget: {max_tool_calls: 1}', 'tool_calls', /limit of 1 tool calls/],
  ])('stops at the budget’s %s with the best answer so far', async (_what, more, reason, words) => {
    await serve([look, look, look], { away: true, more });
    const done = await ask('--json');
    expect(done.code).toBe(8);
    expect(JSON.parse(done.stdout)).toMatchObject({ partial: true, partial_reason: reason });
    expect((JSON.parse(done.stdout) as { answer: string }).answer).toMatch(words);
    expect(colony.open).toEqual([]);
  });

  const broken: readonly ScriptStep[] = [
    look,
    { parts: [{ say: ['Health is fine, but ', 'latency '] }], break: { in: 'text', by: 'reset' } },
  ];

  it('shows what there is when the provider breaks off, then the error, and exits 5', async () => {
    const server = await serve(broken, { more: ', stream: true' });
    const done = await ask();
    expect(done.code).toBe(5);
    expect(done.stdout).toMatch(/^Health is fine, but (latency )?\n\[Not complete: .*broke off\.\]\n$/);
    expect(done.stderr).toMatch(
      /\n1 tool · .* tokens · \$0\.00 · .*\nerror: provider_stream_cut: .*\nwhere: openai\nnext: /s,
    );
    // What was shown cannot be unsaid, so it is not asked again.
    expect(server.requests).toHaveLength(2);
    expect(colony.open).toEqual([]);
    expect(colony.released).toHaveLength(1);
    const [kept = ''] = await readdir(join(laptop.home, '.coral', 'transcripts'));
    const transcript = JSON.parse(await readFile(join(laptop.home, '.coral', 'transcripts', kept), 'utf8')) as object;
    expect(transcript).toMatchObject({ partial: true, error: { reason: 'provider_stream_cut' } });
  });

  it('shows it to programs: the partial answer on stdout, the error on stderr', async () => {
    await serve(broken);
    const done = await ask('--json');
    expect(done.code).toBe(5);
    const error = { kind: 'provider_failed', reason: 'provider_stream_cut', where: 'openai' };
    expect(JSON.parse(done.stdout)).toMatchObject({
      partial: true,
      partial_reason: 'provider_failed',
      error,
      usage: { input_tokens: expect.any(Number) },
      tools: [{ name: 'coral_get_health' }],
    });
    expect(JSON.parse(done.stderr.trim().split('\n').at(-1) ?? '')).toMatchObject({ error, exit_code: 5 });
    expect(colony.open).toEqual([]);
  });

  it('exits 5 when the key is not taken, after one try and without an answer', async () => {
    const server = await serve([{ fault: 'status', status: 401 }]);
    const done = await ask();
    expect(done.code).toBe(5);
    expect(done.stdout).toBe('There is no answer yet.\n[Not complete: the provider did not accept the key.]\n');
    expect(done.stderr).toMatch(/^error: provider_unauthorized: /m);
    expect(server.requests).toHaveLength(1);
    expect(colony.open).toEqual([]);
  });

  it('says that it tries again, and does', async () => {
    const server = await serve([{ fault: 'status', status: 503, retryAfterMs: '5' }, ...calm]);
    const done = await ask();
    expect(done.code).toBe(0);
    expect(done.stderr).toMatch(/^provider_overloaded: .* Trying again in 0\.0 s \(2 of 3\)\.$/m);
    expect(server.requests).toHaveLength(3);
  });

  it.each([
    ['a key', ['--model', 'claude-sonnet-5-5'], {}, 'secret_unset', /export ANTHROPIC_API_KEY=….*coral llm configure/],
    ['a model', ['--model', 'anthropic'], { ANTHROPIC_API_KEY: 'k' }, 'model_unset', /--model anthropic:/],
    ['a key that is one word', ['--model', 'claude-x'], { ANTHROPIC_API_KEY: 'two words' }, 'bad_api_key', /one word/],
  ])('misses %s before it asks for a lease', async (_what, flags, env, reason, next) => {
    await laptop.configure(colony.entry, 'ai: {provider: builtin}\n');
    const done = await laptop.coral(['ask', 'x', ...flags], env);
    expect(done.code).toBe(78);
    expect(done.stderr).toMatch(new RegExp(`^error: ${reason}: `, 'm'));
    expect(/^next: (.*)/ms.exec(done.stderr)?.[1] ?? '').toMatch(next);
    expect(colony.granted).toEqual([]);
  });

  it('asks a server of one’s own for a model of any name, without a key', async () => {
    const server = await serve(calm);
    const done = await laptop.coral(['ask', 'x', '--model', 'claude-x'], { OPENAI_API_KEY: 'sk-not-for-strangers' });
    expect(done.code).toBe(0);
    expect(server.requests[0]?.body).toContain('"claude-x"');
    expect(JSON.stringify(server.requests)).not.toContain('sk-not-for-strangers');
  });
});
