import { isCustomEndpoint, priceOf, shippedPrices, type Budget, type ModelPrice } from '@coral/llm';
import type { AiConfig } from '../config/ai-config.js';

/** `ai.budget` in the loop's words. */
export function toBudget({ budget }: Pick<AiConfig, 'budget'>): Budget {
  return {
    maxSteps: budget.max_steps,
    maxToolCalls: budget.max_tool_calls,
    maxSeconds: budget.max_seconds,
    maxStallSeconds: budget.max_stall_seconds,
    maxTokens: budget.max_tokens,
    maxUsd: budget.max_usd,
  };
}

/**
 * What the configured model costs; undefined when that is not known. The table holds the prices of the providers' own
 * APIs: at a server of somebody else's only `ai.prices` counts.
 */
export async function priceFor(
  ai: Pick<AiConfig, 'provider' | 'endpoint' | 'model' | 'prices'>,
): Promise<ModelPrice | undefined> {
  if (ai.model === undefined) return undefined;
  const table = isCustomEndpoint(ai) ? {} : (await shippedPrices()).table;
  return priceOf(ai.provider, ai.model, table, ai.prices);
}

/** `$0.00`, `$0.0123`, `$1.50`; `cost unknown` when it is. */
export function formatCost(usd: number | null): string {
  if (usd === null) return 'cost unknown';
  if (usd > 0 && usd < 0.000_05) return '<$0.0001';
  return `$${usd.toFixed(usd > 0 && usd < 1 ? 4 : 2)}`;
}

/** `2.1k in (1.8k cached) / 340 out tokens` */
export function formatUsage(usage: { inputTokens: number; outputTokens: number; cacheReadTokens?: number }): string {
  const cached = usage.cacheReadTokens ? ` (${formatTokens(usage.cacheReadTokens)} cached)` : '';
  return `${formatTokens(usage.inputTokens)} in${cached} / ${formatTokens(usage.outputTokens)} out tokens`;
}

function formatTokens(tokens: number): string {
  return tokens < 1_000 ? String(tokens) : `${(tokens / 1_000).toFixed(1)}k`;
}
