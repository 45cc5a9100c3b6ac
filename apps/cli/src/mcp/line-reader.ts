/** Longest message taken, bytes: the colony's doors take none that is larger. */
export const maxLineBytes = 256 * 1024;

/** The bytes of one line without its end, or word that there were too many. */
export type Line = Buffer | 'too_long';

const newline = 0x0a;
const carriageReturn = 0x0d;

/**
 * Lines of a byte stream, unchanged, blank ones left out. Never holds more than `maxLineBytes`: the rest of a longer line is
 * thrown away as it comes. What stands after the last newline is a line too.
 */
export async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let length = 0;
  const take = (): Line => {
    const line = length > maxLineBytes ? 'too_long' : Buffer.concat(parts);
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of input) {
    for (let at = 0; at < chunk.length;) {
      const end = chunk.indexOf(newline, at);
      const part = chunk.subarray(at, end === -1 ? chunk.length : end);
      length += part.length;
      if (length > maxLineBytes) parts = [];
      else parts.push(part);
      at += part.length + 1;
      if (end === -1) continue;
      const line = take();
      if (!isBlank(line)) yield line;
    }
  }
  const last = take();
  if (!isBlank(last)) yield last;
}

function isBlank(line: Line): boolean {
  return line !== 'too_long' && line.every((byte) => byte === 0x20 || byte === 0x09 || byte === carriageReturn);
}
