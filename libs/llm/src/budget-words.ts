import type { Budget } from './budget.js';
import type { ProviderFailure } from './llm.errors.js';

/** Why an answer is partial. */
export type PartialReason =
  | 'steps'
  | 'tool_calls'
  | 'seconds'
  | 'tokens'
  | 'money'
  | 'cancelled'
  /** The provider's own limit on one answer. */
  | 'max_tokens'
  | 'refusal'
  | 'provider_failed';

/** The words of the label under a partial answer: ours alone, never the provider's. */
export function wordsFor(reason: PartialReason, budget: Budget, failure?: ProviderFailure): string {
  switch (reason) {
    case 'steps':
      return `the limit of ${budget.maxSteps} steps was reached`;
    case 'tool_calls':
      return `the limit of ${budget.maxToolCalls} tool calls was reached`;
    case 'seconds':
      return `the limit of ${budget.maxSeconds} s was reached`;
    case 'tokens':
      return `the limit of ${budget.maxTokens ?? 0} tokens was reached`;
    case 'money':
      return `the limit of $${budget.maxUsd ?? 0} was reached`;
    case 'cancelled':
      return 'it was cancelled';
    case 'max_tokens':
      return 'the model stopped at its output limit';
    case 'refusal':
      return 'the model refused to go on';
    case 'provider_failed':
      return failure === undefined ? 'the provider failed' : failureWords[failure];
  }
}

const failureWords: Record<ProviderFailure, string> = {
  provider_unauthorized: 'the provider did not accept the key',
  provider_quota: 'the account at the provider is used up',
  provider_rate_limited: 'the provider limits how often it may be asked',
  provider_overloaded: 'the provider is overloaded',
  provider_error: 'the provider had an error',
  provider_refused: 'the provider refused the request',
  provider_unreachable: 'the provider could not be reached',
  provider_stream_cut: 'the provider broke off',
  provider_stalled: 'the provider fell silent',
  provider_protocol: 'the provider sent what is not its protocol',
};
