import type { Secret } from '@coral/config';
import { readSecret, type SecretInput, type SecretWords } from '../config/read-secret.js';

const apiToken: SecretWords = { what: 'API token', flag: '--token', reason: 'no_token_given' };

/** A token as a reference (`env://NAME`), typed at a prompt without echo, or piped in. Never as an argument. */
export async function readToken(
  flag: string | undefined,
  stdin: SecretInput,
): Promise<{ token: Secret; reference?: string }> {
  const { secret: token, ...given } = await readSecret(flag, stdin, apiToken);
  return { token, ...given };
}
