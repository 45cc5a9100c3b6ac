import Anthropic from '@anthropic-ai/sdk';
import { AnthropicServer, callTools, ModelScript, say, type ScriptedReply } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import {
  apiVersion,
  apiVersionWithTemperature,
  claudeContextTokens,
  defaultMaxTokens,
  maxPauses,
} from './anthropic.js';
import type { Turn } from './provider.js';
import {
  answersTo,
  canaryKey,
  collect,
  of,
  pair,
  question,
  request,
  textOf,
  turnOf,
} from './spec-support/anthropic.js';

const thought: ScriptedReply = {
  parts: [
    { think: ['First the ', 'topology.'] },
    { redacted: 'what is not shown' },
    { say: ['Looking ', 'at checkout.'] },
    { call: 'coral_get_topology', args: {} },
    { call: 'coral_query', args: { query: 'checkout latency', time_range: '1h' } },
  ],
  usage: { input: 100, cacheRead: 2_000, cacheWrite: 300, output: 77 },
};

describe('a reply over the Messages API', () => {
  it('streams text as it comes', async () => {
    await using both = await pair([say('checkout ', 'is slow ', 'since 10:02.')]);
    const { events, failure } = await collect(both.provider);
    expect(failure).toBeUndefined();
    expect(of(events, 'text').map(({ text }) => text)).toEqual(['checkout ', 'is slow ', 'since 10:02.']);
    expect(events.at(-1)).toEqual({ type: 'stop', reason: 'end' });
    expect(both.server.refusals).toEqual([]);
  });

  it('shows the first words while the rest is still to come', async () => {
    await using both = await pair([{ ...say('checkout ', 'is slow'), break: { in: 'text', by: 'silence' } }]);
    const abort = new AbortController();
    const events = both.provider.respond(request([question], { signal: abort.signal }))[Symbol.asyncIterator]();
    let next = await events.next();
    while (next.done !== true && next.value.type !== 'text') next = await events.next();
    expect(next.value).toEqual({ type: 'text', text: 'checkout ' });
    abort.abort();
    await expect(events.next()).rejects.toMatchObject({ kind: 'cancelled' });
  });

  it('gives parallel calls with their arguments, in order', async () => {
    await using both = await pair([callTools(['coral_get_health'], ['coral_query', { query: 'p95', scope: 'ü→✓' }])]);
    const { events } = await collect(both.provider);
    expect(of(events, 'tool_call').map(({ call }) => [call.name, call.args, call.malformed])).toEqual([
      ['coral_get_health', {}, undefined],
      ['coral_query', { query: 'p95', scope: 'ü→✓' }, undefined],
    ]);
    expect(new Set(of(events, 'tool_call').map(({ call }) => call.id)).size).toBe(2);
    expect(events.at(-1)).toEqual({ type: 'stop', reason: 'tool_use' });
  });

  it('counts the whole prompt, cached or not, and adds up to what the API said last', async () => {
    await using both = await pair([thought]);
    const { events } = await collect(both.provider);
    const sum = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
    for (const usage of of(events, 'usage')) {
      sum.inputTokens += usage.inputTokens;
      sum.outputTokens += usage.outputTokens;
      sum.cacheReadTokens += usage.cacheReadTokens ?? 0;
      sum.cacheWriteTokens += usage.cacheWriteTokens ?? 0;
    }
    expect(sum).toEqual({ inputTokens: 2_400, outputTokens: 77, cacheReadTokens: 2_000, cacheWriteTokens: 300 });
    // The prompt is paid for even when nothing follows.
    expect(events[0]).toMatchObject({ type: 'usage', inputTokens: 2_400 });
  });

  it('says that it lives while it thinks, and at a ping', async () => {
    await using both = await pair([{ parts: [{ think: ['a', 'b', 'c'] }, { say: ['d'] }], pings: 2 }]);
    const { events } = await collect(both.provider);
    const beforeText = events.slice(
      0,
      events.findIndex(({ type }) => type === 'text'),
    );
    // Two pings, the block, three pieces, the signature.
    expect(of(beforeText, 'alive')).toHaveLength(7);
    expect(textOf(events)).toBe('d');
  });

  it('gives the same when each byte comes alone', async () => {
    const parts = [{ say: ['žluť ', '🪸'] }, { call: 'coral_query', args: { query: 'š' } }];
    await using whole = await pair([{ parts }]);
    await using torn = await pair([{ parts, byteByByte: true }]);
    const [a, b] = [await collect(whole.provider), await collect(torn.provider)];
    expect(b.failure).toBeUndefined();
    expect(b.events.map(({ type }) => type)).toEqual(a.events.map(({ type }) => type));
    expect(textOf(b.events)).toBe('žluť 🪸');
    expect(of(b.events, 'tool_call')[0]?.call.args).toEqual({ query: 'š' });
  });

  it.each([
    ['end', 'end'],
    ['stop_sequence', 'end'],
    ['max_tokens', 'max_tokens'],
    ['context', 'max_tokens'],
    ['refusal', 'refusal'],
  ] as const)('puts the stop reason %s as %s', async (scripted, said) => {
    await using both = await pair([{ ...say('So far.'), stop: scripted }]);
    const { events } = await collect(both.provider);
    expect(events.at(-1)).toEqual({ type: 'stop', reason: said });
  });

  it('takes up a paused turn where it stopped, as one reply', async () => {
    await using both = await pair([{ ...say('Half '), stop: 'pause' }, say('and whole.')]);
    const { events, failure } = await collect(both.provider);
    expect(failure).toBeUndefined();
    expect(textOf(events)).toBe('Half and whole.');
    expect(of(events, 'native')).toHaveLength(1);
    expect(of(events, 'native')[0]?.reply.content).toEqual([
      { type: 'text', text: 'Half ' },
      { type: 'text', text: 'and whole.' },
    ]);
    expect(events.at(-1)).toEqual({ type: 'stop', reason: 'end' });
    expect(both.server.refusals).toEqual([]);
  });

  it('does not take up pauses for ever', async () => {
    const script = Array.from({ length: maxPauses + 5 }, (): ScriptedReply => ({ ...say('again '), stop: 'pause' }));
    await using both = await pair(script);
    const { events } = await collect(both.provider);
    expect(both.server.requests).toHaveLength(maxPauses + 1);
    expect(events.at(-1)).toEqual({ type: 'stop', reason: 'max_tokens' });
  });

  it('uses one connection for the steps of a question', async () => {
    await using both = await pair([say('one'), say('two'), say('three')]);
    for (let i = 0; i < 3; i += 1) {
      await collect(both.provider);
      await both.server.requests.at(-1)?.over;
      // A round on a connection of its own: what the server said before is read by then.
      await (await fetch(both.server.url)).text();
    }
    expect(both.server.connectionsSeen).toBe(1 + 1);
  });
});

describe('a conversation over several steps', () => {
  it('sends back what the model wrote unchanged, signed thinking and all, and one result for each call', async () => {
    await using both = await pair([thought, say('It is the pool.')]);
    const first = turnOf((await collect(both.provider)).events);
    expect(first.native).toMatchObject({ provider: 'anthropic', model: 'claude-scripted-1' });
    const second = await collect(both.provider, request([question, first, answersTo(first)]));
    expect(second.failure).toBeUndefined();
    expect(both.server.refusals).toEqual([]);
    const sent = JSON.parse(both.server.requests[1]?.body ?? '') as {
      messages: { role: string; content: Record<string, unknown>[] }[];
    };
    expect(sent.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user']);
    expect(sent.messages[1]?.content.map(({ type }) => type)).toEqual([
      'thinking',
      'redacted_thinking',
      'text',
      'tool_use',
      'tool_use',
    ]);
    expect(sent.messages[1]?.content).toEqual(first.native?.content);
    expect(sent.messages[2]?.content.map(({ tool_use_id: id, is_error: isError }) => [id, isError])).toEqual([
      [first.toolCalls[0]?.id, undefined],
      [first.toolCalls[1]?.id, true],
    ]);
  });

  it('tells what was refused when a signed block is touched: the scripted API is that strict', async () => {
    await using both = await pair([thought, say('never')]);
    const first = turnOf((await collect(both.provider)).events);
    const content = structuredClone(first.native?.content) as Record<string, unknown>[];
    (content[0] as Record<string, unknown>)['thinking'] = 'First something else.';
    const forged: Turn = { ...first, native: { provider: 'anthropic', model: 'claude-scripted-1', content } };
    const { failure } = await collect(both.provider, request([question, forged, answersTo(first)]));
    expect(failure).toMatchObject({ reason: 'provider_refused' });
    expect(String(failure)).toContain('Invalid `signature` in `thinking` block');
  });

  it('rebuilds what another model wrote from its text and calls, under ids that this API takes', async () => {
    await using both = await pair([say('Go on.')]);
    const foreign: Turn = {
      role: 'assistant',
      text: 'Looking.',
      toolCalls: [{ id: 'call:1/ü', name: 'coral_query', args: { query: 'x' } }],
      native: { provider: 'openai', model: 'gpt-x', content: { output: [] } },
    };
    const results: Turn = {
      role: 'tool',
      outcomes: [{ callId: 'call:1/ü', name: 'coral_query', text: '7', isError: false }],
    };
    const { failure } = await collect(both.provider, request([question, foreign, results]));
    expect(failure).toBeUndefined();
    const sent = JSON.parse(both.server.requests[0]?.body ?? '') as {
      messages: { content: Record<string, unknown>[] }[];
    };
    const use = sent.messages[1]?.content[1];
    expect(use).toMatchObject({ type: 'tool_use', name: 'coral_query', input: { query: 'x' } });
    expect(sent.messages[2]?.content[0]).toMatchObject({ type: 'tool_result', tool_use_id: use?.['id'], content: '7' });
  });

  it('sends another of its own models’ thinking as text and calls only', async () => {
    await using both = await pair([thought, say('Go on.')]);
    const first = turnOf((await collect(both.provider)).events);
    const other: Turn = {
      ...first,
      native: { provider: 'anthropic', model: 'claude-other', content: first.native?.content },
    };
    const { failure } = await collect(both.provider, request([question, { ...other }, answersTo(first)]));
    // The calls are this API's own, so that the scripted one misses the thinking: nothing of it was sent.
    expect(String(failure)).toContain('cannot be modified');
    expect(both.server.requests[1]?.body).not.toContain('"thinking"');
  });

  it('answers calls that a conversation was cut off before, so that it can go on', async () => {
    await using both = await pair([
      callTools(['coral_get_health'], ['coral_query', { query: 'x' }]),
      say('Yes.'),
      say('Yes.'),
    ]);
    const first = turnOf((await collect(both.provider)).events);
    const half: Turn = {
      role: 'tool',
      outcomes: [{ callId: first.toolCalls[0]?.id ?? '', name: 'coral_get_health', text: 'ok', isError: false }],
    };
    for (const turns of [
      [question, first, half, question],
      [question, first, question],
    ]) {
      expect((await collect(both.provider, request(turns))).failure).toBeUndefined();
    }
    const sent = both.server.requests
      .slice(1)
      .map(({ body }) => JSON.parse(body) as { messages: { content: unknown[] }[] });
    expect(sent[0]?.messages[2]?.content).toMatchObject([
      { type: 'tool_result', content: 'ok' },
      { type: 'tool_result', is_error: true },
      { type: 'text', text: 'Why is checkout slow?' },
    ]);
    expect(both.server.refusals).toEqual([]);
  });

  it('may not call in the last step, and says so in the way that keeps the history valid', async () => {
    await using both = await pair([callTools(['coral_get_health']), say('a'), say('b')]);
    const first = turnOf((await collect(both.provider)).events);
    const turns = [question, first, answersTo(first)];
    const { tools } = request();
    for (const more of [{ tools: [], withheld: tools }, { tools: [] }]) {
      expect((await collect(both.provider, request(turns, more))).failure).toBeUndefined();
    }
    const sent = both.server.requests
      .slice(1)
      .map(({ body }) => JSON.parse(body) as { tools: { name: string }[]; tool_choice: unknown });
    expect(sent.map((body) => body.tool_choice)).toEqual([{ type: 'none' }, { type: 'none' }]);
    expect(sent.map((body) => body.tools.map(({ name }) => name))).toEqual([
      tools.map(({ name }) => name),
      ['coral_get_health'],
    ]);
    expect(both.server.refusals).toEqual([]);
  });

  it('lets the API keep the prompt: system and tools, and the conversation up to its newest message', async () => {
    await using both = await pair([say('a')]);
    await collect(both.provider);
    const sent = JSON.parse(both.server.requests[0]?.body ?? '') as {
      system: unknown;
      messages: { content: unknown[] }[];
    };
    expect(sent.system).toEqual([
      { type: 'text', text: 'You look at telemetry.', cache_control: { type: 'ephemeral' } },
    ]);
    expect(sent.messages[0]?.content).toEqual([
      { type: 'text', text: 'Why is checkout slow?', cache_control: { type: 'ephemeral' } },
    ]);
  });
});

describe('what is asked for', () => {
  it('is the model, a limit, and no temperature unless it is configured', async () => {
    await using both = await pair([say('a')]);
    await collect(both.provider);
    const sent = JSON.parse(both.server.requests[0]?.body ?? '') as Record<string, unknown>;
    expect(sent).toMatchObject({ model: 'claude-scripted-1', max_tokens: defaultMaxTokens, stream: true });
    expect(sent).not.toHaveProperty('temperature');
    expect(both.server.requests[0]?.headers['anthropic-version']).toBe(apiVersion);
  });

  it('has the configured temperature and limit, in the version of the API that takes one', async () => {
    await using both = await pair([say('a')], { temperature: 0, max_tokens: 123, context_length: 32_000 });
    const { failure } = await collect(both.provider);
    expect(failure).toBeUndefined();
    expect(JSON.parse(both.server.requests[0]?.body ?? '')).toMatchObject({ temperature: 0, max_tokens: 123 });
    expect(both.server.requests[0]?.headers['anthropic-version']).toBe(apiVersionWithTemperature);
    expect(both.provider.contextTokens).toBe(32_000);
  });

  it('knows the window of Claude, not of a server of somebody else', async () => {
    await using own = await pair([], { endpoint: undefined });
    await using other = await pair([]);
    expect(own.provider).toMatchObject({ contextTokens: claudeContextTokens, local: false });
    expect(other.provider.contextTokens).toBeUndefined();
    expect(other.provider.local).toBe(true);
  });
});

describe('the scripted API', () => {
  const replies: [string, ScriptedReply][] = [
    ['text', say('a', 'b')],
    ['thinking, redacted thinking, text and parallel calls', thought],
    ['a call without arguments', callTools(['coral_get_health'])],
    ['text, byte by byte', { ...say('žluť 🪸'), byteByByte: true }],
    ['an answer that met its limit', { ...say('so far'), stop: 'max_tokens' }],
    ['a refusal', { ...say('I cannot.'), stop: 'refusal' }],
    ['a pause', { ...say('Half '), stop: 'pause' }],
  ];
  it.each(replies)('is understood by the official SDK: %s', async (_, reply) => {
    await using server = await AnthropicServer.start(new ModelScript([reply]), canaryKey);
    const client = new Anthropic({ apiKey: canaryKey, baseURL: server.url, maxRetries: 0 });
    const stream = client.messages.stream({
      model: 'claude-scripted-1',
      max_tokens: 1_000,
      messages: [{ role: 'user', content: 'Why?' }],
    });
    const final = await stream.finalMessage();
    await using mine = await pair([reply, say('The rest of a pause.')]);
    const { events, failure } = await collect(mine.provider);
    expect(failure).toBeUndefined();
    const native = of(events, 'native')[0]?.reply.content as unknown[];
    // What we keep of a reply is what the SDK makes of the same script.
    expect(withoutChance(native.slice(0, final.content.length))).toEqual(withoutChance(final.content));
    expect(server.refusals).toEqual([]);
    expect(server.requests[0]?.headers['anthropic-version']).toBe(apiVersion);
  });
});

/** Ids and signatures are new each time; the SDK adds a null of its own. */
function withoutChance(blocks: unknown): unknown {
  const all = JSON.parse(JSON.stringify(blocks)) as Record<string, unknown>[];
  return all.map(({ id: _id, signature: _signature, citations: _citations, ...rest }) => rest);
}
