import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AuditNotFound } from './audit.errors.js';
import { beforeGenesis, decodeRow, type AuditRow, type ChainHead, type RowCheck } from './audit-row.js';
import { segmentName, segmentOrdinals } from './segment-files.js';
import { readLines, type SegmentLine } from './segment-lines.js';

/** Where the next row starts. `head` undefined: take the first row's word for what stands before it. */
export interface ChainPosition {
  ordinal: number;
  offset: number;
  line: number;
  head: ChainHead | undefined;
}

export const startOfChain: ChainPosition = { ordinal: 1, offset: 0, line: 1, head: beforeGenesis };

/** A row that is what it should be, and where the one after it starts. */
export interface GoodRow {
  row: AuditRow;
  file: string;
  line: number;
  after: ChainPosition & { head: ChainHead };
}

/** The first place where the chain is not what it should be. */
export interface ChainBreak {
  position: ChainPosition;
  file: string;
  /** The row found there: intact in itself, but not the one that belongs there. */
  row?: AuditRow;
  problem: string;
  /** Undefined when a whole segment is missing. */
  found?: SegmentLine;
}

export type ChainStep = { good: GoodRow; broken?: undefined } | { good?: undefined; broken: ChainBreak };

/** Ordinals on disk, ascending. Throws `audit_not_found` when there is no such directory. */
export async function listSegments(directory: string): Promise<number[]> {
  try {
    return segmentOrdinals(await readdir(directory));
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && (thrown.code === 'ENOENT' || thrown.code === 'ENOTDIR')) {
      throw new AuditNotFound(directory);
    }
    throw thrown;
  }
}

function mismatch(row: AuditRow, head: ChainHead): string | undefined {
  if (row.seq !== head.seq + 1) return `row ${row.seq} stands where row ${head.seq + 1} belongs`;
  if (row.prev !== head.hash) return `row ${row.seq} is not chained to the row before it`;
  return undefined;
}

/** Follows the chain from a position to its end or to the first break, after which nothing more is yielded. */
export async function* walkChain(
  directory: string,
  ordinals: readonly number[],
  from: ChainPosition,
  check: RowCheck = 'canonical',
): AsyncGenerator<ChainStep> {
  let position = from;
  const last = ordinals.at(-1) ?? 0;
  for (let ordinal = from.ordinal; ordinal <= Math.max(last, from.ordinal); ordinal += 1) {
    const file = segmentName(ordinal);
    if (ordinal !== from.ordinal) position = { ...position, ordinal, offset: 0, line: 1 };
    if (!ordinals.includes(ordinal)) {
      yield { broken: { position, file, problem: 'the segment is missing' } };
      return;
    }
    for await (const found of readLines(join(directory, file), position)) {
      const { row, problem } = decodeRow(found.bytes, check);
      const head: ChainHead | undefined = position.head ?? (row && { seq: row.seq - 1, hash: row.prev });
      const wrong = found.terminated
        ? (problem ?? (row && head && mismatch(row, head)))
        : 'the line has no end: its write was cut short';
      if (row === undefined || wrong !== undefined) {
        const intact = row !== undefined && found.terminated ? { row } : {};
        yield { broken: { position, file, problem: wrong ?? 'the line is not an audit row', found, ...intact } };
        return;
      }
      const offset = found.offset + found.bytes.length + 1;
      const after = { ordinal, offset, line: found.line + 1, head: { seq: row.seq, hash: row.hash } };
      yield { good: { row, file, line: found.line, after } };
      position = after;
    }
  }
}
