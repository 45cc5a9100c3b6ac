import type { ModelEvent, ModelRequest, Provider } from '../provider.js';
import { ProviderFailed, type ProviderFailure } from '../llm.errors.js';

type Step = ModelEvent[] | ((request: ModelRequest) => AsyncIterable<ModelEvent>);

/** A model that says what it was told to, one step per request, and remembers what it was asked. */
export class ScriptedModel implements Provider {
  readonly name = 'scripted';
  readonly model = 'scripted-1';
  readonly requests: ModelRequest[] = [];

  constructor(
    private readonly steps: readonly Step[],
    readonly local = false,
    readonly resultChars?: number,
    readonly contextTokens?: number,
  ) {}

  async *respond(request: ModelRequest): AsyncGenerator<ModelEvent> {
    const step = this.steps[this.requests.length] ?? [{ type: 'text', text: 'Nothing more to say.' }];
    this.requests.push(request);
    yield* Array.isArray(step) ? step : step(request);
  }
}

export function call(id: string, args: Record<string, unknown> = {}, name = 'coral_query'): ModelEvent {
  return { type: 'tool_call', call: { id, name, args } };
}

export function text(said: string): ModelEvent {
  return { type: 'text', text: said };
}

export function used(inputTokens: number, outputTokens: number): ModelEvent {
  return { type: 'usage', inputTokens, outputTokens };
}

/** A step that sends some events and then fails. */
export function failing(failure: ProviderFailure, events: ModelEvent[] = [], retryAfterMs?: number): Step {
  return async function* () {
    yield* events;
    throw new ProviderFailed({
      provider: 'scripted',
      failure,
      message: `It failed: ${failure}.`,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  };
}
