import { describe, expect, it } from 'vitest';
import { AnthropicServer } from './anthropic-server.js';
import { callTools, ModelScript, say, type ScriptStep } from './scripted-model.js';

const key = 'sk-test';
const good = { model: 'claude-x', max_tokens: 10, stream: true, messages: [{ role: 'user', content: 'Why?' }] };
const tools = [{ name: 'look', input_schema: { type: 'object' } }];
const use = { type: 'tool_use', id: 'toolu_1', name: 'look', input: {} };
const result = { type: 'tool_result', tool_use_id: 'toolu_1', content: 'ok' };

interface Answer {
  status: number;
  requestId: string | null;
  body: string;
}

async function ask(
  body: unknown,
  headers: Record<string, string> = {},
  steps: ScriptStep[] = [say('Yes.')],
): Promise<Answer> {
  await using server = await AnthropicServer.start(new ModelScript(steps), key);
  return await post(server, body, headers);
}

async function post(server: AnthropicServer, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const sent = { 'content-type': 'application/json', 'x-api-key': key, 'anthropic-version': '2026-10-21', ...headers };
  const response = await fetch(`${server.url}/v1/messages`, {
    method: 'POST',
    headers: Object.fromEntries(Object.entries(sent).filter(([, value]) => value !== '')),
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, requestId: response.headers.get('request-id'), body: await response.text() };
}

describe('the scripted Messages API', () => {
  it('streams the events of a message in the order of the protocol', async () => {
    const { status, body } = await ask({ ...good, tools }, {}, [
      { parts: [{ say: ['a'] }, { call: 'look', args: { n: 1 } }] },
    ]);
    expect(status).toBe(200);
    const events = [...body.matchAll(/^event: (\w+)\ndata: (.*)\n\n/gm)].map(([, event, data]) => {
      expect((JSON.parse(data ?? '') as { type: string }).type).toBe(event);
      return event;
    });
    expect(events.join(' ')).toMatch(
      /^message_start ping content_block_start content_block_delta content_block_stop content_block_start (content_block_delta )+content_block_stop message_delta message_stop$/,
    );
  });

  it.each([
    ['no key', { 'x-api-key': '' }, 401, 'x-api-key header is required'],
    ['another key', { 'x-api-key': 'sk-other' }, 401, 'invalid x-api-key'],
    ['two keys', { authorization: `Bearer ${key}` }, 401, 'invalid x-api-key'],
    ['no version', { 'anthropic-version': '' }, 400, 'anthropic-version: header is required'],
    ['a version of its own', { 'anthropic-version': '2020-01-01' }, 400, 'is not a valid version'],
  ])('refuses %s', async (_, headers, status, words) => {
    const answer = await ask(good, headers);
    expect(answer.status).toBe(status);
    const body = JSON.parse(answer.body) as {
      type: string;
      error: { type: string; message: string };
      request_id: string;
    };
    expect(body).toMatchObject({ type: 'error', request_id: answer.requestId });
    expect(body.error.message).toContain(words);
  });

  it('takes the key as a bearer token, as the official SDK sends it', async () => {
    expect((await ask(good, { 'x-api-key': '', authorization: `Bearer ${key}` })).status).toBe(200);
  });

  const assistant = { role: 'assistant', content: [use] };
  const asked = good.messages[0];
  const bad: [string, unknown, string][] = [
    ['what is no JSON', '{"model":', 'not valid JSON'],
    ['a field it does not know', { ...good, temprature: 1 }, 'temprature: Extra inputs are not permitted'],
    ['a temperature in this version', { ...good, temperature: 0 }, 'temperature: Extra inputs are not permitted'],
    ['no limit', { ...good, max_tokens: undefined }, 'max_tokens'],
    ['no messages', { ...good, messages: [] }, 'messages'],
    ['a blank text', { ...good, messages: [{ role: 'user', content: ' ' }] }, 'non-whitespace'],
    ['an assistant that begins', { ...good, messages: [{ role: 'assistant', content: 'I' }] }, 'roles must alternate'],
    ['two of a kind', { ...good, messages: [asked, asked] }, 'roles must alternate'],
    ['an answer begun', { ...good, messages: [asked, { role: 'assistant', content: 'It' }] }, 'prefill'],
    [
      'calls of tools that are not declared',
      { ...good, messages: [asked, assistant, { role: 'user', content: [result] }] },
      'must define tools',
    ],
    ['a call without result', { ...good, tools, messages: [asked, assistant, asked] }, 'without `tool_result` blocks'],
    [
      'a result without call',
      { ...good, tools, messages: [{ role: 'user', content: [result] }] },
      'unexpected `tool_use_id`',
    ],
    [
      'two results',
      { ...good, tools, messages: [asked, assistant, { role: 'user', content: [result, result] }] },
      'single result',
    ],
    [
      'a result after a text',
      {
        ...good,
        tools,
        messages: [asked, assistant, { role: 'user', content: [{ type: 'text', text: 'x' }, result] }],
      },
      'before any text',
    ],
    [
      'an id twice',
      {
        ...good,
        tools,
        messages: [asked, { role: 'assistant', content: [use, use] }, { role: 'user', content: [result] }],
      },
      'ids must be unique',
    ],
    [
      'thinking that it did not sign',
      {
        ...good,
        messages: [asked, { role: 'assistant', content: [{ type: 'thinking', thinking: 'x', signature: 'y' }] }, asked],
      },
      'Invalid `signature`',
    ],
    ['a choice without tools', { ...good, tool_choice: { type: 'none' } }, 'tool_choice'],
    [
      'five marks for the cache',
      {
        ...good,
        system: Array.from({ length: 5 }, () => ({ type: 'text', text: 'x', cache_control: { type: 'ephemeral' } })),
      },
      'maximum of 4 blocks',
    ],
    ['no stream', { ...good, stream: false }, 'streams only'],
  ];
  it.each(bad)('refuses %s', async (_, body, words) => {
    const answer = await ask(body);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { type: 'invalid_request_error' } });
    expect(answer.body).toContain(words.replaceAll('"', '\\"'));
  });

  it('takes a temperature in the version that has one', async () => {
    expect((await ask({ ...good, temperature: 0 }, { 'anthropic-version': '2023-06-01' })).status).toBe(200);
  });

  it('refuses a call of its own that comes back without the thinking before it', async () => {
    const steps: ScriptStep[] = [{ parts: [{ think: 'Hm.' }, { call: 'look', id: 'toolu_1' }] }, say('Yes.')];
    await using server = await AnthropicServer.start(new ModelScript(steps), key);
    await post(server, { ...good, tools });
    const back = { ...good, tools, messages: [asked, assistant, { role: 'user', content: [result] }] };
    expect((await post(server, back)).body).toContain('cannot be modified');
    expect(server.refusals).toHaveLength(1);
  });

  it('shows a function of the script what was asked, and every result', async () => {
    const steps: ScriptStep[] = [
      callTools(['look']),
      ({ question, results, tools: open, index }) =>
        say(`${index} ${question} ${open.join()} ${results[0]?.name}=${results[0]?.text}`),
    ];
    await using server = await AnthropicServer.start(new ModelScript(steps), key);
    const first = await post(server, { ...good, tools });
    const id = /"id":"(toolu_\w+)"/.exec(first.body)?.[1];
    const messages = [
      asked,
      { role: 'assistant', content: [{ ...use, id }] },
      { role: 'user', content: [{ ...result, tool_use_id: id }] },
    ];
    expect((await post(server, { ...good, tools, messages })).body).toContain('1 Why? look look=ok');
  });

  it('says when the script is over', async () => {
    expect((await ask(good, {}, [])).body).toContain('The script has 0 steps, this is one more.');
  });
});
