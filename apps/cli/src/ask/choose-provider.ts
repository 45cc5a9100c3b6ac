import { resolveModel } from '@coral/llm';
import { builtinAi, type AiConfig } from '../config/ai-config.js';

export interface ProviderChoice {
  config: AiConfig;
  /** True when nobody chose: no `ai` block and no --model. */
  byDefault: boolean;
}

/**
 * Which model answers. `--model` takes a provider (`ollama`), a model (`gpt-5.5`), or both (`ollama:llama3.1:8b`). How to
 * reach a model and how to run it counts only for the provider it was written for; budget and prices are the user's.
 */
export function chooseProvider(ai: AiConfig | undefined, flag: string | undefined): ProviderChoice {
  if (flag === undefined) return ai ? { config: ai, byDefault: false } : { config: builtinAi, byDefault: true };
  const { provider, model } = resolveModel(flag, ai);
  const { stream, budget, prices } = ai ?? builtinAi;
  const base: AiConfig = ai?.provider === provider ? ai : { provider, stream, budget, prices };
  return { config: model === undefined ? base : { ...base, model }, byDefault: false };
}
