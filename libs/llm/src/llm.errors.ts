import { CoralError } from '@coral/errors';

/** Why a provider did not answer. Stable words for machines. */
export type ProviderFailure =
  /** 401, 403. */
  | 'provider_unauthorized'
  /** 402, or the provider's words for an empty account. */
  | 'provider_quota'
  /** 429. */
  | 'provider_rate_limited'
  /** 503, 529, or `overloaded_error` in a stream. */
  | 'provider_overloaded'
  /** Other 5xx, `api_error` in a stream. */
  | 'provider_error'
  /** 400, 404, 413, 422: the request, the model's name. */
  | 'provider_refused'
  /** Nobody there: DNS, connection refused, TLS. */
  | 'provider_unreachable'
  /** The stream ended before its end was said. */
  | 'provider_stream_cut'
  /** No event for too long. */
  | 'provider_stalled'
  /** What came is not the provider's protocol: another content type, JSON that is none, a redirect, far too much. */
  | 'provider_protocol';

/** Failures after which the same request may succeed. */
const passing: ReadonlySet<ProviderFailure> = new Set([
  'provider_rate_limited',
  'provider_overloaded',
  'provider_error',
  'provider_unreachable',
  'provider_stream_cut',
  'provider_stalled',
]);

/** The model's API refused or broke off. Its text comes from outside: never longer than {@link maxProviderText}. */
export class ProviderFailed extends CoralError {
  /** The same word as `reason`, typed. */
  readonly failure: ProviderFailure;
  /** Whether another try may help. */
  readonly mayPass: boolean;
  /** What the provider asked us to wait, ms; undefined when it did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(o: {
    provider: string;
    failure: ProviderFailure;
    message: string;
    next?: string;
    retryAfterMs?: number;
    cause?: unknown;
  }) {
    super({
      kind: 'provider_failed',
      reason: o.failure,
      where: o.provider,
      message: o.message,
      next: o.next ?? usualNext[o.failure],
      cause: o.cause,
    });
    this.failure = o.failure;
    this.mayPass = passing.has(o.failure);
    this.retryAfterMs = o.retryAfterMs;
  }
}

/** Characters of a provider's own words that are repeated to people. */
export const maxProviderText = 400;

const usualNext: Record<ProviderFailure, string> = {
  provider_unauthorized: 'See that the key is right and may use this model; `coral llm configure` sets another.',
  provider_quota: 'See the billing page of the provider, or use another with --model.',
  provider_rate_limited: 'Wait a minute and ask again, or use another model with --model.',
  provider_overloaded: 'Ask again in a minute, or use another model with --model.',
  provider_error: 'Ask again in a minute, or use another model with --model.',
  provider_refused:
    'See that the model exists and that `ai.max_tokens` fits it; `coral llm list` shows what is configured.',
  provider_unreachable: 'See that this machine reaches `ai.endpoint`, then ask again.',
  provider_stream_cut: 'Ask again, or use another model with --model.',
  provider_stalled: 'Ask again, or use another model with --model.',
  provider_protocol: 'See that `ai.endpoint` is the address of the API itself, as https://host/v1.',
};

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
