import { callTools, say, WireServer, type Break, type HttpFault, type ScriptStep } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { CoralError } from '@coral/errors';
import { maxProviderText, ProviderFailed, type ProviderFailure } from './llm.errors.js';
import { canaryKey, collect, of, pair, question, request, textOf } from './spec-support/anthropic.js';

async function failureOf(step: ScriptStep): Promise<ProviderFailed> {
  await using both = await pair([step]);
  const { failure } = await collect(both.provider);
  expect(both.server.requests).toHaveLength(1);
  expect(failure).toBeInstanceOf(ProviderFailed);
  return failure as ProviderFailed;
}

describe('an error of the API', () => {
  const table: [HttpFault & { fault: 'status' }, ProviderFailure, mayPass: boolean, words: RegExp][] = [
    [{ fault: 'status', status: 401 }, 'provider_unauthorized', false, /answered 401: invalid x-api-key\.$/],
    [{ fault: 'status', status: 403, message: 'No.' }, 'provider_unauthorized', false, /answered 403: No\.$/],
    [{ fault: 'status', status: 402, message: 'Billing' }, 'provider_quota', false, /answered 402/],
    [
      { fault: 'status', status: 400, message: 'Your credit balance is too low to access the Anthropic API.' },
      'provider_quota',
      false,
      /credit balance/,
    ],
    [{ fault: 'status', status: 404, message: 'model: claude-0' }, 'provider_refused', false, /404: model: claude-0/],
    [{ fault: 'status', status: 413, message: 'Request exceeds the maximum size' }, 'provider_refused', false, /413/],
    [{ fault: 'status', status: 429 }, 'provider_rate_limited', true, /answered 429: This request would exceed/],
    [{ fault: 'status', status: 500 }, 'provider_error', true, /answered 500: Internal server error/],
    [{ fault: 'status', status: 504 }, 'provider_error', true, /answered 504/],
    [{ fault: 'status', status: 529 }, 'provider_overloaded', true, /answered 529: Overloaded/],
  ];
  it.each(table)('%o is %s', async (fault, reason, mayPass, words) => {
    const failure = await failureOf(fault);
    expect(failure).toMatchObject({ kind: 'provider_failed', reason, mayPass, where: 'anthropic' });
    expect(failure.message).toMatch(words);
    expect(failure.next).toBeTruthy();
  });

  it.each([
    [{ retryAfter: '7' }, 7_000],
    [{ retryAfter: '0.5' }, 500],
    [{ retryAfterMs: '250', retryAfter: '7' }, 250],
    [{}, undefined],
    [{ retryAfter: 'soon' }, undefined],
    [{ retryAfter: '-4' }, undefined],
    [{ retryAfter: '1e999' }, undefined],
  ])('429 with %o asks to wait %s ms', async (headers, ms) => {
    expect((await failureOf({ fault: 'status', status: 429, ...headers })).retryAfterMs).toBe(ms);
  });

  it('reads a date in Retry-After by the clock of the server', async () => {
    // Long past: a server’s `date` is now, so that nothing is left to wait.
    const past = await failureOf({ fault: 'status', status: 429, retryAfter: 'Wed, 21 Oct 2015 07:28:00 GMT' });
    expect(past.retryAfterMs).toBe(0);
  });

  it('repeats a little of what was said, on one line, with every control character visible', async () => {
    const said = `bad\u001b[31m\nthing\u202e ${'x'.repeat(5_000)}`;
    const failure = await failureOf({ fault: 'status', status: 500, message: said });
    expect(failure.message).toContain('bad\\u001b[31m thing\\u202e xxx');
    expect(failure.message.length).toBeLessThan(maxProviderText + 60);
  });

  it('does not repeat the key, should the server say it', async () => {
    const failure = await failureOf({ fault: 'status', status: 401, message: `The key ${canaryKey} is not known.` });
    expect(failure.message).toContain('The key *** is not known.');
    expect(JSON.stringify([failure.message, failure.next, failure.stack, String(failure.cause)])).not.toContain(
      'CANARY',
    );
  });

  it('calls a page of a proxy what it is', async () => {
    const failure = await failureOf({ fault: 'page', status: 502 });
    expect(failure).toMatchObject({ reason: 'provider_error', mayPass: true });
    expect(failure.message).toBe('The API of anthropic answered 502: a web page, not an answer of the API.');
  });

  it('reads no more than the beginning of an error that does not end', async () => {
    const failure = await failureOf({ fault: 'huge_error', status: 500 });
    expect(failure).toMatchObject({ reason: 'provider_error' });
    expect(failure.message.length).toBeLessThan(maxProviderText + 60);
  });
});

describe('a stream that goes wrong', () => {
  const breaks: [Break, ProviderFailure, mayPass: boolean][] = [
    [{ in: 'text', by: 'reset' }, 'provider_stream_cut', true],
    [{ in: 'text', by: 'end' }, 'provider_stream_cut', true],
    [{ in: 'tool_call', by: 'reset' }, 'provider_stream_cut', true],
    [{ in: 'tool_call', by: 'end' }, 'provider_stream_cut', true],
    [{ in: 'text', by: { error: 'overloaded_error', message: 'Overloaded' } }, 'provider_overloaded', true],
    [{ in: 'tool_call', by: { error: 'rate_limit_error' } }, 'provider_rate_limited', true],
    [{ in: 'text', by: { error: 'api_error' } }, 'provider_error', true],
    [{ in: 'text', by: { error: 'something_new' } }, 'provider_error', true],
    [{ in: 'text', by: { error: 'invalid_request_error' } }, 'provider_refused', false],
  ];
  it.each(breaks)('%o is %s', async (how, reason, mayPass) => {
    await using both = await pair([
      {
        parts: [{ say: ['So ', 'far.'] }, { call: 'coral_query', args: { query: 'latency of checkout' } }],
        break: how,
      },
    ]);
    const { events, failure } = await collect(both.provider);
    expect(failure).toMatchObject({ kind: 'provider_failed', reason, mayPass });
    // What was said before stands; half a call is none.
    expect(textOf(events)).toBe(how.in === 'text' ? 'So ' : 'So far.');
    expect(of(events, 'tool_call')).toEqual([]);
    expect(of(events, 'stop')).toEqual([]);
    expect(of(events, 'usage')[0]?.inputTokens).toBeGreaterThan(0);
  });

  const notTheProtocol: [HttpFault, ProviderFailure, RegExp][] = [
    [{ fault: 'html' }, 'provider_protocol', /answered with text\/html where a stream of events was asked for/],
    [{ fault: 'json' }, 'provider_protocol', /application\/json/],
    [{ fault: 'no_json' }, 'provider_protocol', /an event is no JSON/],
    [{ fault: 'empty' }, 'provider_stream_cut', /before it was whole/],
    [{ fault: 'huge' }, 'provider_protocol', /more than 64 MiB in one answer/],
    [{ fault: 'endless' }, 'provider_protocol', /more than 64 MiB in one answer/],
    [{ fault: 'hangs_up' }, 'provider_unreachable', /closed before an answer/],
  ];
  it.each(notTheProtocol)('%o is %s', async (fault, reason, words) => {
    const failure = await failureOf(fault);
    expect(failure).toMatchObject({ reason });
    expect(failure.message).toMatch(words);
  });

  const halves: [string, string, RegExp][] = [
    [
      'a delta of no block',
      'event: content_block_delta\ndata: {"index":3,"delta":{"type":"text_delta","text":"x"}}',
      /not open/,
    ],
    [
      'a block out of turn',
      'event: content_block_start\ndata: {"index":7,"content_block":{"type":"text","text":""}}',
      /out of turn/,
    ],
    ['a block of no type', 'event: content_block_start\ndata: {"index":0,"content_block":null}', /no type/],
    [
      'an end within a block',
      'event: content_block_start\ndata: {"index":0,"content_block":{"type":"text","text":""}}\n\nevent: message_stop\ndata: {}',
      /within a block/,
    ],
    [
      'arguments for a text',
      'event: content_block_start\ndata: {"index":0,"content_block":{"type":"text","text":""}}\n\nevent: content_block_delta\ndata: {"index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}',
      /another kind/,
    ],
  ];
  it.each(halves)('tells %s', async (_, events, words) => {
    await using server = await new WireServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`${events}\n\n`);
      return Promise.resolve();
    }).start();
    await using both = await pair([], { endpoint: server.url });
    const { failure } = await collect(both.provider);
    expect(failure).toMatchObject({ reason: 'provider_protocol', mayPass: false });
    expect(String(failure)).toMatch(words);
  });

  it('passes over what it does not know, and counts no nonsense', async () => {
    const events = [
      'event: message_start\ndata: {"message":{"usage":{"input_tokens":-5,"output_tokens":"many","cache_read_input_tokens":1e400}}}',
      'event: weather\ndata: {"type":"weather"}',
      'event: content_block_start\ndata: {"index":0,"content_block":{"type":"hologram","beam":1}}',
      'event: content_block_delta\ndata: {"index":0,"delta":{"type":"beam_delta"}}',
      'event: content_block_stop\ndata: {"index":0}',
      'event: content_block_start\ndata: {"index":1,"content_block":{"type":"text","text":"Yes"}}',
      'event: content_block_stop\ndata: {"index":1}',
      'event: message_delta\ndata: {"delta":{"stop_reason":"enlightened"},"usage":{"output_tokens":3}}',
      'event: message_stop\ndata: {"type":"message_stop"}',
    ];
    await using server = await new WireServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`${events.join('\n\n')}\n\n`);
      return Promise.resolve();
    }).start();
    await using both = await pair([], { endpoint: server.url });
    const { events: seen, failure } = await collect(both.provider);
    expect(failure).toBeUndefined();
    expect(textOf(seen)).toBe('Yes');
    expect(of(seen, 'usage').map(({ inputTokens, outputTokens }) => [inputTokens, outputTokens])).toEqual([
      [0, 0],
      [0, 3],
    ]);
    expect(seen.at(-1)).toEqual({ type: 'stop', reason: 'end' });
  });

  it('refuses a body that is compressed unasked', async () => {
    await using server = await new WireServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }).end('x');
      return Promise.resolve();
    }).start();
    await using both = await pair([], { endpoint: server.url });
    expect((await collect(both.provider)).failure).toMatchObject({ reason: 'provider_protocol' });
    expect(server.requests[0]?.headers['accept-encoding']).toBe('identity');
  });
});

describe('calls that are none', () => {
  it.each(['{"query": "p95", ', '[1,2]', 'null', '"text"', '{"a":1}}', 'query=p95'])(
    'keeps %s as the model wrote it, and the history valid',
    async (json) => {
      await using both = await pair([{ parts: [{ call: 'coral_query', json }] }, say('I see.')]);
      const { events } = await collect(both.provider);
      const call = of(events, 'tool_call')[0]?.call;
      expect(call).toMatchObject({ name: 'coral_query', args: {}, malformed: json });
      const native = of(events, 'native')[0]?.reply;
      const turns = [
        question,
        {
          role: 'assistant' as const,
          text: '',
          toolCalls: call === undefined ? [] : [call],
          ...(native === undefined ? {} : { native }),
        },
        {
          role: 'tool' as const,
          outcomes: [{ callId: call?.id ?? '', name: 'coral_query', text: 'No JSON.', isError: true }],
        },
      ];
      expect((await collect(both.provider, request(turns))).failure).toBeUndefined();
      expect(both.server.requests[1]?.body).toContain('INVALID_JSON');
      expect(both.server.refusals).toEqual([]);
    },
  );

  it('hands on an invented tool as it was called: the loop answers it', async () => {
    await using both = await pair([callTools(['coral_delete_everything', { sure: true }])]);
    const { events } = await collect(both.provider);
    expect(of(events, 'tool_call')[0]?.call).toMatchObject({ name: 'coral_delete_everything', args: { sure: true } });
  });

  it('hands on a thousand parallel calls, each with an id of its own', async () => {
    const many = Array.from({ length: 1_000 }, (_, i): [string, Record<string, unknown>] => [
      'coral_query',
      { query: `q${i}` },
    ]);
    await using both = await pair([callTools(...many)]);
    const calls = of((await collect(both.provider)).events, 'tool_call').map(({ call }) => call);
    expect(calls.map(({ args }) => args['query'])).toEqual(many.map(([, args]) => args['query']));
    expect(new Set(calls.map(({ id }) => id)).size).toBe(1_000);
  });
});

describe('an abort', () => {
  const silent: [string, ScriptStep][] = [
    ['a server that never answers', { fault: 'never_answers' }],
    ['a slow-loris stream', { fault: 'slow_loris', everyMs: 1 }],
    ['a stream that stops in the middle', { ...say('So ', 'far.'), break: { in: 'text', by: 'silence' } }],
    ['signs of life without end', { fault: 'endless_pings', everyMs: 1 }],
    ['an endless stream', { fault: 'endless' }],
  ];
  it.each(silent)('ends %s, and its connection', async (_, step) => {
    await using both = await pair([step]);
    const abort = new AbortController();
    const done = collect(both.provider, request([question], { signal: abort.signal }));
    const asked = await both.server.request(1);
    abort.abort();
    const { failure } = await done;
    expect(failure).toBeInstanceOf(CoralError);
    expect(failure).toMatchObject({ kind: 'cancelled' });
    // The server saw its peer go, and had not said all it wanted.
    expect(await asked.over).toBe(false);
  });

  it('has nothing to show of a slow-loris stream, so that its silence can be measured', async () => {
    await using both = await pair([{ fault: 'slow_loris', everyMs: 1 }]);
    const abort = new AbortController();
    const done = collect(both.provider, request([question], { signal: abort.signal }));
    const asked = await both.server.request(1);
    await asked.sent(200);
    abort.abort();
    expect((await done).events).toEqual([]);
  });

  it('before the start sends nothing', async () => {
    await using both = await pair([say('never')]);
    const { failure } = await collect(both.provider, request([question], { signal: AbortSignal.abort() }));
    expect(failure).toMatchObject({ kind: 'cancelled' });
    expect(both.server.requests).toEqual([]);
  });

  it('leaves no connection open when the reader goes away', async () => {
    await using both = await pair([{ ...say('So ', 'far.'), break: { in: 'text', by: 'silence' } }]);
    for await (const event of both.provider.respond(request())) if (event.type === 'text') break;
    expect(await both.server.requests[0]?.over).toBe(false);
  });
});

describe('an address where nobody is', () => {
  it('is provider_unreachable, with the reason', async () => {
    const server = await new WireServer(() => Promise.resolve()).start();
    const { url } = server;
    await server[Symbol.asyncDispose]();
    await using both = await pair([], { endpoint: url });
    const { failure } = await collect(both.provider);
    expect(failure).toMatchObject({ reason: 'provider_unreachable', mayPass: true });
    expect(String(failure)).toMatch(/nobody listens there \(ECONNREFUSED\)/);
  });
});
