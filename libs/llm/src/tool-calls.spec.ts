import { toolDefinitions } from '@coral/tools';
import { describe, expect, it } from 'vitest';
import type { ModelEvent, ToolCall, ToolOutcome } from './provider.js';
import { budget, outcomesOf, run, unmatchedIn } from './spec-support/run-conversation.js';
import { call, ScriptedModel, text, used } from './spec-support/scripted-model.js';
import { maxEchoedArguments, tidyCalls } from './tool-calls.js';

function malformed(id: string, written: string): ModelEvent {
  return { type: 'tool_call', call: { id, name: 'coral_query', args: {}, malformed: written } };
}

/** A colony that remembers what reached it. */
function colony(): { called: ToolCall[]; callTool: (call: ToolCall) => Promise<ToolOutcome> } {
  const called: ToolCall[] = [];
  return {
    called,
    callTool: async (one) => {
      called.push(one);
      return { callId: one.id, name: one.name, text: `{"n":${called.length}}`, isError: false };
    },
  };
}

describe('a call with broken arguments', () => {
  it('is answered with what was wrong, and never made', async () => {
    const { called, callTool } = colony();
    const model = new ScriptedModel([[malformed('a', '{"query": "laten'), call('b')], [text('ok')]]);
    const { conversation, events } = await run(model, { callTool });
    expect(called.map(({ id }) => id)).toEqual(['b']);
    expect(outcomesOf(conversation.turns)[0]).toEqual({
      callId: 'a',
      name: 'coral_query',
      text: 'Not made: the arguments of coral_query were no JSON object. They were: {"query": "laten',
      isError: true,
    });
    expect(conversation.toolCalls).toHaveLength(1);
    expect(events.filter((event) => event.type === 'tool_started')).toHaveLength(1);
  });

  it('is repeated cut, with every character visible', async () => {
    const written = `{"a":"\u001b[2J\u202e\u{e0041}\ud800${'x'.repeat(5_000)}`;
    const { conversation } = await run(new ScriptedModel([[malformed('a', written)], [text('ok')]]));
    const [outcome] = outcomesOf(conversation.turns);
    expect(outcome?.text).toContain('\\u001b[2J\\u202e\\udb40\\udc41\\ud800xxx');
    expect(outcome?.text).toContain(`… (${written.length} characters)`);
    expect(outcome?.text.length).toBeLessThan(maxEchoedArguments + 200);
    expect(outcome?.text.isWellFormed()).toBe(true);
  });

  it('uses up the budget, so that endless ones end', async () => {
    const steps = Array.from({ length: 50 }, (_, i) => [malformed(`m${i}`, 'nope')]);
    const model = new ScriptedModel(steps);
    const { conversation } = await run(model, { budget: { ...budget, maxSteps: 40, maxToolCalls: 5 } });
    expect(model.requests).toHaveLength(6);
    expect(model.requests.at(-1)).toMatchObject({ tools: [], withheld: toolDefinitions });
    expect(model.requests.at(-2)?.withheld).toBeUndefined();
    expect(conversation).toMatchObject({ partial: true, partialReason: 'tool_calls', toolCalls: [] });
  });
});

describe('an invented tool', () => {
  it('is answered with the tools there are, and uses up the budget', async () => {
    const { called, callTool } = colony();
    const steps = Array.from({ length: 50 }, (_, i) => [call(`c${i}`, {}, 'coral_delete_everything')]);
    const model = new ScriptedModel(steps);
    const { conversation } = await run(model, { callTool, budget: { ...budget, maxSteps: 40, maxToolCalls: 5 } });
    expect(called).toEqual([]);
    expect(model.requests).toHaveLength(6);
    const [outcome] = outcomesOf(conversation.turns);
    expect(outcome?.text).toMatch(/^There is no tool "coral_delete_everything"\. Tools: coral_query, /);
    expect(unmatchedIn(conversation.turns)).toEqual([]);
  });

  it('with a name that no API takes back stands in the history under one it does', async () => {
    const name = 'rm -rf /\u001b[2J\u202e"><img src=x>'.padEnd(300, 'y');
    const { conversation } = await run(new ScriptedModel([[call('a', {}, name)], [text('ok')]]));
    const names = conversation.turns.flatMap((turn) => {
      if (turn.role === 'assistant') return turn.toolCalls.map((one) => one.name);
      return turn.role === 'tool' ? turn.outcomes.map((one) => one.name) : [];
    });
    expect(new Set(names).size).toBe(1);
    expect(names[0]).toMatch(/^unknown_rm_-rf_[\w-]{1,56}$/);
    expect(outcomesOf(conversation.turns)[0]?.text).toMatch(/^There is no tool "unknown_rm_-rf_/);
  });
});

describe('a thousand calls in one reply', () => {
  const flood = Array.from({ length: 1_000 }, (_, i) => call(`c${i}`, { i }));

  it('get an outcome each; only those within the budget are made, four at a time', async () => {
    let open = 0;
    let most = 0;
    const { called, callTool } = colony();
    const { conversation, events } = await run(new ScriptedModel([flood, [text('done')]]), {
      budget: { ...budget, maxToolCalls: 60 },
      callTool: async (one) => {
        most = Math.max(most, (open += 1));
        const answer = await callTool(one);
        open -= 1;
        return answer;
      },
    });
    expect(most).toBeLessThanOrEqual(4);
    expect(called.map(({ id }) => id)).toEqual(flood.slice(0, 60).map((one) => (one as { call: ToolCall }).call.id));
    const outcomes = outcomesOf(conversation.turns);
    expect(outcomes.map(({ callId }) => callId)).toEqual(Array.from({ length: 1_000 }, (_, i) => `c${i}`));
    expect(outcomes.filter(({ isError }) => isError)).toHaveLength(940);
    expect(outcomes[999]?.text).toBe('Not made: the budget of tool calls is used up.');
    expect(events.filter(({ type }) => type.startsWith('tool_'))).toHaveLength(120);
    expect(conversation).toMatchObject({ partialReason: 'tool_calls', answer: expect.stringMatching(/^done\n/) });
  });

  it('of which most are invented leave room for none beyond the budget', async () => {
    const invented = Array.from({ length: 1_000 }, (_, i) => call(`c${i}`, {}, i < 990 ? `tool_${i}` : 'coral_query'));
    const { called, callTool } = colony();
    const model = new ScriptedModel([invented, [text('done')]]);
    const { conversation } = await run(model, { callTool, budget: { ...budget, maxToolCalls: 60 } });
    expect(called).toEqual([]);
    const sent = outcomesOf(conversation.turns).reduce((sum, one) => sum + one.text.length, 0);
    expect(sent, 'characters the refusals cost').toBeLessThan(80_000);
  });
});

describe('ids that stand twice', () => {
  it('in one reply get an outcome of their own each', async () => {
    const { called, callTool } = colony();
    const first: ModelEvent[] = [call('x', { n: 1 }), call('x', { n: 2 }), call('x_2', { n: 3 }), call('', { n: 4 })];
    const native: ModelEvent = { type: 'native', reply: { provider: 'scripted', model: 'm', content: ['x', 'x'] } };
    const model = new ScriptedModel([[...first, native], [text('ok')]]);
    const { conversation } = await run(model, { callTool });
    expect(called.map(({ id, args }) => [id, args['n']])).toEqual([
      ['x', 1],
      ['x_2', 2],
      ['x_2_2', 3],
      ['call', 4],
    ]);
    expect(outcomesOf(conversation.turns).map(({ text: said }) => /"n":\d/.exec(said)?.[0])).toEqual(
      [1, 2, 3, 4].map((n) => `"n":${n}`),
    );
    expect(unmatchedIn(model.requests[1]?.turns ?? [])).toEqual([]);
    // The provider's own form still has them twice: it does not go back.
    expect(conversation.turns[1]).not.toHaveProperty('native');
  });

  it('over two replies, as of servers that count from zero each time, do too', async () => {
    const model = new ScriptedModel([[call('call_0')], [call('call_0')], [text('ok')]]);
    const { conversation } = await run(model);
    expect(outcomesOf(conversation.turns).map(({ callId }) => callId)).toEqual(['call_0', 'call_0_2']);
    expect(unmatchedIn(conversation.turns)).toEqual([]);
  });

  it('are found in earlier questions of the same conversation', async () => {
    const { conversation: earlier } = await run(new ScriptedModel([[call('call-1')], [text('ok')]]));
    const { conversation } = await run(new ScriptedModel([[call('call-1')], [text('ok')]]), { history: earlier.turns });
    expect(unmatchedIn(conversation.turns)).toEqual([]);
  });

  it('leave calls alone that are as they should be', () => {
    const calls = [{ id: 'a', name: 'coral_query', args: {} }];
    expect(tidyCalls(calls, new Set(['b']))).toEqual({ calls, changed: false });
  });
});

describe('the history', () => {
  const native: ModelEvent = { type: 'native', reply: { provider: 'p', model: 'm', content: [{ signature: 'abc' }] } };

  it("gives the provider's own form of a reply back unchanged", async () => {
    const model = new ScriptedModel([[text('Let me look.'), call('a'), native], [text('ok')]]);
    await run(model);
    expect(model.requests[1]?.turns[1]).toEqual({
      role: 'assistant',
      text: 'Let me look.',
      toolCalls: [{ id: 'a', name: 'coral_query', args: {} }],
      native: { provider: 'p', model: 'm', content: [{ signature: 'abc' }] },
    });
  });

  it.each<[string, ModelEvent[], object]>([
    ['its output limit', [text('So'), call('b'), native, { type: 'stop', reason: 'max_tokens' }], {}],
    ['a refusal', [text('So'), call('b'), native, { type: 'stop', reason: 'refusal' }], {}],
    ['the last step', [text('So'), call('b'), native], { maxSteps: 2 }],
  ])('holds no call without an outcome after %s', async (_, events, limits) => {
    const model = new ScriptedModel([[call('a')], events]);
    const { conversation } = await run(model, { budget: { ...budget, ...limits } });
    expect(conversation.partial).toBe(true);
    expect(conversation.turns.at(-1)).toEqual({ role: 'assistant', text: 'So', toolCalls: [] });
    expect(unmatchedIn(conversation.turns)).toEqual([]);
  });

  it('holds no empty reply', async () => {
    const { conversation } = await run(new ScriptedModel([[{ type: 'stop', reason: 'end' }]]));
    expect(conversation.turns.map(({ role }) => role)).toEqual(['user']);
    expect(conversation).toMatchObject({ answer: 'The model said nothing.', verdict: 'INCONCLUSIVE', partial: false });
  });
});

describe('money', () => {
  const price = { inputPerMillion: 1_000_000, outputPerMillion: 0 };
  const steps = Array.from({ length: 20 }, (_, i) => [text(`Thought ${i}.`), call(`c${i}`), used(10, 100)]);

  it('ends the conversation at its limit, and leaves a step for the answer when the next would reach it', async () => {
    const model = new ScriptedModel(steps);
    const { conversation } = await run(model, { price, budget: { ...budget, maxUsd: 45 } });
    expect(model.requests.map(({ tools }) => tools.length)).toEqual([5, 5, 5, 5, 0]);
    expect(conversation).toMatchObject({ costUsd: 50, partialReason: 'money' });
    expect(conversation.answer).toBe('Thought 4.\n[Not complete: the limit of $45 was reached.]');
  });

  it('is never spent on a request once the limit is reached', async () => {
    const model = new ScriptedModel([[text('Thought.'), call('a'), used(100, 0)], [text('never')]]);
    const { conversation } = await run(model, { price, budget: { ...budget, maxUsd: 45 } });
    expect(model.requests).toHaveLength(1);
    expect(conversation).toMatchObject({ costUsd: 100, partialReason: 'money' });
    expect(conversation.answer).toMatch(/^Thought\.\n/);
  });

  it('has no limit without a price, and none on this machine', async () => {
    for (const [local, cost] of [
      [false, null],
      [true, 0],
    ] as const) {
      const model = new ScriptedModel([...steps.slice(0, 5), [text('ok')]], local);
      const { conversation } = await run(model, { ...(local ? { price } : {}), budget: { ...budget, maxUsd: 1 } });
      expect(conversation).toMatchObject({ partial: false, costUsd: cost });
    }
  });
});
