import { nearest } from '@coral/config';
import { CoralError } from '@coral/errors';
import { modelKeyWords } from './configure-model.js';
import { refuseLiteral } from './read-secret.js';

/** How the keys of the known providers, and our own tokens, begin. */
const keyLike = /^(sk-|AIza|coral_(pat|join)_)/;

/**
 * Refuses a key wherever it stands among the words of a command, and flags that it does not have, repeating nothing that
 * could be a key: the parser's own errors would. `known`: names of flags.
 */
export function refuseKeysAndStrangers(words: readonly string[], known: readonly string[]): void {
  for (const word of words) {
    const { name, value = word } = flagOf(word) ?? {};
    if (name === 'api-key' && value !== word) refuseLiteral(value, modelKeyWords);
    if (keyLike.test(value)) refuseLiteral(value, modelKeyWords);
  }
  for (const word of words) {
    const name = flagOf(word)?.name;
    if (name !== undefined && ![...known, 'help'].includes(name)) throw unknownFlag(name, known);
  }
}

/** What is left after the flags were read. */
export function refuseRest(rest: readonly unknown[]): void {
  if (rest.length > 0) throw usage('There is an argument too many.');
}

function flagOf(word: string): { name: string; value: string | undefined } | undefined {
  const match = /^--([^=]*)(?:=(.*))?$/s.exec(word);
  return match ? { name: match[1] ?? '', value: match[2] } : undefined;
}

function unknownFlag(name: string, known: readonly string[]): CoralError {
  const close = nearest(name, known);
  return usage(`There is no flag --${name.slice(0, 40)}.`, close === undefined ? '' : `Did you mean --${close}? `);
}

function usage(message: string, hint = ''): CoralError {
  const next = `${hint}coral llm configure --help shows what it takes.`;
  return new CoralError({ kind: 'invalid_argument', reason: 'usage', message, next });
}
