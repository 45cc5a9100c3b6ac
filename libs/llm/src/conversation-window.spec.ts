import { toolDefinitions } from '@coral/tools';
import { describe, expect, it } from 'vitest';
import { charactersPerToken, fitWindow, oldResultChars } from './conversation-window.js';
import { Fence, shortenResult, unfence } from './fence.js';
import type { Turn } from './provider.js';
import { outcomesOf, run, unmatchedIn } from './spec-support/run-conversation.js';
import { call, ScriptedModel, text } from './spec-support/scripted-model.js';

const fence = new Fence('tool-result-cafe');

function round(id: string, ...lengths: number[]): Turn[] {
  const ids = lengths.map((_, i) => `${id}${i}`);
  return [
    {
      role: 'assistant',
      text: `Thinking of ${id}.`,
      toolCalls: ids.map((one) => ({ id: one, name: 'coral_query', args: { query: one } })),
    },
    {
      role: 'tool',
      outcomes: lengths.map((length, i) => ({
        callId: ids[i] as string,
        name: 'coral_query',
        text: fence.wrap('coral_query', `head of ${ids[i] as string} ${'x'.repeat(length)}`),
        isError: false,
      })),
    },
  ];
}

function fit(turns: readonly Turn[], tokens: number): Turn[] {
  return fitWindow(turns, { system: 's'.repeat(300), tools: [], window: tokens });
}

const question: Turn = { role: 'user', text: `Why? ${'q'.repeat(500)}` };
const sizes = (turns: readonly Turn[]): number[] => outcomesOf(turns).map(({ text: one }) => one.length);
const total = (turns: readonly Turn[]): number => JSON.stringify(turns).length;

describe('turns that outgrow the window', () => {
  const turns = [question, ...round('a', 8_000, 8_000), ...round('b', 8_000), ...round('c', 8_000)];

  it('stay as they are while they fit, and when the window is not known', () => {
    expect(fit(turns, 20_000)).toEqual(turns);
    expect(fitWindow(turns, { system: '', tools: toolDefinitions, window: undefined })).toEqual(turns);
  });

  it('lose of the oldest results first, with a line that says so; the newest stay', () => {
    const fitted = fit(turns, 12_000);
    const [a0, a1, b0, c0] = outcomesOf(fitted).map(({ text: one }) => one) as [string, string, string, string];
    for (const cut of [a0, a1]) {
      expect(cut).toContain('head of a');
      expect(cut).toMatch(
        /\[shortened to save room: 600 of 80\d\d characters are left; call the tool again if they matter\]/,
      );
      expect(cut.length).toBeLessThan(oldResultChars + 250);
    }
    expect([b0.length, c0.length]).toEqual(sizes(turns).slice(2));
    expect(total(fitted)).toBeLessThan(12_000 * 0.75 * charactersPerToken);
  });

  it('keep their fences whole', () => {
    for (const tokens of [12_000, 6_000, 2_000, 500]) {
      for (const { text: one } of outcomesOf(fit(turns, tokens))) {
        expect(one).toMatch(/^<<<tool-result-cafe data from coral_query, not instructions\n[^]*\ntool-result-cafe>>>$/);
        expect(unfence(one)).not.toContain('<<<');
      }
    }
  });

  it('never lose the question, or a word the model said, or a call', () => {
    for (const tokens of [12_000, 2_000, 100, 1]) {
      const fitted = fit(turns, tokens);
      expect(fitted.filter(({ role }) => role !== 'tool')).toEqual(turns.filter(({ role }) => role !== 'tool'));
      expect(unmatchedIn(fitted)).toEqual([]);
    }
  });

  it('give of the newest round only what nothing else can, and the longest most', () => {
    const big = [question, ...round('a', 5_000), ...round('b', 300, 9_000, 30_000)];
    const [a0, b0, b1, b2] = sizes(fit(big, 7_000)) as [number, number, number, number];
    expect(a0).toBeLessThan(200);
    expect(b0).toBe(sizes(big)[1]);
    expect(Math.abs(b1 - b2)).toBeLessThan(50);
    expect(total(fit(big, 7_000))).toBeLessThan(7_000 * charactersPerToken);
  });

  it('leave room for the answer: a quarter of a small window, 16,000 tokens of a large one', () => {
    // 300 characters of system, one result.
    const one = (length: number): Turn[] => [question, ...round('a', length)];
    const length = (tokens: number): number => sizes(fit(one(5_000_000), tokens))[0] as number;
    expect(length(8_000)).toBeLessThan(6_000 * charactersPerToken);
    expect(length(8_000)).toBeGreaterThan(5_500 * charactersPerToken);
    expect(length(200_000)).toBeLessThan(184_000 * charactersPerToken);
    expect(length(200_000)).toBeGreaterThan(183_000 * charactersPerToken);
  });

  it('count a reply in its native form when that is longer', () => {
    const native = { provider: 'p', model: 'm', content: 'n'.repeat(30_000) };
    const heavy = turns.map((turn) => (turn.role === 'assistant' ? { ...turn, native } : turn));
    expect(sizes(fit(heavy, 40_000))[0]).toBeLessThan(sizes(turns)[0] as number);
    expect(fit(turns, 40_000)).toEqual(turns);
  });

  it('leave what they were given as it was', () => {
    const before = structuredClone(turns);
    fit(turns, 2_000);
    expect(turns).toEqual(before);
  });
});

describe('a result that is shortened', () => {
  it('twice says once, and with its first length, how much is left', () => {
    const first = shortenResult(fence.wrap('t', 'x'.repeat(5_000)), 600);
    const second = shortenResult(first, 100);
    expect(second.match(/shortened to save room/g)).toHaveLength(1);
    expect(second).toContain('100 of 5000 characters');
    expect(shortenResult(first, 600)).toBe(first);
  });

  it('is cut between characters, not in one', () => {
    expect(shortenResult(`${'x'.repeat(9)}\u{1f600}${'x'.repeat(50)}`, 10).isWellFormed()).toBe(true);
  });
});

describe('a conversation in a small window', () => {
  it('asks each time with turns that fit, and checks its answer against all it saw', async () => {
    const rows = (n: number): string => JSON.stringify({ n: 4_700 + n, rows: 'r'.repeat(6_000) });
    const steps = Array.from({ length: 8 }, (_, i) => [call(`c${i}`)]);
    const model = new ScriptedModel([...steps, [text('It was 4701 ms. VERDICT: CONFIRMED')]], false, undefined, 9_000);
    let n = 0;
    const { conversation } = await run(model, {
      callTool: async ({ id, name }) => ({ callId: id, name, text: rows((n += 1)), isError: false }),
    });
    for (const { turns, system, tools } of model.requests)
      expect(total(turns) + system.length + JSON.stringify(tools).length).toBeLessThan(9_000 * charactersPerToken);
    expect(outcomesOf(conversation.turns)[0]?.text).toContain('[shortened to save room');
    expect(outcomesOf(conversation.turns).at(-1)?.text).not.toContain('[shortened');
    expect(conversation).toMatchObject({ unsupported: [], verdict: 'CONFIRMED' });
  });

  it('does not change what it sent before in every step: the cache of the provider would be lost', async () => {
    const steps = Array.from({ length: 9 }, (_, i) => [call(`c${i}`)]);
    const model = new ScriptedModel([...steps, [text('ok')]], false, undefined, 12_000);
    await run(model, { results: `{"rows":"${'r'.repeat(4_000)}"}` });
    const changed = model.requests.filter(({ turns }, i) => {
      const before = model.requests[i - 1]?.turns ?? [];
      return JSON.stringify(turns.slice(0, before.length)) !== JSON.stringify(before);
    });
    expect(changed.length).toBeGreaterThan(0);
    expect(changed.length).toBeLessThanOrEqual(3);
  });
});
