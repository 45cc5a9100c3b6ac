import { secretField } from '@coral/config';
import { modelPriceSchema, providerNames } from '@coral/llm';
import { z } from 'zod';

/** The address of an API, without anything secret in it. */
export const endpointField = z
  .url({ protocol: /^https?$/, error: 'expected an http:// or https:// address' })
  .refine((text) => {
    // zod asks this of what is no address, too.
    if (!URL.canParse(text)) return true;
    const { username, password, search, hash } = new URL(text);
    return `${username}${password}${search}${hash}` === '';
  }, 'expected an address alone, without user, password or what follows ? and #');

/** What one question may spend before the best answer so far is given. */
const budgetSchema = z.strictObject({
  /** Times the model is asked. */
  max_steps: z.int().min(1).max(1_000).default(24),
  max_tool_calls: z.int().min(1).max(10_000).default(60),
  max_seconds: z.int().min(1).max(3_600).default(180),
  /** How long a provider may be silent. */
  max_stall_seconds: z.int().min(1).max(3_600).default(90),
  /** Input and output of all steps together. */
  max_tokens: z.int().min(1).max(1_000_000_000).default(1_000_000),
  max_usd: z.number().positive().max(100_000).default(2),
});

export const modelName = z
  .string()
  .min(1)
  .max(200)
  // oxlint-disable-next-line no-control-regex -- finding them is the point
  .regex(/^[^\s\u0000-\u001f\u007f]+$/, 'expected the name of a model, without spaces');

/** The `ai` block: RFD 028's keys, and ours after them. config/cli.example.yaml explains each. */
export const aiSchema = z.strictObject({
  provider: z.enum(providerNames),
  api_key: secretField().optional(),
  model: modelName.optional(),
  max_tokens: z.int().min(1).max(1_000_000).optional(),
  temperature: z.number().min(0).max(2).optional(),
  stream: z.boolean().default(true),
  endpoint: endpointField.optional(),
  /** OpenAI's two protocols; libs/llm knows the default. */
  api: z.enum(['responses', 'chat']).optional(),
  context_length: z.int().min(512).max(100_000_000).optional(),
  model_path: z.string().min(1).optional(),
  threads: z.int().min(1).max(1_024).optional(),
  budget: budgetSchema.prefault({}),
  /** By model; before the table that coral comes with. */
  prices: z.record(modelName, modelPriceSchema).default({}),
});

export type AiConfig = z.output<typeof aiSchema>;

/** Without an `ai` block: no model, no key. */
export const builtinAi: AiConfig = Object.freeze(aiSchema.parse({ provider: 'builtin' }));
