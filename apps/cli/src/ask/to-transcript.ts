import type { Provider } from '@coral/llm';
import { errorBody } from '../report-error.js';
import { wireCause, wireUsage } from './answer-view.js';
import type { AskOutcome } from './ask-session.js';
import type { Transcript } from './transcript.js';

export interface TranscriptFacts {
  question: string;
  outcome: AskOutcome;
  provider: Provider;
  colony: string;
  /** Wall clock, ms. */
  now: number;
}

/** A conversation as the file says it: wire names, no key, no token. */
export function toTranscript({ question, outcome, provider, colony, now }: TranscriptFacts): Transcript {
  const { conversation, agentId } = outcome;
  return {
    coral_transcript: 1,
    asked_at: new Date(now).toISOString(),
    colony,
    agent_id: agentId,
    provider: provider.name,
    model: provider.model,
    question,
    answer: conversation.answer,
    verdict: conversation.verdict,
    partial: conversation.partial,
    cause: wireCause(conversation.diagnosis?.cause ?? null),
    evidence: conversation.diagnosis?.evidence ?? [],
    tool_calls: conversation.toolCalls,
    turns: conversation.turns,
    usage: wireUsage(conversation.usage),
    cost_usd: conversation.costUsd,
    ...(conversation.failure ? { error: errorBody(conversation.failure) } : {}),
  };
}
