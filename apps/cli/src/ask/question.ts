import { CoralError } from '@coral/errors';

/** Longest question, bytes of UTF-8: what `coral_query` takes as its text too. */
export const maxQuestionBytes = 32 * 1024;

export interface QuestionSource {
  /** The argument; `-` means: read stdin. */
  argument: string | undefined;
  stdin: AsyncIterable<Uint8Array | string> & { isTTY?: boolean | undefined };
}

/** The question, checked before anything is opened for it. */
export async function readQuestion({ argument, stdin }: QuestionSource): Promise<string> {
  if (argument === undefined) throw noQuestion();
  const text = argument === '-' ? await readAll(stdin) : argument;
  const question = text.trim();
  if (question === '') throw emptyQuestion();
  const bytes = Buffer.byteLength(question);
  if (bytes > maxQuestionBytes) throw longQuestion(`${bytes} bytes`);
  return question;
}

async function readAll(stdin: QuestionSource['stdin']): Promise<string> {
  if (stdin.isTTY) throw noQuestion();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin) {
    const part = Buffer.from(chunk);
    bytes += part.length;
    // Not read to its end: it may have none.
    if (bytes > 2 * maxQuestionBytes) throw longQuestion(`more than ${2 * maxQuestionBytes} bytes`);
    chunks.push(part);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function noQuestion(): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'no_question',
    where: 'question',
    message: 'There is no question.',
    next: 'coral ask "Why is my service slow?", or pipe one in: echo "…" | coral ask -',
  });
}

function emptyQuestion(): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'empty_question',
    where: 'question',
    message: 'The question is empty.',
    next: 'coral ask "Why is my service slow?"',
  });
}

function longQuestion(size: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'question_too_long',
    where: 'question',
    message: `The question is ${size}; the limit is ${maxQuestionBytes} bytes (32 KiB).`,
    next: 'Ask in fewer words; coral fetches the telemetry itself.',
  });
}
