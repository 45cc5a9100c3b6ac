import { durationField, loadPrivateYamlFile, Secret } from '@coral/config';
import { CoralError } from '@coral/errors';
import { parseDuration } from '@coral/model';
import { z } from 'zod';
import { aiSchema } from './ai-config.js';

export const colonyIdPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
export const endpointPattern = /^(\[[0-9A-Fa-f:.]+\]|[^\s/:@]+):\d{1,5}$/;
export const fingerprintPattern = /^sha256:[0-9a-f]{64}$/i;

/** A token's place, never a token: this file is copied, shared and shown around. */
const referenceField = z.string({ error: 'expected env://NAME' }).transform((text, ctx) => {
  try {
    return Secret.reference(text);
  } catch (thrown) {
    if (!(thrown instanceof CoralError)) throw thrown;
    const next = 'Write env://NAME here, or let `coral colony add` keep the token in credentials.yaml.';
    ctx.addIssue({ code: 'custom', message: thrown.message, params: { reason: thrown.reason, next } });
    return z.NEVER;
  }
});

const colonySchema = z.strictObject({
  id: z.string().regex(colonyIdPattern, 'expected letters, digits, dots and dashes, at most 63'),
  endpoint: z.string().regex(endpointPattern, 'expected host:port, for example coral.example.com:41820'),
  ca_fingerprint: z.string().regex(fingerprintPattern, 'expected sha256: and 64 hexadecimal digits').optional(),
  token: referenceField.optional(),
});

/** `~/.coral/config.yaml`: RFD 028's keys, and ours after them. config/cli.example.yaml explains each. */
export const cliConfigSchema = z.strictObject({
  ai: aiSchema.optional(),
  colonies: z.array(colonySchema).default([]).superRefine(refuseTwins),
  current_colony: z.string().optional(),
  ephemeral: z
    .strictObject({
      default_ttl: durationField({ min: parseDuration('1s') }).optional(),
      auto_cleanup: z.boolean().default(true),
    })
    .prefault({}),
});

export type CliConfig = z.output<typeof cliConfigSchema>;
export type ColonyEntry = CliConfig['colonies'][number];

function refuseTwins(colonies: readonly { id: string }[], ctx: z.RefinementCtx): void {
  for (const [i, { id }] of colonies.entries()) {
    if (colonies.findIndex((other) => other.id === id) === i) continue;
    ctx.addIssue({ code: 'custom', path: [i, 'id'], message: `${id} is here twice` });
  }
}

/** The config file, or the defaults when there is none yet. Everything else wrong with it is `failed_precondition`. */
export async function loadCliConfig(file: string): Promise<CliConfig> {
  return (await loadIfThere(file, cliConfigSchema)) ?? cliConfigSchema.parse({});
}

/** Undefined when the file does not exist. */
export async function loadIfThere<T>(file: string, schema: z.ZodType<T>): Promise<T | undefined> {
  try {
    return await loadPrivateYamlFile(file, schema);
  } catch (thrown) {
    if (thrown instanceof CoralError && thrown.reason === 'config_missing') return undefined;
    throw thrown;
  }
}
