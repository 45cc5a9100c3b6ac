import { CoralError } from '@coral/errors';

export class ProviderUnusable extends CoralError {
  constructor(name: string) {
    super({
      kind: 'failed_precondition',
      reason: 'provider_unusable',
      where: 'ai.provider',
      message: `This version of coral cannot use the provider ${name} yet.`,
      next: 'Use --model builtin, or set ai.provider to builtin: it needs no model and no key.',
    });
  }
}

export class UnknownProvider extends CoralError {
  constructor(name: string, known: readonly string[], near: string | undefined) {
    super({
      kind: 'invalid_argument',
      reason: 'unknown_provider',
      where: 'ai.provider',
      message: `There is no provider ${JSON.stringify(name.slice(0, 40))}${near === undefined ? '' : `; did you mean ${near}?`}`,
      next: `Use one of: ${known.join(', ')}.`,
    });
  }
}

export class BadModelName extends CoralError {
  constructor(text: string, why: string) {
    super({
      kind: 'invalid_argument',
      reason: 'bad_model',
      where: '--model',
      message: `${JSON.stringify(text.slice(0, 80))} names no model: ${why}.`,
      next: 'Write a provider (builtin), a model (llama3.1:8b) or both (ollama:llama3.1:8b).',
    });
  }
}
