import type { SackBlock } from '../wire/segment.js';
import type { SequenceSpace } from './sequence.js';

/** Smaller pieces are copied together while nobody reads them: a piece pins the packet it came in. */
const SMALL_PIECE = 512;
const BLOCK_BYTES = 2_048;
/** Out of order, beyond a fixed number of pieces each must stand for so many bytes on average. */
const BYTES_PER_PIECE = 256;
const COMPACT_AT = 64;

interface Range {
  start: number;
  end: number;
  pieces: Buffer[];
}

/** What became of a piece: next in line (perhaps with what waited behind it), early, known already, no room. */
export type Placed = 'in_order' | 'filled' | 'early' | 'duplicate' | 'refused';

/** Received bytes: those in order wait to be read, those that came early wait for what is missing before them. */
export class ReceiveQueue {
  /** RCV.NXT without the FIN. */
  next = 1;
  unread = 0;
  early = 0;
  private ready: Buffer[] = [];
  private first = 0;
  /** Bytes used of the last ready piece when that is a block of ours, else 0. */
  private blockUsed = 0;
  private ranges: Range[] = [];
  private earlyPieces = 0;
  /** Latest change first (RFC 2018 §4). */
  private recent: Range[] = [];
  private readonly maxRanges: number;

  constructor(maxRanges: number) {
    this.maxRanges = maxRanges;
  }

  get hasEarly(): boolean {
    return this.ranges.length > 0;
  }

  /** `bytes` start at `position`; the caller has cut off what lies beyond the window. */
  place(position: number, bytes: Buffer): Placed {
    const end = position + bytes.length;
    if (end <= this.next) return 'duplicate';
    if (position > this.next) return this.placeEarly(position, end, bytes);
    this.append(position < this.next ? bytes.subarray(this.next - position) : bytes);
    this.next = end;
    return this.takeRanges() ? 'filled' : 'in_order';
  }

  /** The next bytes in order. */
  read(): Buffer | undefined {
    if (this.first === this.ready.length) return undefined;
    let piece = this.ready[this.first]!;
    this.ready[this.first] = EMPTY;
    this.first++;
    if (this.first === this.ready.length) {
      if (this.blockUsed > 0) piece = piece.subarray(0, this.blockUsed);
      this.blockUsed = 0;
      this.ready.length = 0;
      this.first = 0;
    } else if (this.first >= COMPACT_AT && this.first * 2 > this.ready.length) {
      this.ready.splice(0, this.first);
      this.first = 0;
    }
    this.unread -= piece.length;
    return piece;
  }

  clear(): void {
    this.ready = [];
    this.first = 0;
    this.blockUsed = 0;
    this.unread = 0;
    this.clearEarly();
  }

  clearEarly(): void {
    this.ranges = [];
    this.recent = [];
    this.early = 0;
    this.earlyPieces = 0;
  }

  /** Adds up to `max` SACK blocks to `blocks`, the latest first. */
  sackBlocks(blocks: SackBlock[], max: number, space: SequenceSpace): void {
    for (const range of this.recent) {
      if (blocks.length >= max) return;
      blocks.push([space.toWire(range.start), space.toWire(range.end)]);
    }
  }

  /** The early range that holds [start, end): what a DSACK above RCV.NXT refers to. */
  isEarly(start: number, end: number): boolean {
    return this.ranges.some((range) => range.start <= start && end <= range.end);
  }

  private append(bytes: Buffer): void {
    this.unread += bytes.length;
    const small = bytes.length < SMALL_PIECE && this.first < this.ready.length;
    if (!small) {
      this.closeBlock();
      this.ready.push(bytes);
      return;
    }
    if (this.blockUsed === 0 || this.blockUsed + bytes.length > BLOCK_BYTES) {
      this.closeBlock();
      this.ready.push(Buffer.allocUnsafeSlow(BLOCK_BYTES));
    }
    bytes.copy(this.ready[this.ready.length - 1]!, this.blockUsed);
    this.blockUsed += bytes.length;
  }

  private closeBlock(): void {
    if (this.blockUsed === 0) return;
    const last = this.ready.length - 1;
    this.ready[last] = this.ready[last]!.subarray(0, this.blockUsed);
    this.blockUsed = 0;
  }

  /** Moves ranges that RCV.NXT has reached to the ready pieces. */
  private takeRanges(): boolean {
    let taken = 0;
    while (taken < this.ranges.length && this.ranges[taken]!.start <= this.next) {
      const range = this.ranges[taken]!;
      taken++;
      this.early -= range.end - range.start;
      this.earlyPieces -= range.pieces.length;
      let skip = this.next - range.start;
      for (const piece of range.pieces) {
        if (skip >= piece.length) skip -= piece.length;
        else {
          this.append(skip > 0 ? piece.subarray(skip) : piece);
          skip = 0;
        }
      }
      this.next = Math.max(this.next, range.end);
      this.forget(range);
    }
    if (taken > 0) this.ranges.splice(0, taken);
    return taken > 0;
  }

  private placeEarly(start: number, end: number, bytes: Buffer): Placed {
    if (this.earlyPieces > 2 * this.maxRanges + this.early / BYTES_PER_PIECE) return 'refused';
    const index = this.rangeEndingFrom(start);
    const range = this.ranges[index];
    if (range === undefined || range.start > end) {
      if (this.ranges.length >= this.maxRanges) return 'refused';
      const added: Range = { start, end, pieces: [bytes] };
      this.ranges.splice(index, 0, added);
      this.count(bytes.length, 1);
      this.touch(added);
      return 'early';
    }
    if (range.start <= start && end <= range.end) return 'duplicate';
    if (start < range.start) {
      range.pieces.unshift(bytes.subarray(0, range.start - start));
      this.count(range.start - start, 1);
      range.start = start;
    }
    this.extend(index, range, start, end, bytes);
    this.touch(range);
    return 'early';
  }

  /** Fills the gaps behind `range` that [start, end) covers, and joins what then touches. */
  private extend(index: number, range: Range, start: number, end: number, bytes: Buffer): void {
    for (;;) {
      const following = this.ranges[index + 1];
      const pieceEnd = following === undefined ? end : Math.min(end, following.start);
      if (pieceEnd > range.end) {
        range.pieces.push(bytes.subarray(range.end - start, pieceEnd - start));
        this.count(pieceEnd - range.end, 1);
        range.end = pieceEnd;
      }
      if (following === undefined || following.start > range.end) return;
      for (const piece of following.pieces) range.pieces.push(piece);
      range.end = following.end;
      this.ranges.splice(index + 1, 1);
      this.forget(following);
    }
  }

  private count(bytes: number, pieces: number): void {
    this.early += bytes;
    this.earlyPieces += pieces;
  }

  private touch(range: Range): void {
    if (this.recent[0] === range) return;
    this.forget(range);
    this.recent.unshift(range);
    if (this.recent.length > MAX_RECENT) this.recent.pop();
  }

  private forget(range: Range): void {
    const index = this.recent.indexOf(range);
    if (index >= 0) this.recent.splice(index, 1);
  }

  /** Index of the first range that ends at or after `position`. */
  private rangeEndingFrom(position: number): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ranges[middle]!.end < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** One more than fit in a segment, so that the list is still full when one is filled. */
const MAX_RECENT = 8;
const EMPTY = Buffer.alloc(0);
