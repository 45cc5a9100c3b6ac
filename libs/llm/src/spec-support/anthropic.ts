import { Secret } from '@coral/config';
import { AnthropicServer, ModelScript, type ScriptStep } from '@coral/testing';
import { toolDefinitions } from '@coral/tools';
import { createAnthropic } from '../anthropic.js';
import type { ModelEvent, ModelRequest, Provider, Turn } from '../provider.js';
import type { ProviderSettings } from '../registry.js';

export const canaryKey = 'sk-ant-api03-CANARY-0123456789abcdef';

export interface Pair extends AsyncDisposable {
  server: AnthropicServer;
  provider: Provider;
}

/** A provider and the scripted API it talks to. */
export async function pair(steps: readonly ScriptStep[], settings: Partial<ProviderSettings> = {}): Promise<Pair> {
  const server = await AnthropicServer.start(new ModelScript(steps), canaryKey);
  const provider = await createAnthropic({
    provider: 'anthropic',
    model: 'claude-scripted-1',
    apiKey: Secret.literal(canaryKey),
    endpoint: server.url,
    ...settings,
  });
  return { server, provider, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

export const question: Turn = { role: 'user', text: 'Why is checkout slow?' };

export function request(turns: readonly Turn[] = [question], more: Partial<ModelRequest> = {}): ModelRequest {
  return {
    system: 'You look at telemetry.',
    turns,
    tools: toolDefinitions,
    signal: new AbortController().signal,
    ...more,
  };
}

/** All events of a reply, and what it failed with. */
export async function collect(
  provider: Provider,
  asked: ModelRequest = request(),
): Promise<{ events: ModelEvent[]; failure: unknown }> {
  const events: ModelEvent[] = [];
  try {
    for await (const event of provider.respond(asked)) events.push(event);
  } catch (thrown) {
    return { events, failure: thrown };
  }
  return { events, failure: undefined };
}

export function textOf(events: readonly ModelEvent[]): string {
  return events.map((event) => (event.type === 'text' ? event.text : '')).join('');
}

export function of<T extends ModelEvent['type']>(
  events: readonly ModelEvent[],
  type: T,
): Extract<ModelEvent, { type: T }>[] {
  return events.filter((event) => event.type === type) as Extract<ModelEvent, { type: T }>[];
}

/** The turn that the loop makes of a reply. */
export function turnOf(events: readonly ModelEvent[]): Extract<Turn, { role: 'assistant' }> {
  const native = of(events, 'native')[0]?.reply;
  return {
    role: 'assistant',
    text: textOf(events),
    toolCalls: of(events, 'tool_call').map(({ call }) => call),
    ...(native === undefined ? {} : { native }),
  };
}

/** One outcome for each call of the turn. */
export function answersTo(turn: Extract<Turn, { role: 'assistant' }>, text = '{"data":{}}'): Turn {
  return {
    role: 'tool',
    outcomes: turn.toolCalls.map(({ id, name }, i) => ({
      callId: id,
      name,
      text: `${text} ${i}`,
      isError: i % 2 === 1,
    })),
  };
}
