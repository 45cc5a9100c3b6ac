import type { Secret } from '@coral/config';
import { CoralError } from '@coral/errors';
import type { ColonyEntry } from './cli-config.js';
import { keepSecret, loadCredentials } from './credentials-file.js';

/** The API token for a colony: what the config refers to, else what `colony add` kept. */
export async function tokenFor(colony: ColonyEntry, credentialsFile: string): Promise<Secret> {
  if (colony.token) return colony.token;
  const { tokens } = await loadCredentials(credentialsFile);
  const token = Object.hasOwn(tokens, colony.id) ? tokens[colony.id] : undefined;
  if (token) return token;
  throw new CoralError({
    kind: 'unauthenticated',
    reason: 'no_token',
    where: colony.id,
    message: `There is no API token for the colony ${colony.id}.`,
    next: `Get one from its administrator (coral colony token create --user YOU), then: coral colony add ${colony.id} ${colony.endpoint} --ca-fingerprint ${colony.ca_fingerprint ?? 'sha256:…'}`,
  });
}

/** Keeps a token for a colony; other secrets and comments stay. */
export async function keepToken(credentialsFile: string, colonyId: string, token: Secret): Promise<void> {
  await keepSecret(credentialsFile, ['tokens', colonyId], token);
}
