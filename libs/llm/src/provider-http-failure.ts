import { CoralError } from '@coral/errors';
import { makeVisible } from './fence.js';
import { maxProviderText, ProviderFailed, type ProviderFailure } from './llm.errors.js';

/**
 * What an SDK threw, in our words: a {@link ProviderFailed}, or a CoralError of kind `cancelled` when `signal` aborted. Both
 * SDKs' errors look alike (`status`, `headers`, `error`, `cause`), so none is loaded here. `hide`: texts that must not be
 * repeated, should the server say them: the key.
 */
export function toProviderFailed(
  provider: string,
  thrown: unknown,
  signal: AbortSignal,
  hide: readonly string[] = [],
): CoralError {
  if (signal.aborted)
    return new CoralError({ kind: 'cancelled', reason: 'cancelled', message: 'The question was cancelled.' });
  const known = causes(thrown).find((cause) => cause instanceof CoralError);
  if (known !== undefined) return known;
  const answer = answerIn(thrown);
  if (answer === undefined) {
    return new ProviderFailed({
      provider,
      failure: 'provider_protocol',
      message: `What the API of ${provider} sent is not its protocol${thrown instanceof SyntaxError ? ': an event is no JSON' : ''}.`,
      cause: thrown,
    });
  }
  const said = quote(answer, hide);
  const how = answer.status === undefined ? 'broke off its answer' : `answered ${answer.status}`;
  const retryAfterMs = retryAfter(answer.headers);
  return new ProviderFailed({
    provider,
    failure: failureOf(answer),
    message: `The API of ${provider} ${how}${said === '' ? '' : `: ${said}`}`,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** One line, control characters visible, cut. */
export function plainText(text: string, most: number): string {
  const line = makeVisible(text.replaceAll(/\s+/g, ' ').trim());
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`;
}

/** An answer that is an error: of HTTP, or (without a status) an event in the stream. */
interface ErrorAnswer {
  status: number | undefined;
  headers: Headers | undefined;
  /** Words for machines: `rate_limit_error`, `insufficient_quota`. */
  types: string[];
  text: string;
}

function causes(thrown: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let at = thrown; at !== undefined && at !== null && chain.length < 8; at = (at as { cause?: unknown }).cause)
    chain.push(at);
  return chain;
}

function answerIn(thrown: unknown): ErrorAnswer | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const { status, headers, error } = thrown as Error & { status?: unknown; headers?: unknown; error?: unknown };
  const hasStatus = typeof status === 'number';
  if (!hasStatus && (error === undefined || error === null)) return undefined;
  // Anthropic's body is {type: 'error', error: {type, message}}; OpenAI's SDK hands out the inner one.
  const body = isRecord(error) && isRecord(error['error']) ? error['error'] : error;
  const named = isRecord(body) ? [body['type'], body['code']] : [];
  const text = isRecord(body) ? body['message'] : body;
  return {
    status: hasStatus ? status : undefined,
    headers: headers instanceof Headers ? headers : undefined,
    types: named.filter((word) => typeof word === 'string'),
    text: typeof text === 'string' ? text : hasStatus ? thrown.message.replace(/^\d{3} /, '') : '',
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function quote(answer: ErrorAnswer, hide: readonly string[]): string {
  const isPage = /^\s*<(!doctype|html|\?xml)/i.test(answer.text);
  let text = isPage ? 'a web page, not an answer of the API' : answer.text;
  for (const secret of hide) if (secret !== '') text = text.replaceAll(secret, '***');
  const line = plainText(text, maxProviderText);
  return line === '' || /[.!?…]$/.test(line) ? line : `${line}.`;
}

const byType: Record<string, ProviderFailure> = {
  authentication_error: 'provider_unauthorized',
  permission_error: 'provider_unauthorized',
  invalid_api_key: 'provider_unauthorized',
  billing_error: 'provider_quota',
  insufficient_quota: 'provider_quota',
  rate_limit_error: 'provider_rate_limited',
  rate_limit_exceeded: 'provider_rate_limited',
  overloaded_error: 'provider_overloaded',
  server_overloaded: 'provider_overloaded',
  invalid_request_error: 'provider_refused',
  not_found_error: 'provider_refused',
  request_too_large: 'provider_refused',
  context_length_exceeded: 'provider_refused',
  invalid_prompt: 'provider_refused',
  api_error: 'provider_error',
  server_error: 'provider_error',
  timeout_error: 'provider_error',
};

/** An account without money is said with 400, 402, 403 or 429; only these words tell it from the rest. */
const emptyAccount = /credit balance is too low|exceeded your current quota|spend(ing)? limit/i;

function failureOf({ status, types, text }: ErrorAnswer): ProviderFailure {
  const isClientError = status === undefined || (status >= 400 && status < 500);
  const isEmpty = types.some((type) => byType[type] === 'provider_quota') || emptyAccount.test(text);
  if (status === 402 || (isClientError && isEmpty)) return 'provider_quota';
  switch (status) {
    case 401:
    case 403:
      return 'provider_unauthorized';
    case 429:
      return 'provider_rate_limited';
    case 503:
    case 529:
      return 'provider_overloaded';
    // A timeout or a lock at the other end, as their SDKs treat them: the same request may pass.
    case 408:
    case 409:
      return 'provider_error';
    case undefined:
      return types.map((type) => byType[type]).find((failure) => failure !== undefined) ?? 'provider_error';
    default:
      return status >= 500 ? 'provider_error' : 'provider_refused';
  }
}

/** Milliseconds: `retry-after-ms`, else `retry-after` in seconds or as a date, which counts from the server's own clock. */
function retryAfter(headers: Headers | undefined): number | undefined {
  const ms = numberIn(headers?.get('retry-after-ms'));
  if (ms !== undefined) return ms;
  const text = headers?.get('retry-after')?.trim();
  const seconds = numberIn(text);
  if (seconds !== undefined) return seconds * 1_000;
  const now = Date.parse(headers?.get('date') ?? '');
  const at = text?.endsWith('GMT') === true ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) || Number.isNaN(now) ? undefined : Math.max(0, at - now);
}

function numberIn(text: string | null | undefined): number | undefined {
  return text !== null && text !== undefined && /^\s*\d{1,9}(\.\d{1,9})?\s*$/.test(text) ? Number(text) : undefined;
}
