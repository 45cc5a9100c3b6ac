import { ModelScript, OpenAiServer, type ScriptedReply } from '@coral/testing';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';

/** The scripted server is worth something only if the official SDK takes its streams for the real thing. */
async function sdk(...replies: ScriptedReply[]) {
  const server = await OpenAiServer.start(new ModelScript(replies), 'sk-test');
  const client = new OpenAI({ baseURL: server.endpoint, apiKey: 'sk-test', maxRetries: 0 });
  return { server, client };
}

const tools = ['coral_query', 'coral_get_health'].map((name) => ({
  name,
  description: 'A tool',
  parameters: { type: 'object', properties: { query: { type: 'string' } } },
}));

const mixed: ScriptedReply = {
  parts: [
    { think: ['Which service', ' is slow?'] },
    { redacted: 'hidden thoughts' },
    { say: ['I look ', 'at "health" — ', 'ünd more.\n'] },
    { call: 'coral_query', args: { query: 'latency by service\n"quoted" 💥' } },
    { call: 'coral_get_health', args: {} },
  ],
  usage: { input: 1_200, output: 80, cacheRead: 1_024, cacheWrite: 64 },
  byteByByte: true,
};

describe('the scripted Responses API', () => {
  const request = {
    model: 'gpt-test-1',
    store: false,
    include: ['reasoning.encrypted_content' as const],
    input: 'no',
    tools: tools.map((tool) => ({ type: 'function' as const, strict: false, ...tool })),
  };

  it('streams what the official accumulator takes: thinking, text, parallel calls, usage', async () => {
    const { client, server } = await sdk(mixed);
    await using _ = server;
    const input = [{ role: 'user' as const, content: 'Why?' }];
    const final = await client.responses.stream({ ...request, input }).finalResponse();
    expect(final.status).toBe('completed');
    expect(final.output_text).toBe('I look at "health" — ünd more.\n');
    expect(final.output.map((item) => item.type)).toEqual([
      'reasoning',
      'reasoning',
      'message',
      'function_call',
      'function_call',
    ]);
    const calls = final.output.flatMap((item) => (item.type === 'function_call' ? [item] : []));
    expect(JSON.parse(calls[0]?.arguments ?? '')).toEqual({ query: 'latency by service\n"quoted" 💥' });
    expect(new Set(calls.map((call) => call.call_id)).size).toBe(2);
    expect(final.usage).toMatchObject({
      input_tokens: 1_200,
      output_tokens: 80,
      total_tokens: 1_280,
      input_tokens_details: { cached_tokens: 1_024, cache_write_tokens: 64 },
    });
  });

  it.each([
    ['max_tokens', 'incomplete'],
    ['refusal', 'completed'],
    ['end', 'completed'],
  ] as const)('ends with %s as %s', async (stop, status) => {
    const { client, server } = await sdk({ parts: [{ say: 'I will not' }], stop });
    await using _ = server;
    const final = await client.responses
      .stream({ ...request, input: [{ role: 'user', content: 'Why?' }] })
      .finalResponse();
    expect(final.status).toBe(status);
    const [message] = final.output;
    expect(message?.type === 'message' && message.content[0]?.type).toBe(
      stop === 'refusal' ? 'refusal' : 'output_text',
    );
  });

  it('numbers its events without a gap', async () => {
    const { client, server } = await sdk(mixed);
    await using _ = server;
    const seen: number[] = [];
    const stream = await client.responses.create({ ...request, input: [{ role: 'user', content: '?' }], stream: true });
    for await (const event of stream) seen.push(event.sequence_number);
    expect(seen).toEqual(seen.map((_, i) => i));
    expect(seen.length).toBeGreaterThan(20);
  });

  const call = { type: 'function_call' as const, call_id: 'call_1', name: 'coral_query', arguments: '{}' };
  const output = { type: 'function_call_output' as const, call_id: 'call_1', output: 'ok' };
  const refusals: [string, object, RegExp][] = [
    ['a call without its output', { input: [call] }, /No tool output found for function call call_1/],
    ['an output without its call', { input: [output] }, /No tool call found/],
    ['two outputs of one call', { input: [call, output, output] }, /Duplicate output/],
    [
      'reasoning that it never gave',
      { input: [{ type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'x' }, call, output] },
      /could not be verified/,
    ],
    [
      'reasoning without its encrypted content',
      { input: [{ type: 'reasoning', id: 'rs_1', summary: [] }, call, output] },
      /not found/,
    ],
    ['an unknown field', { input: [], max_tokens: 5 }, /Unknown parameter: 'max_tokens'/],
    [
      'a tool that is strict and has optional properties',
      { input: [], tools: request.tools.map((tool) => ({ ...tool, strict: true as never })) },
      /Invalid schema/,
    ],
    [
      'encrypted reasoning of a model that does not reason',
      { model: 'gpt-4o', input: [] },
      /Encrypted content is not supported/,
    ],
  ];
  it.each(refusals)('refuses %s', async (_what, more, message) => {
    const { client, server } = await sdk();
    await using _ = server;
    const body = { ...request, ...more } as typeof request;
    await expect(client.responses.create({ ...body, stream: true })).rejects.toThrow(message);
  });
});

describe('the scripted Chat Completions API', () => {
  const messages = [{ role: 'user' as const, content: 'Why?' }];
  const request = {
    model: 'some-model',
    messages,
    stream_options: { include_usage: true },
    tools: tools.map((tool) => ({ type: 'function' as const, function: tool })),
  };

  it('streams what the official accumulator takes: thinking, text, parallel calls, usage', async () => {
    const { client, server } = await sdk(mixed);
    await using _ = server;
    const final = await client.chat.completions.stream(request).finalChatCompletion();
    const [choice] = final.choices;
    expect(choice?.finish_reason).toBe('tool_calls');
    expect(choice?.message.content).toBe('I look at "health" — ünd more.\n');
    const calls = choice?.message.tool_calls?.flatMap((one) => (one.type === 'function' ? [one] : [])) ?? [];
    expect(calls.map((one) => one.function.name)).toEqual(['coral_query', 'coral_get_health']);
    expect(JSON.parse(calls[0]?.function.arguments ?? '')).toEqual({ query: 'latency by service\n"quoted" 💥' });
    expect(final.usage).toMatchObject({ prompt_tokens: 1_200, completion_tokens: 80, total_tokens: 1_280 });
  });

  it.each([
    ['max_tokens', 'length'],
    ['refusal', 'stop'],
    ['end', 'stop'],
  ] as const)('ends with %s as %s', async (stop, finish) => {
    const { client, server } = await sdk({ parts: [{ say: 'I will not' }], stop });
    await using _ = server;
    const [choice] = (await client.chat.completions.stream(request).finalChatCompletion()).choices;
    expect(choice?.finish_reason).toBe(finish);
    expect(stop === 'refusal' ? choice?.message.refusal : choice?.message.content).toBe('I will not');
  });

  const calls = [{ id: 'call_1', type: 'function' as const, function: { name: 'coral_query', arguments: '{}' } }];
  const refusals: [string, object, RegExp][] = [
    [
      'a call without its answer',
      { messages: [...messages, { role: 'assistant', content: null, tool_calls: calls }] },
      /must be followed by tool messages.*call_1/,
    ],
    [
      'an answer without its call',
      { messages: [...messages, { role: 'tool', tool_call_id: 'call_1', content: 'ok' }] },
      /must be a response to/,
    ],
    ['an empty list of tools', { tools: [] }, /empty array/],
    ['both limits at once', { max_tokens: 1, max_completion_tokens: 1 }, /not both/],
    [
      'a reply without content or calls',
      { messages: [...messages, { role: 'assistant', content: null }] },
      /expected a string/,
    ],
  ];
  it.each(refusals)('refuses %s', async (_what, more, message) => {
    const { client, server } = await sdk();
    await using _ = server;
    await expect(client.chat.completions.create({ ...request, ...more, stream: true })).rejects.toThrow(message);
  });
});

it('lets in the right key only', async () => {
  const { server } = await sdk();
  await using _ = server;
  const client = new OpenAI({ baseURL: server.endpoint, apiKey: 'sk-other', maxRetries: 0 });
  await expect(client.responses.create({ model: 'm', input: 'x', stream: true })).rejects.toMatchObject({
    status: 401,
    code: 'invalid_api_key',
  });
});
