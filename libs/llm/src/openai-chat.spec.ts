import { WireServer, say, type ScriptStep } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { takesNewLimit } from './openai-chat.js';
import { createOpenAi } from './openai.js';
import type { ModelEvent, Turn } from './provider.js';
import {
  answered,
  ask,
  collect,
  collectFailure,
  question,
  settingsFor,
  talk,
  told,
} from './spec-support/openai-talk.js';

/** A compatible server that sends these chunks as they are. */
async function quirky(chunks: readonly (object | string)[], more: { turns?: Turn[] } = {}) {
  await using server = await new WireServer(async (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const chunk of chunks)
      response.write(`data: ${typeof chunk === 'string' ? chunk : JSON.stringify(chunk)}\n\n`);
    response.end();
  }).start();
  const provider = createOpenAi(settingsFor(`${server.url}/v1`, { model: 'llama', apiKey: undefined }));
  const { seen, failure } = await collectFailure(provider.respond(ask(more.turns ?? [question])));
  return { events: told(seen), failure };
}

function chunk(delta: object, finish: string | null = null, more: object = {}): object {
  return {
    id: 'c',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'llama',
    choices: [{ index: 0, delta, finish_reason: finish }],
    ...more,
  };
}

function calls(...tool_calls: object[]): object {
  return chunk({ tool_calls });
}

function callsIn(events: readonly ModelEvent[]) {
  return events.flatMap((event) => (event.type === 'tool_call' ? [event.call] : []));
}

describe('a reply of Chat Completions', () => {
  it('tells text, parallel calls, usage, what it thought and its end', async () => {
    const step: ScriptStep = {
      parts: [
        { think: ['hm, ', 'health'] },
        { say: ['I look ', 'at health.'] },
        { call: 'coral_get_health', args: { service_filter: 'checkout' } },
        { call: 'coral_query', args: { query: 'latency' } },
      ],
      usage: { input: 900, output: 70, cacheRead: 512 },
    };
    await using both = await talk('chat', [step]);
    const seen = await collect(both.provider.respond(ask([question])));
    expect(seen.some((event) => event.type === 'alive')).toBe(true);
    expect(told(seen)).toMatchObject([
      { type: 'text', text: 'I look ' },
      { type: 'text', text: 'at health.' },
      { type: 'tool_call', call: { name: 'coral_get_health', args: { service_filter: 'checkout' } } },
      { type: 'tool_call', call: { name: 'coral_query', args: { query: 'latency' } } },
      { type: 'usage', inputTokens: 900, outputTokens: 70, cacheReadTokens: 512 },
      { type: 'native', reply: { content: { api: 'chat', field: 'reasoning_content', text: 'hm, health' } } },
      { type: 'stop', reason: 'tool_use' },
    ]);
  });

  it.each([
    ['stop', 'end'],
    ['length', 'max_tokens'],
    ['content_filter', 'refusal'],
    ['eos_token', 'end'],
  ] as const)('finish_reason %s is %s', async (finish, reason) => {
    const { events } = await quirky([chunk({ content: 'Well' }), chunk({}, finish), '[DONE]']);
    expect(events).toEqual([
      { type: 'text', text: 'Well' },
      { type: 'stop', reason },
    ]);
  });

  it('calls nothing when the call was cut at the limit', async () => {
    const { events } = await quirky([
      calls({ index: 0, id: 'a', function: { name: 'coral_query', arguments: '{"q' } }),
      chunk({}, 'length'),
    ]);
    expect(events).toEqual([{ type: 'stop', reason: 'max_tokens' }]);
  });
});

describe('compatible servers', () => {
  const whole = (id: string | undefined, args: unknown, index?: number) => ({
    ...(index === undefined ? {} : { index }),
    ...(id === undefined ? {} : { id }),
    type: 'function',
    function: { name: 'coral_query', arguments: args },
  });
  const two = [{ args: { query: 'a' } }, { args: { query: 'b' } }];

  it.each([
    ['whole calls in one chunk, with index', [calls(whole('x', '{"query":"a"}', 0), whole('y', '{"query":"b"}', 1))]],
    [
      'whole calls in chunks of their own, every one index 0',
      [calls(whole('x', '{"query":"a"}', 0)), calls(whole('y', '{"query":"b"}', 0))],
    ],
    [
      'every one index 0, without ids',
      [calls(whole(undefined, '{"query":"a"}', 0)), calls(whole(undefined, '{"query":"b"}', 0))],
    ],
    ['without index', [calls(whole('x', '{"query":"a"}'), whole('y', '{"query":"b"}'))]],
    ['without index and ids', [calls(whole(undefined, '{"query":"a"}'), whole(undefined, '{"query":"b"}'))]],
    ['empty ids', [calls(whole('', '{"query":"a"}', 0), whole('', '{"query":"b"}', 1))]],
    ['the same id twice', [calls(whole('same', '{"query":"a"}', 0), whole('same', '{"query":"b"}', 1))]],
    ['arguments as an object', [calls(whole('x', { query: 'a' }, 0), whole('y', { query: 'b' }, 1))]],
    [
      'id and name repeated with every piece',
      [
        calls(whole('x', '{"que', 0)),
        calls(whole('x', 'ry":"a"}', 0)),
        calls(whole('y', '{"query"', 1)),
        calls(whole('y', ':"b"}', 1)),
      ],
    ],
    [
      'pieces of two calls in turn',
      [
        calls(whole('x', '', 0), whole('y', '', 1)),
        calls(
          { index: 1, function: { arguments: '{"query":' } },
          { index: 0, function: { arguments: '{"query":"a"' } },
        ),
        calls({ index: 0, function: { arguments: '}' } }, { index: 1, function: { arguments: '"b"}' } }),
      ],
    ],
  ])('send %s', async (_what, chunks) => {
    const { events } = await quirky([...chunks, chunk({}, 'stop'), '[DONE]']);
    const made = callsIn(events);
    expect(made).toMatchObject(two);
    expect(made.every((call) => call.name === 'coral_query' && call.id !== '' && call.malformed === undefined)).toBe(
      true,
    );
    expect(new Set(made.map((call) => call.id)).size).toBe(2);
    expect(events.at(-1)).toEqual({ type: 'stop', reason: 'tool_use' });
  });

  it('number their calls anew in each turn: ids stay unique in the conversation', async () => {
    const earlier: Turn = { role: 'assistant', text: '', toolCalls: [{ id: 'call_0', name: 'coral_query', args: {} }] };
    const outcomes = [{ callId: 'call_0', name: 'coral_query', text: 'ok', isError: false }];
    const turns: Turn[] = [question, earlier, { role: 'tool', outcomes }];
    const { events } = await quirky([calls(whole('call_0', '{}', 0)), chunk({}, 'tool_calls')], { turns });
    expect(callsIn(events)[0]?.id).toMatch(/^call_[0-9a-f]{32}$/);
  });

  it.each([
    ['no arguments at all', undefined, {}, undefined],
    ['empty arguments', '', {}, undefined],
    ['arguments that are null', null, {}, undefined],
    ['broken JSON', '{"query": "a', {}, '{"query": "a'],
    ['a list', '[1]', {}, '[1]'],
    ['prose', 'latency please', {}, 'latency please'],
  ])('send %s', async (_what, args, expected, malformed) => {
    const { events } = await quirky([calls(whole('x', args, 0)), chunk({}, 'tool_calls')]);
    const [call] = callsIn(events);
    expect(call?.args).toEqual(expected);
    expect(call?.malformed).toBe(malformed);
  });

  it.each([
    ['without [DONE]', [chunk({ content: 'Fine.' }, 'stop')]],
    ['with [DONE]', [chunk({ content: 'Fine.' }, 'stop'), '[DONE]']],
    ['with a list of choices that is null', [{ choices: null }, chunk({ content: 'Fine.' }, 'stop')]],
    ['with chunks that are nothing', ['null', '5', '"x"', '[]', chunk({ content: 'Fine.' }, 'stop')]],
  ])('end their stream %s', async (_what, chunks) => {
    const { events } = await quirky(chunks);
    expect(events).toEqual([
      { type: 'text', text: 'Fine.' },
      { type: 'stop', reason: 'end' },
    ]);
  });

  it('that say no finish_reason broke off', async () => {
    const { events, failure } = await quirky([chunk({ content: 'Fine' }), '[DONE]']);
    expect(events).toEqual([{ type: 'text', text: 'Fine' }]);
    expect(failure).toMatchObject({ reason: 'provider_stream_cut', mayPass: true });
  });

  it('send what it cost with the end, after the end, as a running total, or never', async () => {
    const usage = { prompt_tokens: 10, completion_tokens: 2 };
    const told = { type: 'usage', inputTokens: 10, outputTokens: 2, cacheReadTokens: 0, cacheWriteTokens: 0 };
    const ways = [
      [chunk({ content: 'a' }, 'stop', { usage })],
      [chunk({ content: 'a' }, 'stop'), { choices: [], usage }, '[DONE]'],
      [
        chunk({ content: 'a' }, null, { usage: { prompt_tokens: 10, completion_tokens: 1 } }),
        chunk({}, 'stop', { usage }),
      ],
    ];
    for (const chunks of ways)
      expect((await quirky(chunks)).events.filter(({ type }) => type === 'usage')).toEqual([told]);
    const nonsense = { prompt_tokens: -1, completion_tokens: 'many' };
    for (const chunks of [[chunk({ content: 'a' }, 'stop')], [chunk({}, 'stop', { usage: nonsense })]]) {
      expect((await quirky(chunks)).events.some(({ type }) => type === 'usage')).toBe(false);
    }
  });

  it.each([
    [
      { error: { message: 'CUDA out of memory', type: 'server_error', code: 500 } },
      'provider_error',
      /CUDA out of memory/,
    ],
    [{ error: { message: 'Provider is busy', code: 429 } }, 'provider_rate_limited', /busy/],
    [
      { error: { message: 'Prompt too long', type: 'invalid_request_error', code: 400 } },
      'provider_refused',
      /too long/,
    ],
    [{ object: 'error', message: 'engine died', code: 500 }, 'provider_error', /engine died/],
    [chunk({}, 'error'), 'provider_error', /finish_reason: error/],
  ])('say %j in the stream', async (said, reason, message) => {
    const { events, failure } = await quirky([chunk({ content: 'So ' }), said, '[DONE]']);
    expect(events).toEqual([{ type: 'text', text: 'So ' }]);
    expect(failure).toMatchObject({ reason, message: expect.stringMatching(message) as string });
  });
});

describe('a request to Chat Completions', () => {
  it('says what every server takes and nothing else', async () => {
    await using both = await talk('chat', [say('Fine.'), say('Fine.')], { max_tokens: 512, temperature: 0 });
    await collect(both.provider.respond(ask([question])));
    await collect(both.provider.respond(ask([question], { tools: [] })));
    const [first, second] = both.bodies();
    const { tools, ...rest } = first ?? {};
    expect(rest).toEqual({
      model: 'gpt-test-1',
      stream: true,
      stream_options: { include_usage: true },
      messages: [
        { role: 'system', content: 'You find out.' },
        { role: 'user', content: 'Why is checkout slow?' },
      ],
      max_tokens: 512,
      temperature: 0,
    });
    expect(tools).toHaveLength(5);
    expect(second).not.toHaveProperty('tools');
  });

  it.each([
    ['https://api.openai.com/v1', true],
    ['https://eu.api.openai.com/v1', true],
    ['https://acme.openai.azure.com/openai/v1', true],
    ['http://localhost:11434/v1', false],
    ['https://api.openai.com.evil.example/v1', false],
    ['https://notapi.openai.com/v1', false],
    ['https://openrouter.ai/api/v1', false],
  ])('limits tokens at %s by max_completion_tokens: %s', (endpoint, expected) => {
    expect(takesNewLimit(new URL(endpoint))).toBe(expected);
  });

  it('returns calls with their results and what was thought before them', async () => {
    const step: ScriptStep = { parts: [{ think: 'hm' }, { call: 'coral_query', args: { query: 'a' } }] };
    await using both = await talk('chat', [step, say('Done.')]);
    const turns = answered([question], await collect(both.provider.respond(ask([question]))));
    await collect(both.provider.respond(ask(turns)));
    expect(both.server.refusals).toEqual([]);
    const messages = both.bodies()[1]?.['messages'] as Record<string, unknown>[];
    const id = turns[1]?.role === 'assistant' ? turns[1].toolCalls[0]?.id : '';
    expect(messages.slice(2)).toEqual([
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id, type: 'function', function: { name: 'coral_query', arguments: '{"query":"a"}' } }],
        reasoning_content: 'hm',
      },
      { role: 'tool', tool_call_id: id, content: 'result 0' },
    ]);
  });

  it('sends no broken JSON back, answers calls that were never made, fills an empty reply', async () => {
    await using both = await talk('chat', [say('Done.')]);
    const turns: Turn[] = [
      question,
      { role: 'assistant', text: '', toolCalls: [{ id: 'a', name: 'coral_query', args: {}, malformed: '{"q' }] },
      { role: 'user', text: 'And?' },
      { role: 'assistant', text: '', toolCalls: [] },
      { role: 'user', text: 'Well?' },
    ];
    await collect(both.provider.respond(ask(turns)));
    expect(both.server.refusals).toEqual([]);
    const sent = JSON.stringify(both.bodies()[0]);
    expect(sent).toContain('This call was not made');
    expect(sent).toContain('(no answer)');
  });
});
