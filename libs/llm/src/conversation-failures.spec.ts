import { describe, expect, it } from 'vitest';
import { maxCallsInReply, maxReplyChars } from './conversation-reply.js';
import { ProviderFailed, type ProviderFailure } from './llm.errors.js';
import type { ModelEvent } from './provider.js';
import { maxRetryAfterMs, maxTries } from './retry.js';
import { FakeTime } from './spec-support/fake-time.js';
import { budget, outcomesOf, run, unmatchedIn } from './spec-support/run-conversation.js';
import { call, failing, ScriptedModel, text, used } from './spec-support/scripted-model.js';

/** Sleeps that pass at once, noted. */
function noted(): { waits: number[]; sleep: (ms: number) => Promise<void> } {
  const waits: number[] = [];
  return { waits, sleep: async (ms) => void waits.push(ms) };
}

const answer = [text('It was payment, p95 450 ms.'), used(50, 5)];
const price = { inputPerMillion: 10_000, outputPerMillion: 0 };
const passing = ['provider_rate_limited', 'provider_overloaded', 'provider_error', 'provider_unreachable'] as const;
const lasting = ['provider_unauthorized', 'provider_quota', 'provider_refused', 'provider_protocol'] as const;

describe('a request that failed', () => {
  it.each(passing)('is sent again after %s, and its tokens count', async (failure) => {
    const model = new ScriptedModel([failing(failure, [used(100, 0)]), failing(failure, [used(100, 0)]), answer]);
    const { waits, sleep } = noted();
    const { conversation, events } = await run(model, { sleep, price, random: () => 0.5 });
    expect(waits).toEqual([1_000, 2_000]);
    expect(conversation).toMatchObject({ partial: false, answer: 'It was payment, p95 450 ms.', costUsd: 2.5 });
    expect(conversation.usage).toMatchObject({ inputTokens: 250, outputTokens: 5 });
    expect(events.filter((event) => event.type === 'retry')).toMatchObject([
      { attempt: 2, of: 3, waitMs: 1_000, failure: { failure } },
      { attempt: 3, of: 3, waitMs: 2_000 },
    ]);
    expect(model.requests[1]?.turns).toEqual(model.requests[0]?.turns);
  });

  it('is sent three times at most; what there is, is kept and labelled', async () => {
    const failed = failing('provider_overloaded', [used(100, 0)]);
    const model = new ScriptedModel([
      [text('Payment looks ill.'), call('a'), used(100, 0)],
      failed,
      failed,
      failed,
      answer,
    ]);
    const { conversation, events } = await run(model, { ...noted(), price });
    expect(model.requests).toHaveLength(1 + maxTries);
    expect(conversation).toMatchObject({
      answer: 'Payment looks ill.\n[Not complete: the provider is overloaded.]',
      partial: true,
      partialReason: 'provider_failed',
      failure: { kind: 'provider_failed', reason: 'provider_overloaded', message: 'It failed: provider_overloaded.' },
      costUsd: 4,
      toolCalls: [{ name: 'coral_query' }],
    });
    expect(conversation.failure).toBeInstanceOf(ProviderFailed);
    expect(events.at(-1)).toEqual({ type: 'text', text: '\n[Not complete: the provider is overloaded.]' });
    expect(unmatchedIn(conversation.turns)).toEqual([]);
  });

  it.each(lasting)('is not sent again after %s', async (failure) => {
    const model = new ScriptedModel([failing(failure), answer]);
    const { waits, sleep } = noted();
    const { conversation } = await run(model, { sleep });
    expect(waits).toEqual([]);
    expect(model.requests).toHaveLength(1);
    expect(conversation).toMatchObject({ partialReason: 'provider_failed', failure: { failure } });
    expect(conversation.answer).toMatch(/^There is no answer yet\.\n\[Not complete: the .*\.\]$/);
  });

  it('is counted anew for each request', async () => {
    const failed = failing('provider_error');
    const model = new ScriptedModel([failed, failed, [call('a')], failed, failed, answer]);
    const { conversation } = await run(model, noted());
    expect(conversation).toMatchObject({ partial: false, answer: 'It was payment, p95 450 ms.' });
  });

  it('is not sent again once a piece of the answer was shown', async () => {
    const cut = failing('provider_stream_cut', [text('p95 is 450 ms and the cau'), call('a'), used(10, 1)]);
    const model = new ScriptedModel([cut, answer]);
    const called: string[] = [];
    const { conversation } = await run(model, {
      ...noted(),
      callTool: async ({ id, name }) => {
        called.push(id);
        return { callId: id, name, text: '{}', isError: false };
      },
    });
    expect(model.requests).toHaveLength(1);
    expect(conversation.answer).toBe('p95 is 450 ms and the cau\n[Not complete: the provider broke off.]');
    expect(conversation.usage).toMatchObject({ inputTokens: 10, outputTokens: 1 });
    expect(called, 'calls of a reply that was cut').toEqual([]);
    expect(conversation.turns.at(-1)).toEqual({ role: 'assistant', text: 'p95 is 450 ms and the cau', toolCalls: [] });
  });

  it('in the middle of its tool calls is sent again, and none of them is made twice', async () => {
    const called: string[] = [];
    const cut = failing('provider_stream_cut', [call('a'), call('b'), { type: 'alive' }]);
    const { conversation } = await run(new ScriptedModel([cut, [call('a')], answer]), {
      ...noted(),
      callTool: async ({ id, name }) => {
        called.push(id);
        return { callId: id, name, text: '{"p95_ms":450}', isError: false };
      },
    });
    expect(called).toEqual(['a']);
    expect(conversation).toMatchObject({ partial: false, unsupported: [] });
  });

  it('is not sent again when money or tokens are used up', async () => {
    const failed = failing('provider_error', [used(100, 0)]);
    for (const more of [{ maxTokens: 100 }, { maxUsd: 1 }]) {
      const model = new ScriptedModel([failed, answer]);
      const { conversation } = await run(model, { ...noted(), price, budget: { ...budget, ...more } });
      expect(model.requests).toHaveLength(1);
      expect(conversation).toMatchObject({ partialReason: 'provider_failed', costUsd: 1 });
    }
  });
});

describe('the wait before the next try', () => {
  it('is what the provider asks for', async () => {
    const { waits, sleep } = noted();
    await run(new ScriptedModel([failing('provider_rate_limited', [], 7_300), answer]), { sleep });
    expect(waits).toEqual([7_300]);
  });

  it.each([
    [0, 750, 1_500],
    [1, 1_250, 2_500],
  ])('is else doubled, within a quarter up or down (random %d)', async (random, first, second) => {
    const { waits, sleep } = noted();
    const failed = failing('provider_error');
    await run(new ScriptedModel([failed, failed, answer]), { sleep, random: () => random });
    expect(waits).toEqual([first, second]);
  });

  it('is never longer than the cap: it says at once how long the provider asked for', async () => {
    const model = new ScriptedModel([failing('provider_rate_limited', [], maxRetryAfterMs + 1), answer]);
    const { waits, sleep } = noted();
    const { conversation } = await run(model, { sleep, budget: { ...budget, maxSeconds: 600 } });
    expect(waits).toEqual([]);
    expect(conversation.failure).toMatchObject({
      reason: 'provider_rate_limited',
      message: 'It failed: provider_rate_limited. It asked to wait 61 s, which is more than 60 s.',
      next: 'Ask again in 61 s, or use another model with --model.',
      retryAfterMs: maxRetryAfterMs + 1,
    });
  });

  it('is never longer than the time left', async () => {
    const time = new FakeTime();
    for (const [retryAfterMs, words] of [
      [31_000, /asked to wait 31 s, which is more time than this question has left/],
      [undefined, /^It failed: provider_rate_limited\.$/],
    ] as const) {
      const model = new ScriptedModel([failing('provider_rate_limited', [], retryAfterMs), answer]);
      const seconds = retryAfterMs === undefined ? 0.5 : 30;
      const more = { clock: time, alarm: time.alarm, random: () => 0, budget: { ...budget, maxSeconds: seconds } };
      const { conversation } = await run(model, more);
      expect(conversation.failure?.message).toMatch(words);
      expect(model.requests).toHaveLength(1);
    }
    expect(time.pending, 'alarms left behind').toBe(0);
  });

  it('takes a senseless Retry-After for none', async () => {
    for (const senseless of [-5, Number.NaN]) {
      const { waits, sleep } = noted();
      await run(new ScriptedModel([failing('provider_error', [], senseless), answer]), { sleep, random: () => 0.5 });
      expect(waits).toEqual([1_000]);
    }
  });

  it('ends with Ctrl-C, and with the time budget', async () => {
    for (const [reason, seconds, passes] of [
      ['cancelled', 60, 5_000],
      ['seconds', 30, 20_000],
    ] as const) {
      const time = new FakeTime();
      const caller = new AbortController();
      const model = new ScriptedModel([[call('a')], failing('provider_rate_limited', [], 20_000), answer]);
      const work = run(model, {
        clock: time,
        alarm: time.alarm,
        signal: caller.signal,
        budget: { ...budget, maxSeconds: seconds },
        onEvent: ({ type }) => {
          // The clock is set forward while it waits, as when a laptop sleeps.
          if (type === 'retry') time.alarm(5_000, () => (reason === 'cancelled' ? caller.abort() : time.skip(60_000)));
        },
      });
      await time.advance(passes);
      expect(time.pending, 'alarms that would still ring').toBe(0);
      const { conversation } = await work;
      expect(conversation).toMatchObject({ partial: true, partialReason: reason });
      expect(conversation.failure).toBeUndefined();
      expect(model.requests).toHaveLength(2);
    }
  });
});

describe('a provider that falls silent', () => {
  const limits = { ...budget, maxSeconds: 1_000, maxStallSeconds: 90 };

  /** Sends its events `every` ms, then nothing more. */
  function trickling(time: FakeTime, every: number, events: ModelEvent[], signals: AbortSignal[] = []) {
    return async function* ({ signal }: { signal: AbortSignal }) {
      signals.push(signal);
      for (const event of events) {
        await new Promise<void>((go) => time.alarm(every, go));
        yield event;
      }
      await new Promise<never>(() => undefined);
    };
  }

  it('fails its try as stalled, is told to stop, and is asked again', async () => {
    const time = new FakeTime();
    const signals: AbortSignal[] = [];
    const model = new ScriptedModel([trickling(time, 0, [], signals), answer]);
    const work = run(model, { clock: time, alarm: time.alarm, budget: limits, random: () => 0.5 });
    await time.advance(89_999);
    expect(signals[0]?.aborted).toBe(false);
    await time.advance(1);
    expect(signals[0]?.aborted).toBe(true);
    await time.advance(1_000);
    const { conversation, events } = await work;
    expect(conversation).toMatchObject({ partial: false, answer: 'It was payment, p95 450 ms.' });
    expect(events[0]).toMatchObject({ type: 'retry', failure: { failure: 'provider_stalled' } });
    expect(time.pending, 'alarms left behind').toBe(0);
  });

  it('is not silent while it sends signs of life', async () => {
    const time = new FakeTime();
    const alive = Array.from({ length: 5 }, (): ModelEvent => ({ type: 'alive' }));
    const model = new ScriptedModel([trickling(time, 80_000, [...alive, text('So far')]), answer]);
    const work = run(model, { clock: time, alarm: time.alarm, budget: limits });
    await time.advance(6 * 80_000 + 90_000);
    const { conversation } = await work;
    expect(model.requests).toHaveLength(1);
    expect(conversation).toMatchObject({
      answer: 'So far\n[Not complete: the provider fell silent.]',
      failure: { failure: 'provider_stalled', message: 'scripted gave no sign of life for 90 s.' },
    });
  });

  it('that trickles for ever is ended by the time budget', async () => {
    const time = new FakeTime();
    const alive = Array.from({ length: 100 }, (): ModelEvent => ({ type: 'alive' }));
    const work = run(new ScriptedModel([trickling(time, 80_000, alive)]), {
      clock: time,
      alarm: time.alarm,
      budget: limits,
    });
    await time.advance(1_000_000);
    expect((await work).conversation).toMatchObject({ partialReason: 'seconds' });
    expect(time.now()).toBe(1_000_000);
  });
});

describe('a reply', () => {
  it.each<[string, ModelEvent[], RegExp]>([
    ['text', Array.from({ length: 11 }, () => text('x'.repeat(maxReplyChars / 10))), /more than 1000000 characters/],
    ['tool calls', Array.from({ length: maxCallsInReply + 1 }, (_, i) => call(`c${i}`)), /more than 1000 tool calls/],
  ])('with too much %s is no reply, and is not asked for again', async (_, events, words) => {
    const model = new ScriptedModel([[...events, text('the end')], answer]);
    const { conversation } = await run(model, noted());
    expect(model.requests).toHaveLength(1);
    expect(conversation.failure).toMatchObject({ failure: 'provider_protocol', message: expect.stringMatching(words) });
    expect(outcomesOf(conversation.turns)).toEqual([]);
  });

  it('labels each kind of failure in words of our own', async () => {
    const labels = new Set<string>();
    for (const failure of [...passing, ...lasting, 'provider_stream_cut', 'provider_stalled'] as ProviderFailure[]) {
      const failed = failing(failure);
      const { conversation } = await run(new ScriptedModel([failed, failed, failed]), noted());
      expect(conversation.answer).not.toContain('It failed');
      labels.add(conversation.answer);
    }
    expect(labels.size).toBe(10);
  });
});
