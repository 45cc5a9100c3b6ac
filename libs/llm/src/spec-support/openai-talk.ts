import { Secret } from '@coral/config';
import { ModelScript, OpenAiServer, type ScriptStep } from '@coral/testing';
import { toolDefinitions } from '@coral/tools';
import { createOpenAi } from '../openai.js';
import type { ModelEvent, ModelRequest, Provider, ToolOutcome, Turn } from '../provider.js';
import type { ProviderSettings } from '../registry.js';

export const apis = ['responses', 'chat'] as const;
export type Api = (typeof apis)[number];

/** A key that must be seen in one header of one server and nowhere else. */
export const canary = 'sk-canary-5b1f0e6a9d';

/** A server that says the steps, and a provider that asks it. */
export async function talk(
  api: Api,
  steps: readonly ScriptStep[],
  more: Partial<ProviderSettings> = {},
): Promise<
  {
    server: OpenAiServer;
    provider: Provider;
    script: ModelScript;
    bodies: () => Record<string, unknown>[];
  } & AsyncDisposable
> {
  const script = new ModelScript(steps);
  const server = await OpenAiServer.start(script, canary);
  const provider = createOpenAi(settingsFor(server.endpoint, { api, ...more }));
  return {
    server,
    provider,
    script,
    bodies: () => server.requests.map((request) => JSON.parse(request.body) as Record<string, unknown>),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export function settingsFor(endpoint: string, more: Partial<ProviderSettings> = {}): ProviderSettings {
  return { provider: 'openai', model: 'gpt-test-1', apiKey: Secret.literal(canary), endpoint, ...more };
}

/** A request with the five tools. */
export function ask(turns: readonly Turn[], more: Partial<ModelRequest> = {}): ModelRequest {
  return { system: 'You find out.', turns, tools: toolDefinitions, signal: new AbortController().signal, ...more };
}

export const question: Turn = { role: 'user', text: 'Why is checkout slow?' };

export async function collect(events: AsyncIterable<ModelEvent>): Promise<ModelEvent[]> {
  const seen: ModelEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

/** What came before it threw, and what it threw. */
export async function collectFailure(
  events: AsyncIterable<ModelEvent>,
): Promise<{ seen: ModelEvent[]; failure: unknown }> {
  const seen: ModelEvent[] = [];
  try {
    for await (const event of events) seen.push(event);
  } catch (failure) {
    return { seen, failure };
  }
  return { seen, failure: undefined };
}

/** Without signs of life. */
export function told(events: readonly ModelEvent[]): ModelEvent[] {
  return events.filter(({ type }) => type !== 'alive');
}

/** The turns after a reply whose every call came back with its number. */
export function answered(turns: readonly Turn[], events: readonly ModelEvent[]): Turn[] {
  const toolCalls = events.flatMap((event) => (event.type === 'tool_call' ? [event.call] : []));
  const text = events.map((event) => (event.type === 'text' ? event.text : '')).join('');
  const native = events.find((event) => event.type === 'native')?.reply;
  const outcomes = toolCalls.map((call, i): ToolOutcome => ({
    callId: call.id,
    name: call.name,
    text: `result ${i}`,
    isError: false,
  }));
  const reply: Turn = { role: 'assistant', text, toolCalls, ...(native === undefined ? {} : { native }) };
  return [...turns, reply, ...(outcomes.length === 0 ? [] : [{ role: 'tool' as const, outcomes }])];
}
