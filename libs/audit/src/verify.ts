import { join } from 'node:path';
import { decodeRow, type AuditRow, type ChainHead } from './audit-row.js';
import { listSegments, startOfChain, walkChain, type ChainBreak, type GoodRow } from './chain.js';
import { isLocked } from './directory-lock.js';
import { segmentName } from './segment-files.js';
import { readLines } from './segment-lines.js';

export type AuditProblem = 'edited' | 'deleted' | 'reordered' | 'inserted' | 'torn' | 'missing segment' | 'truncated';

export interface BadRow {
  /** The first row that is not there, or not as it was written. */
  seq: number;
  file: string;
  /** 0 when the whole file is missing. */
  line: number;
  problem: AuditProblem;
  /** What was found, in words. */
  detail: string;
}

export type AuditVerdict =
  | { ok: true; rows: number; head: string; headSeq: number }
  | { ok: false; rows: number; firstBad: BadRow };

/** How far behind the break the missing row is looked for. Rows. */
const lookAhead = 10_000;

async function rowsBehind(directory: string, ordinals: readonly number[], broken: ChainBreak): Promise<AuditRow[]> {
  const rows: AuditRow[] = [];
  const { found, position } = broken;
  if (found === undefined) return rows;
  for (const ordinal of ordinals.filter((o) => o >= position.ordinal)) {
    for await (const line of readLines(join(directory, segmentName(ordinal)))) {
      if (ordinal === position.ordinal && line.line <= found.line) continue;
      const { row } = decodeRow(line.bytes);
      if (row) rows.push(row);
      if (rows.length >= lookAhead) return rows;
    }
  }
  return rows;
}

/**
 * Says what was done to the file from what stands around the break. Exact for one change; of several it describes the first.
 *   line is no row                      torn, or edited; inserted if the row that belongs there comes right behind it
 *   seq too high                        reordered if the missing row comes later, else deleted
 *   seq too low                         inserted: two rows claim the number
 *   seq right, chained to another row   edited and hashed anew: this one if its successor disowns it too, else the one before
 */
export async function describeBreak(
  directory: string,
  ordinals: readonly number[],
  broken: ChainBreak,
  before: GoodRow | undefined,
): Promise<BadRow> {
  const head: ChainHead = broken.position.head ?? { seq: (broken.row?.seq ?? 0) - 1, hash: broken.row?.prev ?? '' };
  const expected = head.seq + 1;
  const here = { file: broken.file, line: broken.found?.line ?? 0, detail: broken.problem };
  if (broken.found === undefined) return { ...here, seq: expected, problem: 'missing segment' };
  const { row } = broken;
  const behind = await rowsBehind(directory, ordinals, broken);
  const belongsHere = (other: AuditRow): boolean => other.seq === expected && other.prev === head.hash;
  if (row === undefined) {
    if (isTorn(broken)) return { ...here, seq: expected, problem: 'torn' };
    const [next] = behind;
    return { ...here, seq: expected, problem: next && belongsHere(next) ? 'inserted' : 'edited' };
  }
  if (row.seq > expected) {
    const isCopy = behind.some((other) => other.hash === row.hash);
    const problem = behind.some(belongsHere) ? (isCopy ? 'inserted' : 'reordered') : 'deleted';
    return { ...here, seq: expected, problem };
  }
  if (row.seq < expected) return { ...here, seq: row.seq, problem: 'inserted' };
  const [next] = behind;
  const disowned = next?.seq === row.seq + 1 && next.prev !== row.hash;
  if (disowned || before === undefined) return { ...here, seq: expected, problem: 'edited' };
  const detail = `row ${before.row.seq} is not the one that row ${row.seq} was chained to`;
  return { seq: before.row.seq, file: before.file, line: before.line, problem: 'edited', detail };
}

/** A write that never finished: no newline, or blocks that the disk never filled (no row contains a NUL byte). */
export function isTorn(broken: ChainBreak): boolean {
  return broken.found !== undefined && (!broken.found.terminated || broken.found.bytes.includes(0));
}

/**
 * Checks every row of every segment. A log cut off at its end verifies, unless `head` (as a row, a checkpoint or an earlier
 * verdict named it) is given to hold against. Safe beside a running writer.
 */
export async function verifyAudit(directory: string, options: { head?: ChainHead } = {}): Promise<AuditVerdict> {
  const ordinals = await listSegments(directory);
  let rows = 0;
  let before: GoodRow | undefined;
  let rewritten: GoodRow | undefined;
  for await (const { good, broken } of walkChain(directory, ordinals, startOfChain)) {
    if (good) {
      rows += 1;
      before = good;
      if (good.row.seq === options.head?.seq && good.row.hash !== options.head.hash) rewritten ??= good;
    } else if (!isInFlight(directory, ordinals, broken)) {
      return { ok: false, rows, firstBad: await describeBreak(directory, ordinals, broken, before) };
    }
  }
  const head = before?.after.head;
  if (rewritten) {
    const detail = 'the row has another hash than the head it is held against: the log was written anew';
    const { row, file, line } = rewritten;
    return { ok: false, rows, firstBad: { seq: row.seq, file, line, problem: 'edited', detail } };
  }
  if (head === undefined || (options.head && head.seq < options.head.seq)) {
    const seq = (head?.seq ?? -1) + 1;
    const detail = options.head ? `the log once reached row ${options.head.seq}` : 'the log has no row at all';
    const file = before?.file ?? segmentName(1);
    return { ok: false, rows, firstBad: { seq, file, line: (before?.line ?? 0) + 1, problem: 'truncated', detail } };
  }
  return { ok: true, rows, head: head.hash, headSeq: head.seq };
}

/** The end of the last line may not have been written yet while a writer is at work. */
function isInFlight(directory: string, ordinals: readonly number[], broken: ChainBreak): boolean {
  const atEnd = broken.found?.terminated === false && broken.position.ordinal === ordinals.at(-1);
  return atEnd && isLocked(directory);
}
