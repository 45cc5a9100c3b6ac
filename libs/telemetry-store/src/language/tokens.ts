import { QuestionNotUnderstood } from './language.errors.js';

export interface Token {
  text: string;
  /** Lower case, without what English hangs on words: `Front's` is `front`. */
  word: string;
  kind: 'word' | 'quoted' | 'comma';
}

/** A quoted name with backslash escapes, a comma, or anything up to the next space or comma. */
const tokenPattern = /"((?:[^"\\]|\\.)*)"|([,;])|([^\s,;"]+)|(")/gu;

export function readTokens(text: string): Token[] {
  const tokens: Token[] = [];
  for (const [, quoted, comma, raw, stray] of text.matchAll(tokenPattern)) {
    if (stray !== undefined) throw new QuestionNotUnderstood('A quoted name does not end.');
    if (quoted !== undefined) tokens.push({ text: quoted.replaceAll(/\\(.)/gu, '$1'), word: '', kind: 'quoted' });
    else if (comma !== undefined) tokens.push({ text: ',', word: ',', kind: 'comma' });
    else if (raw !== undefined) {
      const bare = raw.replace(/[?.!:]+$/u, '').replace(/['’]s$/u, '');
      if (bare !== '') tokens.push({ text: bare, word: bare.toLowerCase(), kind: 'word' });
    }
  }
  return tokens;
}

/** Bare when it reads back as itself, else quoted. */
export function writeName(name: string, isReserved: (word: string) => boolean): string {
  const plain =
    /^[\p{L}\p{N}_/@][\p{L}\p{N}_./@-]*$/u.test(name) && !/[.]$/u.test(name) && !isReserved(name.toLowerCase());
  return plain ? name : `"${name.replaceAll(/["\\]/gu, '\\$&')}"`;
}
