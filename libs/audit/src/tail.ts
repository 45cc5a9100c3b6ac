import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { AuditChainBroken } from './audit.errors.js';
import { beforeGenesis, type ChainHead } from './audit-row.js';
import { startOfChain, walkChain, type ChainBreak, type ChainPosition, type GoodRow } from './chain.js';
import { segmentName, segmentOrdinals, type SegmentFiles } from './segment-files.js';
import { describeBreak, isTorn } from './verify.js';
import { writeWhole, type Tail } from './segment-writer.js';

/** What a crash left behind the last good row, kept in a file of its own. */
export interface TornPiece {
  [key: string]: string | number;
  side_file: string;
  bytes: number;
  sha256: string;
}

/**
 * `<segment>.<seq>[.<n>].torn`: the bytes that stood where row `seq` was to stand. The number makes recording them safe
 * against a crash in between: as long as the chain has not reached `seq`, no row speaks of the piece.
 */
const tornName = /^\d{8}\.(\d+)(?:\.\d+)?\.torn$/;

/** Checks the last two segments (the older ones when somebody verifies) and cuts a torn last line off into a side file. */
export async function openTail(directory: string, files: SegmentFiles): Promise<Tail> {
  const ordinals = segmentOrdinals(await files.list(directory));
  const last = ordinals.at(-1) ?? 1;
  if (ordinals.length === 0) return { ordinal: last, size: 0, head: beforeGenesis };
  const from: ChainPosition = last <= 2 ? startOfChain : { ordinal: last - 1, offset: 0, line: 1, head: undefined };
  let before: GoodRow | undefined;
  for await (const { good, broken } of walkChain(directory, ordinals, from)) {
    if (good) {
      before = good;
      continue;
    }
    if (broken.position.ordinal !== last || !isTorn(broken)) {
      throw new AuditChainBroken(await describeBreak(directory, ordinals, broken, before));
    }
    await cutOff(directory, files, broken, before?.after.head ?? beforeGenesis);
  }
  const at = before?.after;
  return { ordinal: last, size: at?.ordinal === last ? at.offset : 0, head: at?.head ?? beforeGenesis };
}

async function cutOff(directory: string, files: SegmentFiles, broken: ChainBreak, head: ChainHead): Promise<void> {
  const { ordinal, offset } = broken.position;
  const segment = await files.open(join(directory, segmentName(ordinal)));
  try {
    const piece = await segment.read(offset, (await segment.size()) - offset);
    // The genesis row cannot record what was torn in its own place; the row after it does.
    const stem = `${segmentName(ordinal).slice(0, 8)}.${Math.max(1, head.seq + 1)}`;
    const taken = await files.list(directory);
    const names = [`${stem}.torn`, ...taken.map((_, n) => `${stem}.${n + 2}.torn`)];
    const name = names.find((candidate) => !taken.includes(candidate)) ?? `${stem}.${taken.length + 2}.torn`;
    const side = await files.open(join(directory, name));
    try {
      await writeWhole(side, piece, 0);
    } finally {
      await side.close();
    }
    await files.syncDirectory(directory);
    // Only now may it go from the segment.
    await segment.truncate(offset);
  } finally {
    await segment.close();
  }
}

/** Side files that no row speaks of yet. */
export async function unrecordedPieces(directory: string, files: SegmentFiles, head: ChainHead): Promise<TornPiece[]> {
  const names = (await files.list(directory)).filter((name) => Number(tornName.exec(name)?.[1] ?? -1) > head.seq);
  return Promise.all(
    names.toSorted().map(async (name) => {
      const file = await files.open(join(directory, name));
      try {
        const bytes = await file.read(0, await file.size());
        return { side_file: name, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
      } finally {
        await file.close();
      }
    }),
  );
}
