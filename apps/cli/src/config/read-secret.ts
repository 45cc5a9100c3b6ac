import { Secret } from '@coral/config';
import { CoralError } from '@coral/errors';

/** A pipe that sends nothing for this long is not going to, ms. */
export const stdinPatienceMs = 5_000;
/** Longest secret, bytes. */
export const maxSecretBytes = 4_096;

export type SecretInput = NodeJS.ReadStream | (AsyncIterable<Uint8Array | string> & { isTTY?: boolean });

/** How a secret is called, and where it would be given. */
export interface SecretWords {
  /** `API token` */
  what: string;
  /** `--token` */
  flag: string;
  /** Of the error when none came: `no_token_given`. */
  reason: string;
}

export interface GivenSecret {
  secret: Secret;
  /** `env://NAME`; absent when the secret itself was typed or piped in. */
  reference?: string;
}

/** A secret as a reference (`env://NAME`), typed at a prompt without echo, or piped in. Never as an argument. */
export async function readSecret(
  flag: string | undefined,
  stdin: SecretInput,
  words: SecretWords,
): Promise<GivenSecret> {
  refuseLiteral(flag, words);
  if (flag !== undefined && flag !== '-') return { secret: Secret.reference(flag), reference: flag };
  const text = stdin.isTTY ? await prompt(stdin as NodeJS.ReadStream, words) : await pipe(stdin, words);
  const secret = text.split('\n')[0]?.trim() ?? '';
  if (secret === '') throw noSecret(words);
  return { secret: Secret.literal(secret) };
}

/** Throws for what is neither `-` nor a reference, and repeats nothing of it. */
export function refuseLiteral(flag: string | undefined, words: SecretWords): void {
  if (flag === undefined || flag === '-' || /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(flag)) return;
  throw secretInArguments(words);
}

async function pipe(stdin: SecretInput, words: SecretWords): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(noSecret(words)), stdinPatienceMs);
  });
  const all = (async () => {
    let text = '';
    for await (const chunk of stdin) {
      text += Buffer.from(chunk).toString('utf8');
      if (text.includes('\n')) break;
      if (text.length > maxSecretBytes) throw noSecret(words);
    }
    return text;
  })();
  try {
    return await Promise.race([all, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Raw mode, so that the terminal does not show what is typed. */
function prompt(stdin: NodeJS.ReadStream, { what }: SecretWords): Promise<string> {
  // Before anybody is asked: what is typed early would be shown.
  stdin.setRawMode(true);
  process.stderr.write(`${what} (not shown): `);
  return new Promise((resolve, reject) => {
    let typed = '';
    const end = (settle: () => void) => {
      stdin.setRawMode(false);
      stdin.pause();
      stdin.off('data', onData);
      process.stderr.write('\n');
      settle();
    };
    const onData = (chunk: Buffer) => {
      for (const key of chunk.toString('utf8')) {
        if (key === '\u0003') return end(() => reject(cancelled()));
        if (key === '\r' || key === '\n' || key === '\u0004') return end(() => resolve(typed));
        if (key === '\u007f' || key === '\b') typed = typed.slice(0, -1);
        else if (typed.length < maxSecretBytes) typed += key;
      }
    };
    stdin.resume();
    stdin.on('data', onData);
  });
}

function secretInArguments({ what, flag }: SecretWords): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'secret_in_arguments',
    where: flag,
    message: `Arguments are visible to others in process lists and shell history, so an ${what} is not taken from there.`,
    next: `Pipe it in, type it at the prompt, or give ${flag} env://NAME. Have this one revoked if it was real.`,
  });
}

export function noSecret({ what, flag, reason }: SecretWords): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason,
    where: flag,
    message: `No ${what} was given.`,
    next: `Give ${flag} env://NAME, or pipe the ${what} into this command.`,
  });
}

function cancelled(): CoralError {
  return new CoralError({ kind: 'cancelled', reason: 'cancelled', message: 'Nothing was changed.' });
}
