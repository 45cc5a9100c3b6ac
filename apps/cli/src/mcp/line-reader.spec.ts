import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linesOf, maxLineBytes, type Line } from './line-reader.js';

async function* inChunks(...chunks: (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}
async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
const read = async (...chunks: (string | Buffer)[]): Promise<Line[]> => all(linesOf(inChunks(...chunks)));
const text = (lines: Line[]): string[] => lines.map(String);

describe('lines of standard input', () => {
  it('are the bytes between newlines, wherever chunks break', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.stringMatching(/^[^\r\n\s]{1,20}$/), { maxLength: 8 }),
        fc.array(fc.nat(40)),
        async (lines, cuts) => {
          const whole = Buffer.from(lines.join('\n'));
          const at = [...new Set(cuts.map((cut) => Math.min(cut, whole.length)))].toSorted((a, b) => a - b);
          const chunks = [...at, whole.length].map((end, i) => whole.subarray(at[i - 1] ?? 0, end));
          expect(text(await read(...chunks))).toEqual(lines);
        },
      ),
    );
  });

  it('leave out blank ones and keep one that has no end', async () => {
    expect(text(await read('a\n\n  \r\n', 'b\r\nc'))).toEqual(['a', 'b\r', 'c']);
    expect(await read('', '\n')).toEqual([]);
  });

  it('say of one that is too long only that, and go on after it', async () => {
    const half = 'x'.repeat(maxLineBytes / 2);
    expect(text(await read(half, half, '\nok\n'))).toEqual([half + half, 'ok']);
    expect(text(await read(half, half, 'x', half, half, half, '\nok\n'))).toEqual(['too_long', 'ok']);
    expect(text(await read(half, half, 'x'))).toEqual(['too_long']);
  });

  it('hold no more of a line that never ends than one may have', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const held = (): number => {
      collectGarbage();
      return process.memoryUsage().arrayBuffers;
    };
    const before = held();
    let after = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for (let i = 0; i < 4_096; i += 1) yield Buffer.alloc(64 * 1024, 'x');
      after = held();
      yield Buffer.from('\n{}\n');
    }
    expect(text(await all(linesOf(endless())))).toEqual(['too_long', '{}']);
    // 256 MiB have passed; what was let go is freed a little later.
    expect(after - before).toBeLessThan(96 * 1024 * 1024);
  });
});
