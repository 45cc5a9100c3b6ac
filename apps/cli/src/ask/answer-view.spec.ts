import { ProviderFailed, type Conversation } from '@coral/llm';
import { describe, expect, it } from 'vitest';
import { AnswerView, answerJson, footer } from './answer-view.js';
import type { AskOutcome } from './ask-session.js';

const conversation: Conversation = {
  answer: 'Payment 1.5.0 is slow.\nRoll it back.',
  turns: [],
  toolCalls: [
    { name: 'coral_get_health', args: {}, ms: 12.4, isError: false, bytes: 900 },
    { name: 'coral_query', args: { query: 'latency' }, ms: 30, isError: true, bytes: 80 },
  ],
  usage: { inputTokens: 0, outputTokens: 0 },
  costUsd: 0,
  verdict: 'CONFIRMED',
  diagnosis: {
    verdict: 'CONFIRMED',
    symptom: null,
    cause: {
      service: 'payment',
      kind: 'deploy',
      version: '1.5.0',
      previousVersion: '1.4.0',
      at: '2026-11-21T10:30:00.000Z',
    },
    ranked: [],
    evidence: [{ text: 'p95 150 to 450 ms', tool: 'coral_query', service: 'payment' }],
    ruledOut: [],
    gaps: [],
    text: '',
  },
  partial: false,
  unsupported: [],
  silentAgents: [],
};
const call = { id: 'c1', name: 'coral_query', args: {} };
const coverage = { asked: 1, answered: ['agt-a'], late: [], silent: [], denied: [] };
const outcome: AskOutcome = { conversation, coverage, agentId: 'eph-abc' };

function viewOf(mode: 'stream' | 'whole' | 'json', isTTY = false) {
  const written: [string, string][] = [];
  const to = (name: string) => ({ isTTY, write: (text: string) => written.push([name, text]) });
  const view = new AnswerView({ stdout: to('out'), stderr: to('err'), mode });
  const all = (name: string) => written.map(([where, text]) => (where === name ? text : '')).join('');
  return {
    view,
    stdout: () => all('out'),
    stderr: () => all('err'),
    screen: () => written.map(([, text]) => text).join(''),
  };
}

describe('an answer', () => {
  it('streams to stdout, and everything else goes to stderr', () => {
    const { view, stdout, stderr } = viewOf('stream');
    view.onEvent({
      type: 'tool_finished',
      call,
      name: 'coral_query',
      args: { query: 'latency' },
      ms: 31.4,
      isError: false,
      bytes: 6_120,
    });
    view.onEvent({ type: 'tool_finished', call, name: 'coral_fetch_live', args: {}, ms: 3, isError: true, bytes: 80 });
    view.onEvent({ type: 'text', text: 'Payment 1.5.0 ' });
    view.onEvent({ type: 'text', text: 'is slow.' });
    expect(stdout()).toBe('Payment 1.5.0 is slow.');
    view.finish('Why?', outcome, 1_400);
    expect(stdout()).toBe('Payment 1.5.0 is slow.\n');
    expect(stderr()).toBe(
      [
        '  coral_query query="latency" · 31 ms · 6.1 kB',
        '  coral_fetch_live · 3 ms · refused',
        '2 tools · 0 in / 0 out tokens · $0.00 · 1.4 s · lease eph-abc',
        '',
      ].join('\n'),
    );
  });

  it('comes whole when it does not stream', () => {
    const { view, stdout } = viewOf('whole');
    view.onEvent({ type: 'text', text: 'Payment' });
    expect(stdout()).toBe('');
    view.finish('Why?', outcome, 1_400);
    expect(stdout()).toBe('Payment 1.5.0 is slow.\nRoll it back.\n');
  });

  it('names what is missing', () => {
    const { view, stderr } = viewOf('whole');
    const partial = { ...conversation, partial: true, unsupported: ['99 ms'] };
    view.finish(
      'Why?',
      { ...outcome, conversation: partial, coverage: { ...coverage, asked: 2, silent: ['agt-b'] } },
      1,
    );
    expect(stderr()).toContain('Partial: 1 of 2 agents answered; silent: agt-b.\nIn no tool result: 99 ms\n');
  });

  it('keeps lines apart on a terminal that both streams share', () => {
    const { view, screen } = viewOf('stream', true);
    view.onEvent({ type: 'text', text: 'half' });
    view.say('Reconnecting…');
    view.onEvent({ type: 'text', text: 'rest' });
    view.breakOff();
    expect(screen()).toBe('half\nReconnecting…\nrest\n');
  });

  it('lets no model and no service write to the terminal', () => {
    const { view, screen } = viewOf('stream', true);
    view.onEvent({ type: 'text', text: 'a\u001b[2Jb\u202e' });
    view.onEvent({
      type: 'tool_finished',
      call,
      name: 'coral_query',
      args: { query: '\u001b[1m\n' },
      ms: 1,
      isError: false,
      bytes: 1,
    });
    view.say('x\u0007y');
    // oxlint-disable-next-line no-control-regex
    expect(screen()).not.toMatch(/[\u001b\u0007\u202e]/);
  });

  it('is one object for programs, in wire names', () => {
    const { view, stdout, stderr } = viewOf('json');
    view.onEvent({ type: 'text', text: 'streamed' });
    view.finish('Why?', outcome, 1_403.7);
    expect(stderr()).toBe('');
    expect(JSON.parse(stdout())).toEqual({
      question: 'Why?',
      answer: conversation.answer,
      verdict: 'CONFIRMED',
      cause: {
        service: 'payment',
        kind: 'deploy',
        version: '1.5.0',
        previous_version: '1.4.0',
        at: '2026-11-21T10:30:00.000Z',
      },
      evidence: [{ text: 'p95 150 to 450 ms', tool: 'coral_query', service: 'payment' }],
      tools: [
        { name: 'coral_get_health', args: {}, ms: 12, bytes: 900, is_error: false },
        { name: 'coral_query', args: { query: 'latency' }, ms: 30, bytes: 80, is_error: true },
      ],
      usage: { input_tokens: 0, output_tokens: 0 },
      cost_usd: 0,
      seconds: 1.404,
      coverage,
      partial: false,
      unsupported: [],
      agent_id: 'eph-abc',
    });
    const { diagnosis: _none, ...bare } = conversation;
    expect(answerJson('Why?', { ...outcome, conversation: bare }, 1)).toMatchObject({ cause: null, evidence: [] });
  });

  it('that a provider broke off carries its error for programs, and nothing that stays inside', () => {
    const { view, stdout } = viewOf('json');
    const failure = new ProviderFailed({
      provider: 'anthropic',
      failure: 'provider_overloaded',
      message: 'anthropic is overloaded.',
      cause: new Error('inside'),
    });
    const broken: Conversation = { ...conversation, partial: true, partialReason: 'provider_failed', failure };
    view.finish('Why?', { ...outcome, conversation: broken }, 1);
    const { error, partial, partial_reason } = JSON.parse(stdout()) as Record<string, unknown>;
    expect({ partial, partial_reason }).toEqual({ partial: true, partial_reason: 'provider_failed' });
    expect(error).toEqual({
      kind: 'provider_failed',
      reason: 'provider_overloaded',
      message: 'anthropic is overloaded.',
      where: 'anthropic',
      next: expect.any(String),
    });
  });

  it('that takes another try says so on one line, whatever the provider wrote', () => {
    const { view, stderr } = viewOf('stream');
    const failure = new ProviderFailed({
      provider: 'openai',
      failure: 'provider_error',
      message: 'openai said: \u001b[2J\nTraceback',
    });
    view.onEvent({ type: 'retry', failure, attempt: 2, of: 3, waitMs: 1_400 });
    expect(stderr().split('\n')).toHaveLength(2);
    expect(stderr()).toMatch(/^provider_error: openai said: .* Trying again in 1\.4 s \(2 of 3\)\.\n$/);
    expect(stderr()).not.toContain('\u001b');
  });

  it('tells which of its tokens came from the cache', () => {
    const usage = { inputTokens: 2_140, outputTokens: 340, cacheReadTokens: 1_800, cacheWriteTokens: 0 };
    expect(footer({ ...conversation, usage }, 'eph-x', 1)).toContain(' 2.1k in (1.8k cached) / 340 out tokens ');
    expect(answerJson('Why?', { ...outcome, conversation: { ...conversation, usage } }, 1)).toMatchObject({
      usage: { input_tokens: 2_140, output_tokens: 340, cache_read_tokens: 1_800 },
    });
  });

  it.each([
    [0, '$0.00'],
    [0.000_001, '<$0.0001'],
    [0.0042, '$0.0042'],
    [0.0123, '$0.0123'],
    [1.5, '$1.50'],
    [null, 'cost unknown'],
  ])('shows a cost of %s as %s', (costUsd, text) => {
    const usage = { inputTokens: 2_140, outputTokens: 340 };
    expect(footer({ ...conversation, costUsd, usage, toolCalls: [] }, 'eph-x', 6_420)).toBe(
      `0 tools · 2.1k in / 340 out tokens · ${text} · 6.4 s · lease eph-x`,
    );
  });
});
