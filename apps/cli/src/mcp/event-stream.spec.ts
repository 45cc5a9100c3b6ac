import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventsOf, EventTooLarge } from './event-stream.js';

async function* inChunks(chunks: Uint8Array[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}
async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
const read = (text: string, maxBytes = 1_000): Promise<string[]> =>
  all(eventsOf(inChunks([Buffer.from(text)]), maxBytes));

describe('events of a stream', () => {
  it('are their data, whatever ends the lines', async () => {
    expect(
      await read(': comment\n\nid: 1\ndata:\n\nevent: message\ndata: {"a":\r\ndata:1}\r\n\r\ndata: b\r\rdata'),
    ).toEqual(['{"a":\n1}', 'b']);
  });

  it('come whole, wherever chunks break', async () => {
    const text = 'data: ä\r\ndata:  €\r\n\r\n: x\n\ndata: 😀\n\n';
    const whole = Buffer.from(text);
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(whole.length), { maxLength: 10 }), async (cuts) => {
        const at = cuts.toSorted((a, b) => a - b);
        const chunks = [...at, whole.length].map((end, i) => whole.subarray(at[i - 1] ?? 0, end));
        expect(await all(eventsOf(inChunks(chunks), 1_000))).toEqual(['ä\n €', '😀']);
      }),
    );
  });

  it('are no larger than they may be, in one line or in many', async () => {
    await expect(read(`data: ${'x'.repeat(400)}\n\n`, 500)).resolves.toHaveLength(1);
    await expect(read(`data: ${'x'.repeat(501)}\n\n`, 500)).rejects.toThrow(EventTooLarge);
    const endless = (line: string) => inChunks(Array.from({ length: 100 }, () => Buffer.from(line)));
    await expect(all(eventsOf(endless('data: xxxxxxxxxx'), 500))).rejects.toThrow(EventTooLarge);
    await expect(all(eventsOf(endless('data: xxxxxxxxxx\n'), 500))).rejects.toThrow(EventTooLarge);
  });
});
