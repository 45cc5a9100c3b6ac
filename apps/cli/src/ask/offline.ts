import { CoralError } from '@coral/errors';
import type { Clock } from '@coral/model';
import { formatAge } from '../view/words.js';
import { findTranscript, type Transcript } from './transcript.js';

/** What --offline may say: an answer that was once given, and how old it is. It joins nothing and invents nothing. */
export interface OfflineAnswer {
  transcript: Transcript;
  /** `offline: asked 3h ago (…) at prod; nothing was looked at now` */
  label: string;
  ageMs: number;
}

export async function answerOffline(
  question: string,
  from: { file?: string | undefined; directory: string },
  clock: Clock,
): Promise<OfflineAnswer> {
  const transcript = await findTranscript(question, from);
  if (!transcript) throw nothingOffline(from.file ?? from.directory);
  const ageMs = clock.now() - Date.parse(transcript.asked_at);
  const age = formatAge(ageMs);
  const broken = transcript.partial ? ', broken off before its end' : '';
  const label = `offline: asked ${age} (${transcript.asked_at}) at ${transcript.colony}${broken}; nothing was looked at now`;
  return { transcript, label, ageMs };
}

/** A model elsewhere would receive the question and the telemetry: that is not offline. */
export function refuseRemote(provider: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'provider_not_local',
    where: 'ai.provider',
    message: `--offline uses only what is on this machine, and the provider ${provider} is not.`,
    next: 'Add --model builtin, or leave out --offline.',
  });
}

function nothingOffline(where: string): CoralError {
  return new CoralError({
    kind: 'not_found',
    reason: 'nothing_offline',
    where,
    message: 'There is no transcript of this question, and offline coral looks at nothing else.',
    next: 'Ask without --offline once; the answer is then kept.',
  });
}
