import { Secret, secretField } from '@coral/config';
import { CoralError } from '@coral/errors';
import { Document, parseDocument } from 'yaml';
import { z } from 'zod';
import { readFile } from 'node:fs/promises';
import { colonyIdPattern, loadIfThere, type ColonyEntry } from './cli-config.js';
import { writePrivateFile } from './private-file.js';

const credentialsSchema = z.strictObject({
  tokens: z.record(z.string().regex(colonyIdPattern, 'expected the id of a colony'), secretField()).default({}),
});

/** The API token for a colony: what the config refers to, else what `colony add` kept. */
export async function tokenFor(colony: ColonyEntry, credentialsFile: string): Promise<Secret> {
  if (colony.token) return colony.token;
  const kept = await loadIfThere(credentialsFile, credentialsSchema);
  const token = kept?.tokens[colony.id];
  if (token) return token;
  throw new CoralError({
    kind: 'unauthenticated',
    reason: 'no_token',
    where: colony.id,
    message: `There is no API token for the colony ${colony.id}.`,
    next: `Get one from its administrator (coral colony token create --user YOU), then: coral colony add ${colony.id} ${colony.endpoint} --ca-fingerprint ${colony.ca_fingerprint ?? 'sha256:…'}`,
  });
}

/** Keeps a token for a colony; other tokens and comments stay. */
export async function keepToken(credentialsFile: string, colonyId: string, token: Secret): Promise<void> {
  const before = await loadIfThere(credentialsFile, credentialsSchema);
  const document = before
    ? parseDocument(await readFile(credentialsFile, 'utf8'))
    : new Document({ tokens: {} }, { version: '1.2' });
  document.setIn(['tokens', colonyId], token.reveal());
  await writePrivateFile(credentialsFile, document.toString());
}
