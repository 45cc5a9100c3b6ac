import type { CoralError } from '@coral/errors';
import { ProviderFailed } from './llm.errors.js';
import { asObject, asText, type Json } from './openai-wire.js';
import { toProviderFailed } from './provider-http-failure.js';

/** What opening or reading a stream threw, in our words. `hide`: texts never to be repeated. */
export function openAiFailure(thrown: unknown, signal: AbortSignal, hide: readonly string[]): CoralError {
  // An error inside the stream has no HTTP status; compatible servers write theirs, or one of HTTP's numbers, in its `code`.
  const { status, error } = asObject(thrown) ?? {};
  const code = asObject(error)?.['code'];
  const isStatus = typeof code === 'number' && code >= 400 && code <= 599;
  if (!(thrown instanceof Error) || status !== undefined || !isStatus) {
    return toProviderFailed('openai', thrown, signal, hide);
  }
  return toProviderFailed('openai', Object.assign(new Error('in the stream'), { status: code, error }), signal, hide);
}

/** An error that a reply ends with, as `{code, message}`, in the form of one that the SDK throws. */
export class ReplyError extends Error {
  readonly error: Json;

  constructor(error: Json) {
    super('The reply ended with an error.');
    this.error = refusing.test(asText(error['code'])) ? { ...error, type: 'invalid_request_error' } : error;
  }
}

/** Codes of replies that failed for what was asked: asking again gets the same. */
const refusing = /^invalid_|policy|mismatch|content_filter/;

export function streamCut(): ProviderFailed {
  return new ProviderFailed({
    provider: 'openai',
    failure: 'provider_stream_cut',
    message: 'The API of openai ended its answer before it was complete.',
  });
}
