import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { answerOffline } from './offline.js';
import { keepTranscript, maxTranscripts, saveTranscript, type Transcript } from './transcript.js';

const noon = Date.parse('2026-11-21T12:00:00Z');
const clock = { now: () => noon, monotonic: () => 0 };

function transcript(minutesAgo: number, more: Partial<Transcript> = {}): Transcript {
  return {
    coral_transcript: 1,
    asked_at: new Date(noon - minutesAgo * 60_000).toISOString(),
    colony: 'prod',
    agent_id: 'eph-x',
    provider: 'builtin',
    model: 'builtin',
    question: 'Why is checkout slow?',
    answer: `answer of ${minutesAgo} minutes ago`,
    verdict: 'CONFIRMED',
    partial: false,
    cause: null,
    evidence: [],
    tool_calls: [],
    turns: [],
    usage: { input_tokens: 0, output_tokens: 0 },
    ...more,
  };
}

describe('offline', () => {
  let root: string;
  let directory: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'coral-offline-'));
    directory = join(root, 'transcripts');
  });
  afterEach(() => rm(root, { recursive: true }));
  const ask = (question: string, file?: string) => answerOffline(question, { directory, file }, clock);

  it('repeats the newest complete answer to the same question, and says how old it is', async () => {
    await keepTranscript(directory, transcript(300));
    await keepTranscript(directory, transcript(180));
    await keepTranscript(directory, transcript(1, { partial: true, answer: 'half' }));
    await keepTranscript(directory, transcript(2, { question: 'Is it healthy?' }));
    const { transcript: found, label } = await ask('  why is CHECKOUT   slow ');
    expect(found.answer).toBe('answer of 180 minutes ago');
    expect(label).toBe('offline: asked 3h ago (2026-11-21T09:00:00.000Z) at prod; nothing was looked at now');
  });

  it('says when all it has was broken off', async () => {
    await keepTranscript(directory, transcript(1, { partial: true }));
    expect((await ask('Why is checkout slow?')).label).toContain('broken off before its end');
  });

  it('invents nothing: another question has no answer', async () => {
    await keepTranscript(directory, transcript(1));
    await writeFile(
      join(directory, '2026-11-21T11-59-59.999Z-eph-y.json'),
      '{"question":"Is payment slow?","answer":"yes"}',
    );
    await expect(ask('Is payment slow?')).rejects.toMatchObject({ kind: 'not_found', reason: 'nothing_offline' });
    await rm(directory, { recursive: true });
    await expect(ask('Why is checkout slow?')).rejects.toMatchObject({ reason: 'nothing_offline' });
  });

  it('reads only the file that is named, when it is there', async () => {
    await keepTranscript(directory, transcript(5, { question: 'Is it healthy?' }));
    const file = join(root, 'mine.json');
    expect((await ask('Is it healthy?', file)).transcript.answer).toBe('answer of 5 minutes ago');
    await saveTranscript(file, transcript(9));
    expect((await ask('Why is checkout slow?', file)).transcript.answer).toBe('answer of 9 minutes ago');
    await expect(ask('Is it healthy?', file)).rejects.toMatchObject({ reason: 'nothing_offline' });
    await writeFile(file, 'no transcript');
    await expect(ask('Is it healthy?', file)).rejects.toMatchObject({ reason: 'bad_transcript', where: file });
  });

  it('keeps transcripts to itself, and no more than it should', async () => {
    for (let i = 0; i < maxTranscripts + 3; i += 1) await keepTranscript(directory, transcript(100 - i));
    const kept = (await readdir(directory)).toSorted();
    expect(kept).toHaveLength(maxTranscripts);
    expect(kept[0]).toContain(new Date(noon - 97 * 60_000).toISOString().replaceAll(':', '-'));
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, kept[0] ?? ''))).mode & 0o777).toBe(0o600);
  });
});
