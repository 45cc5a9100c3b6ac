import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { stdinPatienceMs } from '../config/read-secret.js';
import { readToken } from './read-secret.js';

async function* pipe(...parts: string[]): AsyncGenerator<Buffer> {
  for (const part of parts) yield Buffer.from(part);
}

describe('an API token', () => {
  afterEach(() => vi.useRealTimers());

  it('is a reference, kept as one', async () => {
    const { token, reference } = await readToken('env://TOKEN', pipe());
    expect(reference).toBe('env://TOKEN');
    expect(token.reveal({ TOKEN: 't' })).toBe('t');
  });

  it('is read from a pipe, first line only', async () => {
    const { token, reference } = await readToken(undefined, pipe('coral_pat_', 'a_b\nmore'));
    expect(reference).toBeUndefined();
    expect(token.reveal()).toBe('coral_pat_a_b');
  });

  it('is never taken from the command line, nor repeated', async () => {
    const error = (await readToken('coral_pat_a_b', pipe()).catch((thrown: unknown) => thrown)) as Error;
    expect(error).toMatchObject({ kind: 'invalid_argument', reason: 'secret_in_arguments' });
    expect(error.message).not.toContain('coral_pat');
  });

  it('is not waited for without end', async () => {
    vi.useFakeTimers();
    const silent = new PassThrough();
    const outcome = readToken(undefined, silent as AsyncIterable<Buffer>).catch((thrown: unknown) => thrown);
    await vi.advanceTimersByTimeAsync(stdinPatienceMs);
    expect(await outcome).toMatchObject({ kind: 'invalid_argument', reason: 'no_token_given' });
  });

  it('is missing when the pipe is empty', async () => {
    await expect(readToken('-', pipe(''))).rejects.toMatchObject({ reason: 'no_token_given' });
  });
});
