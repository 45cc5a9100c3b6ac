import { isCustomEndpoint, isOnThisMachine, providerOfModel, shippedPrices } from '@coral/llm';
import type { AiConfig } from '../config/ai-config.js';
import { variableOf, type FoundKey } from '../config/model-keys.js';
import { priceFor } from './model-costs.js';

/** Models that are named where none is chosen. */
const examples = 3;

/** What is still missing or looks odd in a configured model, one line each. */
export async function adviceFor(ai: AiConfig, { key }: FoundKey, env: NodeJS.ProcessEnv): Promise<string[]> {
  if (ai.provider === 'builtin') return [];
  const advice: string[] = [];
  const variable = key && variableOf(key);
  if (variable !== undefined && !env[variable]) {
    advice.push(`${variable} is not set in this shell: export ${variable}=… before you ask.`);
  }
  if (ai.model === undefined) {
    advice.push(`No model is chosen: add --model${await exampleModels(ai.provider)}, or name it with each question.`);
    return advice;
  }
  const told = isCustomEndpoint(ai) ? undefined : providerOfModel(ai.model);
  if (told !== undefined && told !== ai.provider) advice.push(`${ai.model} is called like a model of ${told}.`);
  if (!isOnThisMachine(ai) && (await priceFor(ai)) === undefined) {
    advice.push(
      `The price of ${ai.model} is not known: cost is shown as unknown, and ai.budget.max_usd is not watched.`,
    );
  }
  return advice;
}

/** ` (a, b, …)`; empty when none is known. */
export async function exampleModels(provider: string): Promise<string> {
  const { table } = await shippedPrices();
  const known = Object.keys(table[provider] ?? {}).slice(0, examples);
  return known.length === 0 ? '' : ` (${known.join(', ')}, …)`;
}
