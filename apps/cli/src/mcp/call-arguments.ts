import { CoralError } from '@coral/errors';

/** Longest JSON that --args takes, bytes; a colony takes less. */
export const maxArgsBytes = 256 * 1024;

/** Arguments of a tool from the words after its name (`service=orders`) or from one JSON object, never from both. */
export function readArguments(words: readonly string[], json: string | undefined): Record<string, unknown> {
  if (json === undefined) return fromWords(words);
  if (words.length > 0) {
    throw badArguments('--args', `Arguments are given twice: in --args and as ${JSON.stringify(words[0])}.`);
  }
  if (Buffer.byteLength(json) > maxArgsBytes) {
    throw badArguments('--args', `The arguments are larger than ${maxArgsBytes} bytes.`);
  }
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (thrown) {
    throw badArguments('--args', `The arguments are not JSON: ${(thrown as Error).message}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badArguments('--args', 'The arguments are JSON, but not an object.');
  }
  return value as Record<string, unknown>;
}

function fromWords(words: readonly string[]): Record<string, unknown> {
  const pairs = words.map((word): [string, string] => {
    const at = word.indexOf('=');
    if (at < 1) throw badArguments(word, `${JSON.stringify(word)} is not of the form name=value.`);
    return [word.slice(0, at), word.slice(at + 1)];
  });
  const names = pairs.map(([name]) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw badArguments(twice, `The argument ${twice} is given twice.`);
  return Object.fromEntries(pairs);
}

function badArguments(where: string, message: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_tool_arguments',
    where,
    message,
    next: 'Give name=value for each argument, or all of them as one object: --args \'{"name": "value"}\'.',
  });
}
