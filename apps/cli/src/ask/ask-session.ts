import {
  converse,
  type Budget,
  type Conversation,
  type ConversationEvent,
  type ModelPrice,
  type Provider,
} from '@coral/llm';
import type { Coverage } from '@coral/tools';
import { isPartial } from '../view/envelope-view.js';
import { ToolSession, type SessionOptions } from '../session/tool-session.js';

export interface AskOptions {
  question: string;
  provider: Provider;
  /** What the question may spend before the best answer so far is given. */
  budget: Budget;
  /** Undefined: not known, and then the money of the budget is not watched. */
  price: ModelPrice | undefined;
  session: SessionOptions;
  onEvent(event: ConversationEvent): void;
  /** Told as soon as there is something to give back, for those who cannot wait for the end. */
  onOpen(session: Pick<ToolSession, 'agentId' | 'close'>): void;
}

export interface AskOutcome {
  conversation: Conversation;
  /** The lease that answered last. */
  agentId: string;
  /** Of all tools together: an agent that was ever silent counts as silent. */
  coverage: Coverage;
}

/**
 * Opens a lease, lets the provider ask until it has an answer, and gives everything back whatever happens. A provider that
 * fails ends in a partial conversation with its `failure`.
 */
export async function runAsk({
  question,
  provider,
  budget,
  price,
  session: options,
  onEvent,
  onOpen,
}: AskOptions): Promise<AskOutcome> {
  await using session = await ToolSession.open(options);
  onOpen(session);
  const coverage = new CoverageSum();
  const tools = await session.listTools(options.signal);
  const conversation = await converse({
    provider,
    question,
    tools,
    budget,
    price,
    signal: options.signal,
    onEvent,
    callTool: async (call, signal) => {
      const answer = await session.callTool(call.name, call.args, signal);
      if (!answer.isError) coverage.add(answer.envelope.coverage);
      return { callId: call.id, name: call.name, text: answer.text, isError: answer.isError };
    },
  });
  return { conversation, agentId: session.agentId, coverage: coverage.total() };
}

/** Worst case per agent over many answers: silent beats late beats denied beats answered. */
class CoverageSum {
  readonly #worst = new Map<string, Exclude<keyof Coverage, 'asked'>>();

  add(coverage: Coverage): void {
    for (const rank of ['answered', 'denied', 'late', 'silent'] as const) {
      for (const agent of coverage[rank]) {
        if (order.indexOf(rank) >= order.indexOf(this.#worst.get(agent) ?? 'answered')) this.#worst.set(agent, rank);
      }
    }
  }

  total(): Coverage {
    const of = (rank: string) => [...this.#worst].filter(([, got]) => got === rank).map(([agent]) => agent);
    return {
      asked: this.#worst.size,
      answered: of('answered'),
      late: of('late'),
      silent: of('silent'),
      denied: of('denied'),
    };
  }
}

const order = ['answered', 'denied', 'late', 'silent'];

/** An answer that some agents had no part in, or that was broken off: exit code 8. */
export function isPartialAnswer({ conversation, coverage }: AskOutcome): boolean {
  return conversation.partial || conversation.silentAgents.length > 0 || isPartial({ coverage });
}
