import { ProviderFailed, unfence, type ModelEvent, type ModelRequest, type Provider } from '@coral/llm';
import { describe, expect, it } from 'vitest';
import { probeBudget, probeModel } from './probe-model.js';

type Step = (request: ModelRequest) => ModelEvent[];

/** One step of a model for each request. */
function modelOf(...steps: Step[]): Provider {
  let asked = 0;
  return {
    name: 'openai',
    model: 'm-1',
    local: false,
    async *respond(request) {
      const step = steps[asked] ?? steps.at(-1);
      asked += 1;
      yield { type: 'usage', inputTokens: 100, outputTokens: 10 };
      yield* step?.(request) ?? [];
    },
  };
}

const wordIn = ({ turns }: ModelRequest) => {
  const [first] = turns;
  return first?.role === 'user' ? (/the word (\w+)/.exec(first.text)?.[1] ?? '') : '';
};
const receiptIn = ({ turns }: ModelRequest) => {
  const last = turns.at(-1);
  const text = last?.role === 'tool' ? unfence(last.outcomes[0]?.text ?? '') : '';
  return /"receipt":"(\w+)"/.exec(text)?.[1] ?? 'none';
};
const callWith = (word: string): ModelEvent[] => [
  { type: 'tool_call', call: { id: `c-${word}`, name: 'coral_echo', args: { word } } },
  { type: 'stop', reason: 'tool_use' },
];
const call: Step = (request) => callWith(wordIn(request));
const say = (text: string): ModelEvent[] => [
  { type: 'text', text },
  { type: 'stop', reason: 'end' },
];
const answer: Step = (request) => say(`The receipt is ${receiptIn(request)}.`);
const price = { inputPerMillion: 1_000, outputPerMillion: 1_000 };
const probe = (provider: Provider) => probeModel(provider, price, new AbortController().signal);

describe('trying a model', () => {
  it('takes a call of the tool, and an answer with what it returned', async () => {
    const { conversation } = await probe(modelOf(call, answer));
    expect(conversation.toolCalls).toMatchObject([{ name: 'coral_echo', isError: false }]);
    expect(conversation.costUsd).toBeCloseTo(0.22);
  });

  it('lets the model mend a wrong word', async () => {
    await expect(probe(modelOf(() => callWith('wrong'), call, answer))).resolves.toMatchObject({
      conversation: { toolCalls: [{ isError: true }, { isError: false }] },
    });
  });

  it.each<[string, Step[], string]>([
    ['it does not call it', [() => say('All is well.')], 'model_calls_no_tools'],
    ['it calls another', [() => callWith('wrong')], 'model_calls_no_tools'],
    ['it repeats the question', [(request) => say(wordIn(request))], 'model_calls_no_tools'],
    ['it invents what came back', [call, () => say('c0ffee00')], 'model_ignores_tools'],
    ['it says nothing', [call, () => []], 'model_ignores_tools'],
    ['it calls without end', [call], 'model_ignores_tools'],
  ])('fails when %s', async (_what, steps, reason) => {
    await expect(probe(modelOf(...steps))).rejects.toMatchObject({ kind: 'provider_failed', reason, where: 'openai' });
  });

  it('fails as the provider does', async () => {
    const failure = new ProviderFailed({ provider: 'openai', failure: 'provider_unauthorized', message: 'no' });
    const broken = modelOf(() => {
      throw failure;
    });
    await expect(probe(broken)).rejects.toBe(failure);
  });

  it('stops at its own small budget', async () => {
    let asked = 0;
    const endless = modelOf((request) => {
      asked += 1;
      return request.tools.length === 0 ? say('…') : callWith(`w${asked}`);
    });
    await expect(probe(endless)).rejects.toMatchObject({ reason: 'model_calls_no_tools' });
    expect(asked).toBeLessThanOrEqual(probeBudget.maxSteps);
  });
});
