/** Smaller writes than this are copied into a shared block, so that a byte never costs a buffer of its own. */
const SMALL_WRITE = 512;
const BLOCK_BYTES = 1_024;
/** Released entries at the front before the arrays are compacted. */
const COMPACT_AT = 64;

/**
 * Bytes written and not yet acknowledged, addressed by position (data starts at 1). Large writes are kept as they are
 * and copied once, into the packet.
 */
export class SendQueue {
  /** A chunk's bytes are the first `starts[i + 1] - starts[i]` of its buffer. */
  private chunks: Buffer[] = [];
  private starts: number[] = [];
  private first = 0;
  /** Where the last copy ended: the next one nearly always goes on there. */
  private cursor = 0;
  /** Room left in the last chunk, when that is a block. */
  private room = 0;
  private headPosition = 1;
  private endPosition = 1;

  /** First byte held. */
  get start(): number {
    return this.headPosition;
  }

  /** One after the last byte written. */
  get end(): number {
    return this.endPosition;
  }

  append(bytes: Buffer): void {
    const size = bytes.length;
    if (size === 0) return;
    if (size <= this.room) {
      const block = this.chunks[this.chunks.length - 1]!;
      bytes.copy(block, BLOCK_BYTES - this.room);
      this.room -= size;
    } else if (size < SMALL_WRITE) {
      const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      bytes.copy(block);
      this.push(block);
      this.room = BLOCK_BYTES - size;
    } else {
      this.push(bytes);
      this.room = 0;
    }
    this.endPosition += size;
  }

  /** Copies `length` bytes from `position` on; both must be held. */
  copy(position: number, length: number, target: Buffer, offset: number): void {
    let index = this.find(position);
    let from = position;
    let at = offset;
    let left = length;
    while (left > 0) {
      const start = this.starts[index]!;
      const end = index + 1 < this.starts.length ? this.starts[index + 1]! : this.endPosition;
      const size = Math.min(left, end - from);
      this.chunks[index]!.copy(target, at, from - start, from - start + size);
      from += size;
      at += size;
      left -= size;
      if (left > 0) index++;
    }
    this.cursor = index;
  }

  /** Forgets everything before `position`. */
  release(position: number): void {
    if (position <= this.headPosition) return;
    this.headPosition = position;
    while (this.first < this.chunks.length && this.endOf(this.first) <= position) {
      this.chunks[this.first] = EMPTY;
      this.first++;
    }
    if (this.first === this.chunks.length) {
      this.chunks.length = 0;
      this.starts.length = 0;
      this.first = 0;
      this.cursor = 0;
      this.room = 0;
    } else if (this.first >= COMPACT_AT && this.first * 2 > this.chunks.length) {
      this.chunks.splice(0, this.first);
      this.starts.splice(0, this.first);
      this.cursor = Math.max(0, this.cursor - this.first);
      this.first = 0;
    }
  }

  /** Drops everything. */
  discard(): void {
    this.release(this.endPosition);
  }

  private push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.starts.push(this.endPosition);
  }

  private endOf(index: number): number {
    return index + 1 < this.starts.length ? this.starts[index + 1]! : this.endPosition;
  }

  private find(position: number): number {
    let index = Math.max(this.cursor, this.first);
    if (position >= this.starts[index]!) {
      if (position < this.endOf(index)) return index;
      if (index + 1 < this.chunks.length && position < this.endOf(index + 1)) return index + 1;
    }
    let low = this.first;
    let high = this.chunks.length - 1;
    while (low < high) {
      index = (low + high + 1) >>> 1;
      if (this.starts[index]! <= position) low = index;
      else high = index - 1;
    }
    return low;
  }
}

const EMPTY = Buffer.alloc(0);
