import { callTools, say, type ScriptStep } from '@coral/testing';
import { toolDefinitions } from '@coral/tools';
import { describe, expect, it } from 'vitest';
import { converse, type ConverseOptions } from './conversation.js';
import type { ToolOutcome } from './provider.js';
import { pair, type Pair } from './spec-support/anthropic.js';

const budget = { maxSteps: 6, maxToolCalls: 10, maxSeconds: 600 };
const health: ConverseOptions['callTool'] = ({ id, name }) =>
  Promise.resolve<ToolOutcome>({ callId: id, name, text: '{"services":["checkout"],"p95_ms":450}', isError: false });

function ask(both: Pair, more: Partial<ConverseOptions> = {}): ReturnType<typeof converse> {
  return converse({
    provider: both.provider,
    question: 'Why is checkout slow?',
    tools: toolDefinitions,
    budget,
    signal: new AbortController().signal,
    callTool: health,
    ...more,
  });
}

/** Waits that were asked for, none of them waited. */
function waits(): { list: number[]; sleep: NonNullable<ConverseOptions['sleep']>; random: () => number } {
  const list: number[] = [];
  return { list, sleep: (ms) => Promise.resolve(void list.push(ms)), random: () => 0.5 };
}

describe('a conversation with Claude, over the wire', () => {
  it('answers from what the tools really returned', async () => {
    await using both = await pair([
      {
        parts: [
          { think: 'Health first.' },
          { call: 'coral_get_health' },
          { call: 'coral_query', args: { query: 'p95' } },
        ],
      },
      ({ results }) =>
        say(`${results.length} results; p95 is ${/"p95_ms":(\d+)/.exec(results[0]?.text ?? '')?.[1]} ms.`),
    ]);
    const conversation = await ask(both);
    expect(conversation.answer).toBe('2 results; p95 is 450 ms.');
    expect(conversation).toMatchObject({ partial: false, unsupported: [] });
    expect(both.server.refusals).toEqual([]);
    expect(conversation.usage.inputTokens).toBeGreaterThan(0);
  });

  it('tries three times, as long after each other as the API asks, and then answers', async () => {
    await using both = await pair([
      { fault: 'status', status: 429, retryAfter: '3' },
      { fault: 'status', status: 529 },
      say('Now.'),
    ]);
    const { list, ...timing } = waits();
    expect(await ask(both, timing)).toMatchObject({ answer: 'Now.', partial: false });
    expect(list).toEqual([3_000, 2_000]);
    expect(both.server.requests).toHaveLength(3);
  });

  it.each([
    ['500', { fault: 'status', status: 500 }, 3, 'provider_error'],
    ['429 without a word how long', { fault: 'status', status: 429 }, 3, 'provider_rate_limited'],
    ['529', { fault: 'status', status: 529 }, 3, 'provider_overloaded'],
    [
      'a call cut off',
      { ...callTools(['coral_query', { query: 'p95' }]), break: { in: 'tool_call', by: 'reset' } },
      3,
      'provider_stream_cut',
    ],
    ['401', { fault: 'status', status: 401 }, 1, 'provider_unauthorized'],
    ['a web page', { fault: 'html' }, 1, 'provider_protocol'],
    [
      'a text cut off: it was shown',
      { ...say('So ', 'far.'), break: { in: 'text', by: 'reset' } },
      1,
      'provider_stream_cut',
    ],
  ] as [string, ScriptStep, number, string][])('ends after %s in what there is', async (_, step, tries, reason) => {
    await using both = await pair([callTools(['coral_get_health']), ...Array.from({ length: 5 }, () => step)]);
    const { list: _list, ...timing } = waits();
    const conversation = await ask(both, timing);
    expect(conversation).toMatchObject({ partial: true, partialReason: 'provider_failed', failure: { reason } });
    expect(both.server.requests).toHaveLength(1 + tries);
    // The step before it counts, and so does what failed after its prompt was read.
    expect(conversation.usage.inputTokens).toBeGreaterThan(0);
    expect(conversation.toolCalls).toHaveLength(1);
    expect(both.server.refusals).toEqual([]);
  });

  it('gives up on a slow-loris stream, hangs up, and tries again', async () => {
    await using both = await pair([{ fault: 'slow_loris', everyMs: 1 }, say('Now.')]);
    const stallMs = 90_000;
    const { list, ...timing } = waits();
    const conversation = await ask(both, {
      ...timing,
      budget: { ...budget, maxStallSeconds: stallMs / 1_000 },
      // The time is up for the first try, when a good deal of its one event has come.
      alarm: (ms, ring) => {
        if (ms === stallMs && both.server.requests.length === 0) {
          void both.server.request(1).then(async (asked) => asked.sent(200).then(ring));
        }
        return () => undefined;
      },
    });
    expect(conversation).toMatchObject({ answer: 'Now.', partial: false });
    expect(list).toHaveLength(1);
    expect(await both.server.requests[0]?.over).toBe(false);
  });

  it('ends endless calls by the budget, each answered, and asks for the answer without tools', async () => {
    const forever: ScriptStep[] = Array.from(
      { length: budget.maxSteps },
      () =>
        ({ tools }) =>
          tools.length > 0 ? callTools(['coral_get_health'], ['coral_query', { query: 'again' }]) : say('Enough.'),
    );
    await using both = await pair(forever);
    const conversation = await ask(both);
    expect(conversation.answer).toMatch(/^Enough\./);
    expect(conversation.partial).toBe(true);
    expect(both.server.refusals).toEqual([]);
  });

  it('answers broken arguments, invented tools and a thousand calls without making them', async () => {
    const many = Array.from({ length: 1_000 }, (_, i): [string, Record<string, unknown>] => [
      'coral_query',
      { query: `q${i}` },
    ]);
    await using both = await pair([
      {
        parts: [
          { call: 'coral_query', json: '{"query": ' },
          { call: 'rm -rf /', args: {} },
        ],
      },
      callTools(...many),
      ({ results }) => say(`${results.length} results.`),
    ]);
    const made: string[] = [];
    const conversation = await ask(both, {
      callTool: (call, signal) => {
        made.push(call.name);
        return health(call, signal);
      },
    });
    expect(conversation.answer).toMatch(/^1000 results\./);
    // The two that were none count, too.
    expect(made).toHaveLength(budget.maxToolCalls - 2);
    expect(new Set(made)).toEqual(new Set(['coral_query']));
    expect(both.server.refusals).toEqual([]);
  });

  it('goes on after a conversation that was cut off in the middle', async () => {
    await using both = await pair([
      callTools(['coral_get_health']),
      { parts: [{ say: ['So ', 'far.'] }], break: { in: 'text', by: 'reset' } },
      say('On we go.'),
    ]);
    const first = await ask(both, waits());
    expect(first.partial).toBe(true);
    const second = await ask(both, { history: first.turns, question: 'And now?' });
    expect(second.answer).toBe('On we go.');
    expect(both.server.refusals).toEqual([]);
  });
});
