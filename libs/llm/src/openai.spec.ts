import { inspect } from 'node:util';
import { Secret } from '@coral/config';
import { ModelScript, OpenAiServer, say, WireServer } from '@coral/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { defaultResultChars } from './fence.js';
import { createOpenAi } from './openai.js';
import { createProvider, type ProviderSettings } from './registry.js';
import { apis, ask, canary, collect, collectFailure, question, settingsFor, talk } from './spec-support/openai-talk.js';

afterEach(() => vi.unstubAllEnvs());

/** The path that the first request goes to. */
async function pathOf(settings: (url: string) => Partial<ProviderSettings>): Promise<string | undefined> {
  await using server = await OpenAiServer.start(new ModelScript([say('Fine.')]), canary);
  await collect(createOpenAi(settingsFor(server.endpoint, settings(server.url))).respond(ask([question])));
  expect(server.refusals).toEqual([]);
  return server.requests[0]?.path;
}

describe('which protocol', () => {
  it('is Chat Completions at an endpoint of somebody else', async () => {
    expect(await pathOf(() => ({}))).toBe('/v1/chat/completions');
  });

  it('is what the settings say, wherever', async () => {
    expect(await pathOf(() => ({ api: 'responses' }))).toBe('/v1/responses');
    expect(await pathOf(() => ({ api: 'chat' }))).toBe('/v1/chat/completions');
  });

  it.each(['', '/', '/v1', '/v1/'])('is found below an endpoint that ends in %j', async (end) => {
    expect(await pathOf((url) => ({ endpoint: `${url}${end}` }))).toBe('/v1/chat/completions');
  });

  it('is Responses at addresses of OpenAI, where a question leaves this machine', () => {
    for (const endpoint of [undefined, 'https://api.openai.com/v1', 'https://eu.api.openai.com/v1']) {
      const provider = createOpenAi({
        provider: 'openai',
        model: 'gpt-test-1',
        apiKey: Secret.literal('sk-x'),
        endpoint,
      });
      expect(inspect(provider)).toContain('ResponsesApi');
      expect(provider).toMatchObject({ name: 'openai', model: 'gpt-test-1', local: false });
      expect(provider.contextTokens).toBeUndefined();
    }
  });
});

describe('what a provider says of itself', () => {
  it('is local on the loopback only', () => {
    const at = (endpoint: string) =>
      createOpenAi({ provider: 'openai', model: 'llama', endpoint, apiKey: undefined }).local;
    expect(['http://localhost:8080', 'http://127.0.0.1:1/v1', 'http://[::1]:8080'].map(at)).toEqual([true, true, true]);
    expect(['http://10.0.0.5:8000/v1', 'https://llm.example/v1', 'http://localhost.example'].map(at)).toEqual([
      false,
      false,
      false,
    ]);
  });

  it('takes the window from the settings, and results that fit it', () => {
    const of = (context_length: number) => createOpenAi(settingsFor('http://localhost:1', { context_length }));
    expect(of(8_192)).toMatchObject({ contextTokens: 8_192, resultChars: 8_192 });
    expect(of(128_000)).toMatchObject({ contextTokens: 128_000, resultChars: defaultResultChars });
  });
});

describe('settings that cannot work are refused before anything is sent', () => {
  it.each([
    ['no model', { model: undefined }, 'model_unset'],
    ['an empty model', { model: ' ' }, 'model_unset'],
    ['no key for OpenAI', { apiKey: undefined, endpoint: undefined }, 'api_key_unset'],
    ['a key that is not set', { apiKey: Secret.reference('env://CORAL_SPEC_UNSET_KEY') }, 'secret_unset'],
    ['a key with a line end', { apiKey: Secret.literal('sk-x\n') }, 'bad_api_key'],
    ['a key in the clear to another machine', { endpoint: 'http://llm.example/v1' }, 'insecure_endpoint'],
    ['an address with a password', { endpoint: 'https://me:secret@llm.example/v1' }, 'bad_endpoint'],
  ] as [string, Partial<ProviderSettings>, string][])('%s', (_what, more, reason) => {
    const make = () => createOpenAi(settingsFor('http://localhost:1/v1', more));
    expect(make).toThrow(
      expect.objectContaining({ kind: 'failed_precondition', reason, next: expect.any(String) as string }) as Error,
    );
  });

  it('is reached by its name', async () => {
    const provider = await createProvider(settingsFor('http://localhost:1/v1'));
    expect(provider).toMatchObject({ name: 'openai', local: true });
  });
});

describe.each(apis)('the key, over %s', (api) => {
  it('stands in one header of the requests to the configured host and nowhere else', async () => {
    await using both = await talk(api, [say('Fine.')]);
    await collect(both.provider.respond(ask([question])));
    const [request] = both.server.requests;
    const { authorization, ...headers } = request?.headers ?? {};
    expect(authorization).toBe(`Bearer ${canary}`);
    expect(JSON.stringify([headers, request?.path, request?.body])).not.toContain(canary);
    // All that is sent about us.
    expect(Object.keys(headers).toSorted()).toEqual(
      ['accept', 'accept-encoding', 'connection', 'content-length', 'content-type', 'host', 'user-agent'].toSorted(),
    );
    expect(inspect(both.provider, { depth: 9, showHidden: true }) + JSON.stringify(both.provider)).not.toContain(
      canary,
    );
  });

  it('is revealed for each request, not before', async () => {
    vi.stubEnv('CORAL_SPEC_KEY', 'sk-first');
    await using server = await OpenAiServer.start(new ModelScript([say('Fine.')]), 'sk-second');
    const apiKey = Secret.reference('env://CORAL_SPEC_KEY');
    const provider = createOpenAi(settingsFor(server.endpoint, { api, apiKey }));
    vi.stubEnv('CORAL_SPEC_KEY', 'sk-second');
    await collect(provider.respond(ask([question])));
    expect(server.refusals).toEqual([]);
  });

  it('is not repeated when the server repeats it', async () => {
    await using server = await OpenAiServer.start(new ModelScript([]), 'sk-another');
    const { failure } = await collectFailure(
      createOpenAi(settingsFor(server.endpoint, { api })).respond(ask([question])),
    );
    expect(failure).toMatchObject({
      reason: 'provider_unauthorized',
      message: expect.stringContaining('***') as string,
    });
    expect(inspect(failure, { depth: 9, showHidden: true })).not.toContain(canary);
  });

  it('follows no redirect', async () => {
    await using trap = await new WireServer(async (_request, response) => void response.end()).start();
    await using both = await talk(api, [{ fault: 'redirect', status: 307, to: `${trap.url}/v1/responses` }]);
    const { failure } = await collectFailure(both.provider.respond(ask([question])));
    expect(failure).toMatchObject({ reason: 'provider_protocol' });
    expect(trap.requests).toEqual([]);
  });

  it('is not made up for a server that needs none', async () => {
    vi.stubEnv('OPENAI_API_KEY', canary);
    vi.stubEnv('OPENAI_ADMIN_KEY', canary);
    await using server = await OpenAiServer.start(new ModelScript([say('Fine.')]));
    await collect(createOpenAi(settingsFor(server.endpoint, { api, apiKey: undefined })).respond(ask([question])));
    expect(server.refusals).toEqual([]);
    expect(server.requests[0]?.headers).not.toHaveProperty('authorization');
    expect(JSON.stringify(server.requests[0])).not.toContain(canary);
  });

  it('and all else is safe from the environment', async () => {
    await using trap = await new WireServer(async (_request, response) => void response.end()).start();
    vi.stubEnv('OPENAI_BASE_URL', `${trap.url}/v1`);
    vi.stubEnv('OPENAI_API_KEY', 'sk-of-the-environment');
    vi.stubEnv('OPENAI_ADMIN_KEY', 'sk-of-the-environment');
    vi.stubEnv('OPENAI_ORG_ID', 'org-of-the-environment');
    vi.stubEnv('OPENAI_PROJECT_ID', 'proj-of-the-environment');
    vi.stubEnv('OPENAI_WEBHOOK_SECRET', 'whsec-of-the-environment');
    const lines = [
      'Authorization: Bearer of-the-environment',
      'User-Agent: of-the-environment',
      'X-Trace: of-the-environment',
    ];
    vi.stubEnv('OPENAI_CUSTOM_HEADERS', lines.join('\n'));
    vi.stubEnv('OPENAI_LOG', 'debug');
    vi.stubEnv('HTTP_PROXY', trap.url);
    vi.stubEnv('http_proxy', trap.url);
    const printed = (['debug', 'info', 'log', 'warn', 'error'] as const).map((name) =>
      vi.spyOn(console, name).mockReturnValue(undefined),
    );
    try {
      await using both = await talk(api, [say('Fine.'), { fault: 'status', status: 500 }, { fault: 'no_json' }]);
      for (let i = 0; i < 3; i += 1) await collectFailure(both.provider.respond(ask([question])));
      expect(both.server.refusals).toEqual([]);
      expect(both.server.requests).toHaveLength(3);
      expect(JSON.stringify(both.server.requests)).not.toContain('of-the-environment');
      expect(trap.requests).toEqual([]);
      expect(printed.flatMap((spy) => spy.mock.calls)).toEqual([]);
    } finally {
      for (const spy of printed) spy.mockRestore();
    }
  });
});
