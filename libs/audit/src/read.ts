import { join } from 'node:path';
import { AuditChainBroken } from './audit.errors.js';
import { decodeRow, type AuditKind, type AuditRow, type RowCheck } from './audit-row.js';
import { listSegments, startOfChain, walkChain, type ChainPosition, type GoodRow } from './chain.js';
import { segmentName } from './segment-files.js';
import { readLines } from './segment-lines.js';
import { describeBreak } from './verify.js';

/** All given conditions hold. Times: RFC 3339 UTC as in rows, `from` inside, `to` outside. */
export interface AuditFilter {
  fromSeq?: number;
  kinds?: readonly AuditKind[];
  userId?: string;
  agentId?: string;
  from?: string;
  to?: string;
}

function matches(row: AuditRow, filter: AuditFilter): boolean {
  return (
    (filter.fromSeq === undefined || row.seq >= filter.fromSeq) &&
    (filter.kinds === undefined || filter.kinds.includes(row.kind)) &&
    (filter.userId === undefined || row.user_id === filter.userId) &&
    (filter.agentId === undefined || row.agent_id === filter.agentId) &&
    (filter.from === undefined || row.at >= filter.from) &&
    (filter.to === undefined || row.at < filter.to)
  );
}

async function firstSeq(directory: string, ordinal: number): Promise<number | undefined> {
  for await (const line of readLines(join(directory, segmentName(ordinal)))) return decodeRow(line.bytes).row?.seq;
  return undefined;
}

/** Start of the segment that holds the row, so that the ones before it need not be read. */
async function segmentOf(directory: string, ordinals: readonly number[], seq: number): Promise<ChainPosition> {
  for (const ordinal of ordinals.toReversed()) {
    const first = await firstSeq(directory, ordinal);
    if (ordinal > 1 && first !== undefined && first <= seq) return { ordinal, offset: 0, line: 1, head: undefined };
  }
  return startOfChain;
}

/** Rows from a known position on, each with its own; throws `audit_chain_broken` at the first row that does not fit. */
export async function* readFrom(
  directory: string,
  from: ChainPosition,
  check: RowCheck = 'canonical',
): AsyncGenerator<GoodRow> {
  const ordinals = await listSegments(directory);
  let before: GoodRow | undefined;
  for await (const { good, broken } of walkChain(directory, ordinals, from, check)) {
    if (good) {
      before = good;
      yield good;
    } else if (broken.found?.terminated !== false || broken.position.ordinal !== ordinals.at(-1)) {
      // An unfinished last line is no row, and never was one: nobody was told that it is there.
      throw new AuditChainBroken(await describeBreak(directory, ordinals, broken, before));
    }
  }
}

/** Rows in order, each checked against its hash and its neighbour. Throws `audit_chain_broken` where that fails. */
export async function* readAudit(directory: string, filter: AuditFilter = {}): AsyncGenerator<AuditRow> {
  const ordinals = await listSegments(directory);
  const from = filter.fromSeq === undefined ? startOfChain : await segmentOf(directory, ordinals, filter.fromSeq);
  for await (const { row } of readFrom(directory, from)) if (matches(row, filter)) yield row;
}
