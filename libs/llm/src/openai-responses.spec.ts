import { callTools, say, type ScriptStep } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { reasons } from './openai-responses.js';
import type { ModelEvent, Turn } from './provider.js';
import { answered, ask, canary, collect, question, talk, told } from './spec-support/openai-talk.js';

const thinksAndCalls: ScriptStep = {
  parts: [
    { think: 'health first' },
    { redacted: 'unseen' },
    { say: ['I look ', 'at health.'] },
    { call: 'coral_get_health', args: { service_filter: 'checkout' } },
    { call: 'coral_query', args: { query: 'latency' } },
  ],
  usage: { input: 900, output: 70, cacheRead: 512, cacheWrite: 64 },
};

function nativeOf(events: readonly ModelEvent[]): { output: Record<string, unknown>[] } | undefined {
  const content = events.find((event) => event.type === 'native')?.reply.content;
  return content as { output: Record<string, unknown>[] } | undefined;
}

describe('a reply of the Responses API', () => {
  it('tells text, calls, usage, its native form and its end', async () => {
    await using both = await talk('responses', [thinksAndCalls]);
    const events = told(await collect(both.provider.respond(ask([question]))));
    expect(events.map((event) => event.type)).toEqual([
      'text',
      'text',
      'tool_call',
      'tool_call',
      'usage',
      'native',
      'stop',
    ]);
    expect(events).toMatchObject([
      { text: 'I look ' },
      { text: 'at health.' },
      { call: { name: 'coral_get_health', args: { service_filter: 'checkout' } } },
      { call: { name: 'coral_query', args: { query: 'latency' } } },
      { inputTokens: 900, outputTokens: 70, cacheReadTokens: 512, cacheWriteTokens: 64 },
      { reply: { provider: 'openai', model: 'gpt-test-1' } },
      { reason: 'tool_use' },
    ]);
    expect(nativeOf(events)?.output.map((item) => item['type'])).toEqual([
      'reasoning',
      'reasoning',
      'message',
      'function_call',
      'function_call',
    ]);
  });

  it('shows text at once, before the reply is over, and signs of life while it thinks', async () => {
    const hanging: ScriptStep = {
      parts: [{ think: 'hm' }, { say: ['first', 'second'] }],
      break: { in: 'text', by: 'silence' },
    };
    await using both = await talk('responses', [hanging]);
    const stop = new AbortController();
    const seen: ModelEvent[] = [];
    await expect(async () => {
      for await (const event of both.provider.respond(ask([question], { signal: stop.signal }))) {
        seen.push(event);
        if (event.type === 'text') stop.abort();
      }
    }).rejects.toMatchObject({ kind: 'cancelled' });
    expect(seen.at(0)).toEqual({ type: 'alive' });
    expect(seen.at(-1)).toEqual({ type: 'text', text: 'first' });
  });

  it.each([
    ['end', 'end'],
    ['max_tokens', 'max_tokens'],
    ['refusal', 'refusal'],
  ] as const)('ends with %s as %s, its text told', async (stop, reason) => {
    await using both = await talk('responses', [{ parts: [{ say: 'So far so good' }], stop }]);
    const events = told(await collect(both.provider.respond(ask([question]))));
    expect(events.map((event) => (event.type === 'text' ? event.text : '')).join('')).toBe('So far so good');
    expect(events.at(-1)).toEqual({ type: 'stop', reason });
  });

  it('calls nothing when the call was cut at the limit', async () => {
    const cut: ScriptStep = {
      parts: [{ say: ['I look'] }, { call: 'coral_query', json: '{"query":"lat' }],
      stop: 'max_tokens',
    };
    await using both = await talk('responses', [cut]);
    const events = told(await collect(both.provider.respond(ask([question]))));
    expect(events.map((event) => event.type)).toEqual(['text', 'usage', 'stop']);
    expect(events.at(-1)).toEqual({ type: 'stop', reason: 'max_tokens' });
  });
});

describe('a request to the Responses API', () => {
  it('asks that nothing be kept and reasoning come back encrypted', async () => {
    await using both = await talk('responses', [say('Fine.')], { max_tokens: 512, temperature: 0.2 });
    await collect(both.provider.respond(ask([question])));
    const [body] = both.bodies();
    expect(body).toMatchObject({
      model: 'gpt-test-1',
      stream: true,
      store: false,
      include: ['reasoning.encrypted_content'],
      instructions: 'You find out.',
      input: [{ role: 'user', content: 'Why is checkout slow?' }],
      max_output_tokens: 512,
      temperature: 0.2,
      parallel_tool_calls: true,
    });
    const tools = body?.['tools'] as { type: string; strict: boolean; name: string }[];
    expect(tools.map((tool) => [tool.type, tool.strict])).toEqual(tools.map(() => ['function', false]));
    expect(tools).toHaveLength(5);
    expect(JSON.stringify(body)).not.toContain(canary);
  });

  it('sends nothing that was not set', async () => {
    await using both = await talk('responses', [say('Fine.')]);
    await collect(both.provider.respond(ask([question], { tools: [] })));
    expect(Object.keys(both.bodies()[0] ?? {}).toSorted()).toEqual(
      ['include', 'input', 'instructions', 'model', 'store', 'stream'].toSorted(),
    );
  });

  it('returns a reply as it came, encrypted reasoning included, each call followed by its result', async () => {
    await using both = await talk('responses', [thinksAndCalls, say('It is the database.')]);
    const first = await collect(both.provider.respond(ask([question])));
    const turns = answered([question], first);
    await collect(both.provider.respond(ask(turns)));
    expect(both.server.refusals).toEqual([]);
    const input = both.bodies()[1]?.['input'] as Record<string, unknown>[];
    const given = nativeOf(first)?.output ?? [];
    expect(given).toHaveLength(5);
    expect(input.slice(1, 6)).toEqual(given);
    expect(JSON.stringify(input)).toContain('"encrypted_content":"gAAAAA');
    const ids = given.flatMap((item) => (item['type'] === 'function_call' ? [item['call_id']] : []));
    expect(input.slice(6)).toEqual(
      ids.map((call_id, i) => ({ type: 'function_call_output', call_id, output: `result ${i}` })),
    );
    expect(both.script.seen[1]?.results.map((result) => result.text)).toEqual(['result 0', 'result 1']);
  });

  it('survives a history that was kept as JSON', async () => {
    await using both = await talk('responses', [thinksAndCalls, say('Done.')]);
    const turns = answered([question], await collect(both.provider.respond(ask([question]))));
    await collect(both.provider.respond(ask(JSON.parse(JSON.stringify(turns)) as Turn[])));
    expect(both.server.refusals).toEqual([]);
  });

  it('writes the reply of another model out, without its native form', async () => {
    await using both = await talk('responses', [say('Done.')]);
    const theirs: Turn = {
      role: 'assistant',
      text: 'I look.',
      toolCalls: [{ id: 'toolu_1', name: 'coral_query', args: { query: 'x' } }],
      native: { provider: 'anthropic', model: 'claude', content: { api: 'responses', output: [{ type: 'secret' }] } },
    };
    const outcomes = [{ callId: 'toolu_1', name: 'coral_query', text: 'ok', isError: false }];
    await collect(both.provider.respond(ask([question, theirs, { role: 'tool', outcomes }])));
    expect(both.bodies()[0]?.['input']).toEqual([
      { role: 'user', content: 'Why is checkout slow?' },
      { role: 'assistant', content: 'I look.' },
      { type: 'function_call', call_id: 'toolu_1', name: 'coral_query', arguments: '{"query":"x"}' },
      { type: 'function_call_output', call_id: 'toolu_1', output: 'ok' },
    ]);
  });

  it('answers a call that was never made, leaves out an answer that nobody asked for', async () => {
    await using both = await talk('responses', [callTools(['coral_query'], ['coral_get_health']), say('Done.')]);
    const turns = answered([question], await collect(both.provider.respond(ask([question]))));
    const outcomes = turns[2]?.role === 'tool' ? turns[2].outcomes : [];
    const cut: Turn[] = [
      ...turns.slice(0, 2),
      { role: 'tool', outcomes: [outcomes[0], { callId: 'no', name: 'x', text: 'stray', isError: false }] as never },
    ];
    await collect(both.provider.respond(ask([...cut, { role: 'user', text: 'And now?' }])));
    expect(both.server.refusals).toEqual([]);
    expect(JSON.stringify(both.bodies()[1])).toContain('This call was not made');
    expect(JSON.stringify(both.bodies()[1])).not.toContain('stray');
  });
});

describe('encrypted reasoning', () => {
  it.each([
    ['gpt-5.5', true],
    ['o3', true],
    ['o4-mini', true],
    ['codex-mini-latest', true],
    ['gpt-6.1-sol', true],
    ['gpt-4o', false],
    ['gpt-4-turbo', false],
    ['ft:gpt-4o:acme::x', false],
    ['chatgpt-4o-latest', false],
    ['gpt-5-chat-latest', false],
    ['gpt-5.1-chat', false],
  ])('is asked of %s: %s', (model, expected) => {
    expect(reasons(model)).toBe(expected);
  });

  it('is given up for a model that refuses it, without the user noticing', async () => {
    await using both = await talk('responses', [say('Fine.'), say('Fine again.')], { model: 'plain-deployment' });
    const events = told(await collect(both.provider.respond(ask([question]))));
    expect(events.at(-1)).toEqual({ type: 'stop', reason: 'end' });
    await collect(both.provider.respond(ask([question])));
    expect(both.server.refusals).toEqual(['Encrypted content is not supported with this model.']);
    expect(both.bodies().map((body) => 'include' in body)).toEqual([true, false, false]);
  });
});
