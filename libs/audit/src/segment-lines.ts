import { createReadStream } from 'node:fs';
import { maxRowBytes } from './audit-row.js';

export interface SegmentLine {
  /** Without its newline. */
  bytes: Buffer;
  /** 1 for the first line. */
  line: number;
  /** Of the first byte, in the file. */
  offset: number;
  /** False for what follows the last newline. */
  terminated: boolean;
}

const newline = 0x0a;

/**
 * Lines of a segment, split at LF only (readline would also split at U+2028). Memory stays bounded: of a line longer than
 * any row only the start is kept, which then fails as a row.
 */
export async function* readLines(path: string, start = { offset: 0, line: 1 }): AsyncGenerator<SegmentLine> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let { offset, line } = start;
  let lineBytes = 0;
  const hold = (part: Buffer): void => {
    lineBytes += part.length;
    if (heldBytes > maxRowBytes) return;
    held.push(part);
    heldBytes += part.length;
  };
  for await (const chunk of createReadStream(path, {
    start: offset,
    highWaterMark: 256 * 1024,
  }) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      hold(chunk.subarray(from, at));
      yield { bytes: Buffer.concat(held), line, offset, terminated: true };
      offset += lineBytes + 1;
      line += 1;
      held = [];
      heldBytes = 0;
      lineBytes = 0;
      from = at + 1;
    }
    if (from < chunk.length) hold(chunk.subarray(from));
  }
  if (lineBytes > 0) yield { bytes: Buffer.concat(held), line, offset, terminated: false };
}
