import { createInterface } from 'node:readline';
import { CoralError } from '@coral/errors';
import { createProvider, isProviderName, isUsable, providerNames, type ProviderName } from '@coral/llm';

interface Terminal {
  stdin: NodeJS.ReadableStream & { isTTY?: boolean };
  stderr: NodeJS.WritableStream;
}

const usable = providerNames.filter(isUsable);

/**
 * The provider that a flag names, or that somebody chooses at a terminal. Errors: invalid_argument `unknown_provider`,
 * `no_provider_given`; failed_precondition `provider_unusable`.
 */
export async function readProvider(
  flag: string | undefined,
  terminal: Terminal,
  current: ProviderName | undefined,
): Promise<ProviderName> {
  if (flag === undefined) return askProvider(terminal, current);
  // Those that cannot be used say so themselves.
  if (!isProviderName(flag) || !isUsable(flag)) await createProvider({ provider: flag });
  return flag as ProviderName;
}

/** Asks on a terminal, by name or number; Enter keeps `current`. Without one it is an error that names the flag. */
async function askProvider({ stdin, stderr }: Terminal, current: ProviderName | undefined): Promise<ProviderName> {
  if (!stdin.isTTY) throw noProvider();
  const listed = usable.map((name, i) => `  ${i + 1} ${name}\n`);
  stderr.write(`Providers:\n${listed.join('')}`);
  const terminal = createInterface({ input: stdin, output: stderr, terminal: true });
  terminal.setPrompt(`Which one${current ? ` [${current}]` : ''}? `);
  terminal.once('SIGINT', () => terminal.close());
  let isOpen = true;
  terminal.once('close', () => (isOpen = false));
  try {
    terminal.prompt();
    for await (const typed of terminal) {
      const chosen = choiceOf(typed.trim(), current);
      if (chosen !== undefined) return chosen;
      stderr.write(`A name or a number from 1 to ${usable.length}.\n`);
      // What was typed ahead is still read.
      if (isOpen) terminal.prompt();
    }
  } finally {
    terminal.close();
  }
  throw new CoralError({ kind: 'cancelled', reason: 'cancelled', message: 'Nothing was changed.' });
}

function choiceOf(typed: string, current: ProviderName | undefined): ProviderName | undefined {
  if (typed === '') return current;
  if (/^\d+$/.test(typed)) return usable[Number(typed) - 1];
  return isProviderName(typed) && isUsable(typed) ? typed : undefined;
}

function noProvider(): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'no_provider_given',
    where: '--provider',
    message: 'No provider was named, and there is no terminal to ask on.',
    next: `Give --provider, one of: ${usable.join(', ')}.`,
  });
}
