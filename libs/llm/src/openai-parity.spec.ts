import { Secret } from '@coral/config';
import { AnthropicServer, callTools, ModelScript, OpenAiServer, say, type ScriptStep } from '@coral/testing';
import { describe, expect, it } from 'vitest';
import { createProvider, type ProviderSettings } from './registry.js';
import type { ModelEvent, Turn } from './provider.js';
import { answered, ask, canary, collectFailure, question } from './spec-support/openai-talk.js';

const ways = {
  anthropic: {
    provider: 'anthropic',
    start: async (script: ModelScript) => await AnthropicServer.start(script, canary),
  },
  responses: { provider: 'openai', start: async (script: ModelScript) => await OpenAiServer.start(script, canary) },
  chat: { provider: 'openai', start: async (script: ModelScript) => await OpenAiServer.start(script, canary) },
} as const;

/** What a conversation looks like from above: everything but signs of life, cost and what goes back unchanged. */
interface Seen {
  events: unknown[];
  sums: { inputTokens: number; outputTokens: number };
  failure: unknown;
  /** What the model was told, in each request. */
  asked: unknown[];
}

/** Plays the script, answering every call, until a reply without calls, or a failure. */
async function play(way: keyof typeof ways, steps: readonly ScriptStep[]): Promise<Seen> {
  const script = new ModelScript(steps);
  const { provider: name, start } = ways[way];
  await using server = await start(script);
  const settings: ProviderSettings = {
    provider: name,
    model: 'model-1',
    apiKey: Secret.literal(canary),
    endpoint: server.url,
  };
  const provider = await createProvider(way === 'anthropic' ? settings : { ...settings, api: way });
  const seen: Seen = { events: [], sums: { inputTokens: 0, outputTokens: 0 }, failure: undefined, asked: [] };
  let turns: Turn[] = [question];
  for (let i = 0; i < steps.length; i += 1) {
    const reply = await collectFailure(provider.respond(ask(turns)));
    seen.events.push(...shown(reply.seen));
    for (const event of reply.seen) {
      if (event.type !== 'usage') continue;
      seen.sums.inputTokens += event.inputTokens;
      seen.sums.outputTokens += event.outputTokens;
    }
    if (reply.failure !== undefined) {
      const { kind, reason, mayPass, retryAfterMs } = reply.failure as Record<string, unknown>;
      seen.failure = { kind, reason, mayPass, retryAfterMs };
    }
    turns = answered(turns, reply.seen);
    if (turns.at(-1)?.role !== 'tool') break;
  }
  seen.asked = script.seen.map(({ system, question: q, tools, allResults }) => ({
    system,
    question: q,
    tools,
    results: allResults.map(({ name: tool, text }) => [tool, text]),
  }));
  expect(server.refusals).toEqual([]);
  return seen;
}

/** Texts joined: where a provider cuts them is its own affair. Ids are, too. */
function shown(events: readonly ModelEvent[]): unknown[] {
  const told: Record<string, unknown>[] = [];
  for (const event of events) {
    const last = told.at(-1);
    if (event.type === 'text' && last?.['type'] === 'text') last['text'] = String(last['text']) + event.text;
    else if (event.type === 'tool_call') told.push({ type: 'tool_call', ...event.call, id: event.call.id !== '' });
    else if (event.type === 'text' || event.type === 'stop') told.push({ ...event });
  }
  return told;
}

const scripts: [what: string, steps: ScriptStep[]][] = [
  ['an answer', [{ ...say('It is ', 'the database.'), usage: { input: 100, output: 20 } }]],
  [
    'thinking, text, parallel calls with their results, an answer',
    [
      {
        parts: [
          { think: ['First ', 'health.'] },
          { redacted: 'unseen' },
          { say: ['I look ', 'around.'] },
          { call: 'coral_get_health', args: {} },
          { call: 'coral_query', args: { query: 'p95 ü→✓ "x"\n', scope: 'checkout' } },
        ],
        usage: { input: 900, output: 70 },
      },
      { ...callTools(['coral_query_events', { time_range: '1h' }]), usage: { input: 950, output: 10 } },
      { ...say('payment 1.4.0.\n', 'VERDICT: CONFIRMED'), usage: { input: 1_000, output: 30 } },
    ],
  ],
  [
    'broken JSON and an invented tool, mended',
    [
      {
        parts: [
          { call: 'coral_query', json: '{"query": "lat' },
          { call: 'no_such_tool', args: { a: 1 } },
        ],
        usage: { input: 5, output: 5 },
      },
      { ...say('Sorry.'), usage: { input: 5, output: 5 } },
    ],
  ],
  ['a limit', [{ ...say('As far as'), stop: 'max_tokens', usage: { input: 5, output: 5 } }]],
  ['a refusal', [{ ...say('I will not.'), stop: 'refusal', usage: { input: 5, output: 5 } }]],
  ['401', [{ fault: 'status', status: 401 }]],
  ['429 with a delay', [{ fault: 'status', status: 429, retryAfter: '3' }]],
  ['500', [{ fault: 'status', status: 500 }]],
  ['529', [{ fault: 'status', status: 529 }]],
  ['a web page', [{ fault: 'html' }]],
  ['a redirect', [{ fault: 'redirect', to: 'http://127.0.0.1:9/' }]],
  ['nothing', [{ fault: 'empty' }]],
];

describe.each(scripts)('the same model says %s', (_what, steps) => {
  it('and every protocol tells the same', async () => {
    const [anthropic, responses, chat] = await Promise.all([
      play('anthropic', steps),
      play('responses', steps),
      play('chat', steps),
    ]);
    expect(responses).toEqual(anthropic);
    expect(chat).toEqual(responses);
    expect(anthropic.events.length + (anthropic.failure === undefined ? 0 : 1)).toBeGreaterThan(0);
  });
});
