import { join } from 'node:path';
import { segmentName, type SegmentFile, type SegmentFiles } from './segment-files.js';
import type { ChainHead } from './audit-row.js';

/** What the writer goes on from. */
export interface Tail {
  ordinal: number;
  /** Bytes of the last segment that hold good rows. */
  size: number;
  head: ChainHead;
}

/** Writes all bytes, however few the file takes at a time. Resolves when they are on the disk. */
export async function writeWhole(file: SegmentFile, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const written = await file.write(bytes.subarray(done), position + done);
    if (written <= 0) throw new Error('the file took no bytes');
    done += written;
  }
}

/**
 * Appends to the last segment and starts the next one when it is full. Knows up to which byte everything is durable; what
 * lies behind that after a failure was never acknowledged and is cut off before anything else is written.
 */
export class SegmentWriter {
  readonly #directory: string;
  readonly #files: SegmentFiles;
  readonly #segmentBytes: number;
  #ordinal: number;
  #size: number;
  #file: SegmentFile | undefined;
  #nameIsDurable = false;
  /** Set while bytes that nobody was told of may stand behind `#size`. */
  #hasLeftovers = false;
  /** The bytes of the last durable write, compared after a failure: a foreign hand may have been at the file. */
  #lastWrite: Uint8Array = new Uint8Array();

  constructor(directory: string, files: SegmentFiles, tail: Tail, segmentBytes: number) {
    this.#directory = directory;
    this.#files = files;
    this.#segmentBytes = segmentBytes;
    this.#ordinal = tail.ordinal;
    this.#size = tail.size;
  }

  /** Resolves when the bytes are on the disk under a name that is on the disk. After a rejection none of them count. */
  async append(bytes: Uint8Array): Promise<void> {
    try {
      const file = await this.#ready();
      this.#hasLeftovers = true;
      await writeWhole(file, bytes, this.#size);
      if (!this.#nameIsDurable) await this.#files.syncDirectory(this.#directory);
    } catch (thrown) {
      await this.close();
      throw thrown;
    }
    this.#nameIsDurable = true;
    this.#hasLeftovers = false;
    this.#size += bytes.length;
    this.#lastWrite = bytes;
  }

  async #ready(): Promise<SegmentFile> {
    if (this.#size >= this.#segmentBytes) {
      await this.close();
      this.#ordinal += 1;
      this.#size = 0;
      this.#nameIsDurable = false;
      this.#lastWrite = new Uint8Array();
    }
    // Kept only once checked: a file whose check failed is opened and checked again the next time.
    if (this.#file === undefined) {
      const file = await this.#files.open(join(this.#directory, segmentName(this.#ordinal)));
      try {
        await this.#cutBack(file);
      } catch (thrown) {
        await file.close();
        throw thrown;
      }
      this.#file = file;
    }
    return this.#file;
  }

  /**
   * Opened anew after a failed write on purpose: Linux may drop the pages it could not bring to the disk and report success
   * on the next fsync of the same descriptor. Rows are therefore written again, never merely synced again.
   */
  async #cutBack(file: SegmentFile): Promise<void> {
    const actual = await file.size();
    if (actual < this.#size || (actual > this.#size && !this.#hasLeftovers)) {
      throw new Error(
        `${segmentName(this.#ordinal)} holds ${actual} bytes, not ${this.#size}: somebody else wrote to it`,
      );
    }
    const kept = await file.read(this.#size - this.#lastWrite.length, this.#lastWrite.length);
    if (Buffer.compare(kept, this.#lastWrite) !== 0) {
      throw new Error(`the last rows of ${segmentName(this.#ordinal)} are not what was written`);
    }
    if (actual > this.#size) await file.truncate(this.#size);
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    // Everything that counts is synced already, and the descriptor is gone whether or not close complains.
    await file?.close().catch(() => undefined);
  }
}
