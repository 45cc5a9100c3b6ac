import type { Budget } from './budget.js';
import { costOf, type ModelPrice } from './prices.js';
import type { TokenUsage } from './provider.js';

/** What a conversation has used, request by request: some prices depend on the length of one prompt. */
export class Meter {
  private readonly requests: Required<TokenUsage>[] = [];

  /** `price`: undefined when it is not known; `free`: a provider on this machine. */
  constructor(
    private readonly price: ModelPrice | undefined,
    private readonly free: boolean,
  ) {}

  /** What is added from now on belongs to a new request; a failed try is one too. */
  startRequest(): void {
    this.requests.push(none());
  }

  add(usage: TokenUsage): void {
    const request = this.requests.at(-1);
    if (request === undefined) throw new Error('startRequest comes first');
    for (const key of keys) request[key] += tokens(usage[key]);
  }

  get usage(): Required<TokenUsage> {
    const sum = none();
    for (const request of this.requests) for (const key of keys) sum[key] += request[key];
    return sum;
  }

  /** US dollars; 0 for a provider on this machine, null when the price is not known. */
  get costUsd(): number | null {
    if (this.free) return 0;
    const { price } = this;
    return price === undefined ? null : this.requests.reduce((sum, request) => sum + costOf(request, price), 0);
  }

  /** The limit that is reached. */
  spent(budget: Budget): 'tokens' | 'money' | undefined {
    return this.reached(budget, 0);
  }

  /** The limit that one more request like the largest so far would reach. */
  nearlySpent(budget: Budget): 'tokens' | 'money' | undefined {
    return this.requests.length === 0 ? undefined : this.reached(budget, 1);
  }

  private reached({ maxTokens, maxUsd }: Budget, more: 0 | 1): 'tokens' | 'money' | undefined {
    const { requests, costUsd, price } = this;
    const used = requests.map((request) => request.inputTokens + request.outputTokens);
    if (maxTokens !== undefined && sum(used) + more * Math.max(0, ...used) >= maxTokens) return 'tokens';
    if (maxUsd === undefined || costUsd === null || price === undefined || this.free) return undefined;
    const costs = requests.map((request) => costOf(request, price));
    return costUsd + more * Math.max(0, ...costs) >= maxUsd ? 'money' : undefined;
  }
}

const keys = ['inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens'] as const;

function none(): Required<TokenUsage> {
  return { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };
}

/** A count from outside: what is none adds nothing, so that no reply can make the sum smaller or senseless. */
function tokens(count: number | undefined): number {
  return count !== undefined && Number.isFinite(count) && count > 0 ? count : 0;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
