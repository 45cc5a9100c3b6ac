import { Secret } from '@coral/config';
import { CoralError } from '@coral/errors';

/** A pipe that sends nothing for this long is not going to, ms. */
export const stdinPatienceMs = 5_000;
/** Longest secret, bytes. */
export const maxSecretBytes = 4_096;

type Stdin = NodeJS.ReadStream | (AsyncIterable<Uint8Array | string> & { isTTY?: false });

/** A token as a reference (`env://NAME`), typed at a prompt without echo, or piped in. Never as an argument. */
export async function readToken(
  flag: string | undefined,
  stdin: Stdin,
): Promise<{ token: Secret; reference?: string }> {
  if (flag !== undefined && flag !== '-') {
    if (!/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(flag)) throw secretInArguments();
    return { token: Secret.reference(flag), reference: flag };
  }
  const text = stdin.isTTY && flag !== '-' ? await prompt(stdin as NodeJS.ReadStream) : await pipe(stdin);
  const token = text.split('\n')[0]?.trim() ?? '';
  if (token === '') throw noToken();
  return { token: Secret.literal(token) };
}

async function pipe(stdin: Stdin): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(noToken()), stdinPatienceMs);
  });
  const all = (async () => {
    let text = '';
    for await (const chunk of stdin) {
      text += Buffer.from(chunk).toString('utf8');
      if (text.includes('\n')) break;
      if (text.length > maxSecretBytes) throw noToken();
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
function prompt(stdin: NodeJS.ReadStream): Promise<string> {
  process.stderr.write('API token (not shown): ');
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
    stdin.setRawMode(true);
    stdin.resume();
    stdin.on('data', onData);
  });
}

function secretInArguments(): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'secret_in_arguments',
    where: '--token',
    message: 'Arguments are visible to others in process lists and shell history, so a token is not taken from there.',
    next: 'Pipe it in, type it at the prompt, or give --token env://NAME. Have this one revoked if it was real.',
  });
}

function noToken(): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'no_token_given',
    where: '--token',
    message: 'No API token was given.',
    next: 'Give --token env://NAME, or pipe the token into this command.',
  });
}

function cancelled(): CoralError {
  return new CoralError({ kind: 'cancelled', reason: 'cancelled', message: 'Nothing was changed.' });
}
