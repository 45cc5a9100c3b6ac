import Anthropic from '@anthropic-ai/sdk';
import { CoralError } from '@coral/errors';
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { ProviderFailed, type ProviderFailure } from './llm.errors.js';
import { plainText, toProviderFailed } from './provider-http-failure.js';

const alive = new AbortController().signal;

describe('what an SDK threw', () => {
  it('is cancelled when the signal aborted, whatever it was', () => {
    const error = toProviderFailed('openai', new OpenAI.APIUserAbortError(), AbortSignal.abort());
    expect(error).toMatchObject({ kind: 'cancelled', reason: 'cancelled' });
  });

  it('is what our fetch said when that is among its causes', () => {
    const ours = new ProviderFailed({ provider: 'openai', failure: 'provider_unreachable', message: 'Nobody.' });
    expect(toProviderFailed('openai', new OpenAI.APIConnectionError({ cause: ours }), alive)).toBe(ours);
    expect(toProviderFailed('anthropic', new Anthropic.APIConnectionError({ cause: ours }), alive)).toBe(ours);
    const other = new CoralError({ kind: 'internal', reason: 'provider_elsewhere', message: 'No.' });
    expect(toProviderFailed('openai', new Error('outer', { cause: other }), alive)).toBe(other);
  });

  it.each([
    [401, { message: 'Incorrect API key', code: 'invalid_api_key' }, 'provider_unauthorized'],
    [429, { message: 'Slow down', type: 'requests', code: 'rate_limit_exceeded' }, 'provider_rate_limited'],
    [429, { message: 'You exceeded your current quota', code: 'insufficient_quota' }, 'provider_quota'],
    [400, { message: 'Unknown parameter', type: 'invalid_request_error' }, 'provider_refused'],
    [404, { message: 'The model does not exist', code: 'model_not_found' }, 'provider_refused'],
    [409, { message: 'Conflict' }, 'provider_error'],
    [503, { message: 'Overloaded' }, 'provider_overloaded'],
    [500, undefined, 'provider_error'],
  ] as [number, object | undefined, ProviderFailure][])('reads OpenAI’s errors: %i %o', (status, error, reason) => {
    const thrown = OpenAI.APIError.generate(status, error === undefined ? undefined : { error }, 'text', new Headers());
    expect(toProviderFailed('openai', thrown, alive)).toMatchObject({ kind: 'provider_failed', reason });
  });

  it.each([
    [{ 'retry-after': 'Sat, 21 Nov 2026 10:00:30 GMT', date: 'Sat, 21 Nov 2026 10:00:00 GMT' }, 30_000],
    [{ 'retry-after': 'Sat, 21 Nov 2026 10:00:30 GMT' }, undefined],
    [{ 'retry-after': '12' }, 12_000],
    [{ 'retry-after-ms': '1500', 'retry-after': '2' }, 1_500],
    [{ 'retry-after-ms': 'x', 'retry-after': '2' }, 2_000],
    [{ 'retry-after': '' }, undefined],
  ])('reads how long to wait: %o', (headers, ms) => {
    const thrown = Anthropic.APIError.generate(
      429,
      { error: { type: 'rate_limit_error' } },
      undefined,
      new Headers(headers),
    );
    expect((toProviderFailed('anthropic', thrown, alive) as ProviderFailed).retryAfterMs).toBe(ms);
  });

  it('is provider_protocol when nothing else is known of it, and keeps its cause inside', () => {
    const thrown = new SyntaxError('Unexpected token o in JSON');
    const error = toProviderFailed('openai', thrown, alive);
    expect(error).toMatchObject({ reason: 'provider_protocol', mayPass: false, cause: thrown });
    expect(error.message).not.toContain('Unexpected token');
    expect(toProviderFailed('openai', 'just text', alive)).toMatchObject({ reason: 'provider_protocol' });
  });

  it('comes to an end with causes that go round in a ring', () => {
    const a = new Error('a');
    a.cause = new Error('b', { cause: a });
    expect(toProviderFailed('openai', a, alive)).toMatchObject({ reason: 'provider_protocol' });
  });
});

describe('text of a stranger', () => {
  it('is one line, visible, and no longer than asked', () => {
    expect(plainText('  a\r\n\tb\u0007  ', 40)).toBe('a b\\u0007');
    expect(plainText('x'.repeat(50), 10)).toBe(`${'x'.repeat(9)}…`);
  });
});
