import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CoralError } from '@coral/errors';
import { z } from 'zod';
import { writePrivateFile } from '../config/private-file.js';

/** Transcripts kept beside the one the user names; the oldest goes first. */
export const maxTranscripts = 50;

/** One conversation as it happened. Turns and tool results are as the provider saw them. */
const transcriptSchema = z.looseObject({
  coral_transcript: z.literal(1),
  asked_at: z.iso.datetime(),
  colony: z.string(),
  agent_id: z.string(),
  provider: z.string(),
  model: z.string(),
  question: z.string(),
  answer: z.string(),
  verdict: z.string(),
  partial: z.boolean(),
  cause: z.unknown(),
  evidence: z.array(z.unknown()),
  tool_calls: z.array(z.unknown()),
  turns: z.array(z.unknown()),
  usage: z.looseObject({ input_tokens: z.number(), output_tokens: z.number() }),
});

export type Transcript = z.output<typeof transcriptSchema>;

/** Writes it 0600 to the user's file, replacing what was there. */
export function saveTranscript(file: string, transcript: Transcript): Promise<void> {
  return writePrivateFile(file, `${JSON.stringify(transcript, null, 2)}\n`);
}

/** Keeps it in the transcripts directory (0700), so that --offline can answer the same question later. */
export async function keepTranscript(directory: string, transcript: Transcript): Promise<void> {
  const name = `${transcript.asked_at.replaceAll(':', '-')}-${transcript.agent_id}.json`;
  await saveTranscript(join(directory, name), transcript);
  const excess = (await transcriptFiles(directory)).slice(maxTranscripts);
  await Promise.all(excess.map((file) => rm(file, { force: true })));
}

/** Newest first: names begin with the time. */
async function transcriptFiles(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(unlessMissing);
  return (names ?? [])
    .filter((name) => /^\d{4}-\d{2}-.*\.json$/.test(name))
    .toSorted()
    .reverse()
    .map((name) => join(directory, name));
}

/**
 * The newest transcript that answers this question, letter case and spacing aside; a complete one before one that was
 * broken off. Files that are no transcripts are passed over in the directory, and are an error when named by the user.
 */
export async function findTranscript(
  question: string,
  from: { file?: string | undefined; directory: string },
): Promise<Transcript | undefined> {
  const named = from.file === undefined ? undefined : await readTranscript(from.file, true);
  const candidates = named ? [named] : await readAll(await transcriptFiles(from.directory));
  const same = candidates.filter((transcript) => normalise(transcript.question) === normalise(question));
  return same.find(({ partial }) => !partial) ?? same[0];
}

async function readAll(files: readonly string[]): Promise<Transcript[]> {
  const read = await Promise.all(files.map((file) => readTranscript(file, false)));
  return read.filter((transcript) => transcript !== undefined);
}

async function readTranscript(file: string, isNamed: boolean): Promise<Transcript | undefined> {
  const text = await readFile(file, 'utf8').catch(unlessMissing);
  if (text === undefined) return undefined;
  const parsed = transcriptSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  if (isNamed) throw notATranscript(file);
  return undefined;
}

/** Question marks and case do not make another question. */
function normalise(question: string): string {
  return question
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[\s?!.]+/gu, ' ')
    .trim();
}

function unlessMissing(thrown: unknown): undefined {
  if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  return undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The schema refuses it with the file's name.
  }
}

function notATranscript(file: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'bad_transcript',
    where: file,
    message: `${file} is not a transcript that coral wrote.`,
    next: 'Name a file that --transcript wrote, or leave it out to look through all that were kept.',
  });
}
