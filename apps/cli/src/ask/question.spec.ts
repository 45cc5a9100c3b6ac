import { CoralError, exitCodeFor } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { maxQuestionBytes, readQuestion } from './question.js';

async function* pipe(...parts: string[]): AsyncGenerator<Buffer> {
  for (const part of parts) yield Buffer.from(part);
}
const terminal = Object.assign(pipe(), { isTTY: true });

describe('the question', () => {
  it('is the argument, or what is piped in for -', async () => {
    expect(await readQuestion({ argument: ' Why? ', stdin: terminal })).toBe('Why?');
    expect(await readQuestion({ argument: '-', stdin: pipe('Why is ', 'it ', 'slow?\n') })).toBe('Why is it slow?');
    const longest = 'x'.repeat(maxQuestionBytes);
    expect(await readQuestion({ argument: longest, stdin: terminal })).toBe(longest);
  });

  it.each([
    ['is missing', undefined, pipe(), 'no_question', 'coral ask -'],
    ['is missing and stdin is a terminal', '-', terminal, 'no_question', 'coral ask -'],
    ['is empty', '', pipe(), 'empty_question', 'coral ask'],
    ['is blank', ' \n\t', pipe(), 'empty_question', 'coral ask'],
    ['is piped and empty', '-', pipe('\n'), 'empty_question', 'coral ask'],
    ['is too long', 'x'.repeat(100_000), pipe(), 'question_too_long', 'fewer words'],
    [
      'is too long in bytes, not in letters',
      'ü'.repeat(maxQuestionBytes - 1),
      pipe(),
      'question_too_long',
      'fewer words',
    ],
  ])('is refused when it %s', async (_what, argument, stdin, reason, next) => {
    const thrown: unknown = await readQuestion({ argument, stdin }).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(CoralError);
    const error = thrown as CoralError;
    expect(error).toMatchObject({ kind: 'invalid_argument', reason, where: 'question' });
    expect(error.next).toContain(next);
    expect(exitCodeFor(error.kind)).toBe(2);
    expect(error.message.includes('32768 bytes')).toBe(reason === 'question_too_long');
  });

  it('never reads an endless pipe to its end', async () => {
    let sent = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) {
        sent += 1;
        yield Buffer.alloc(8_192, 'x');
      }
    }
    await expect(readQuestion({ argument: '-', stdin: endless() })).rejects.toMatchObject({
      reason: 'question_too_long',
    });
    expect(sent).toBeLessThan(20);
  });
});
