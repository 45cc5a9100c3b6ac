import { readFile } from 'node:fs/promises';
import { secretField, type Secret } from '@coral/config';
import { Document, parseDocument } from 'yaml';
import { z } from 'zod';
import { colonyIdPattern, loadIfThere } from './cli-config.js';
import { writePrivateFile } from './private-file.js';

/** `openai`, or `openai@models.example.com` for a server of somebody else's. */
const keyNamePattern = /^[a-z]+(@[^\s@/]+)?$/;

const credentialsSchema = z.strictObject({
  /** API tokens, by colony. */
  tokens: z.record(z.string().regex(colonyIdPattern, 'expected the id of a colony'), secretField()).default({}),
  /** Keys of models, by provider. */
  model_keys: z
    .record(z.string().regex(keyNamePattern, 'expected a provider, or provider@host'), secretField())
    .default({}),
});

export type Credentials = z.output<typeof credentialsSchema>;

/** `credentials.yaml`, beside the config: secrets that were typed or piped in, closed to everybody else. */
export async function loadCredentials(file: string): Promise<Credentials> {
  return (await loadIfThere(file, credentialsSchema)) ?? credentialsSchema.parse({});
}

/** Keeps one secret; the others and comments stay. */
export async function keepSecret(
  file: string,
  [group, name]: [group: keyof Credentials, name: string],
  secret: Secret,
): Promise<void> {
  const before = await loadIfThere(file, credentialsSchema);
  const document = before ? parseDocument(await readFile(file, 'utf8')) : new Document({}, { version: '1.2' });
  document.setIn([group, name], secret.reveal());
  await writePrivateFile(file, document.toString());
}
