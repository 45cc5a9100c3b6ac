import { nodeSegmentFiles, type SegmentFile, type SegmentFiles } from '../segment-files.js';

export type Operation =
  | 'makeDirectory'
  | 'list'
  | 'open'
  | 'syncDirectory'
  | 'size'
  | 'read'
  | 'write'
  | 'truncate'
  | 'close';

export function diskError(code: 'ENOSPC' | 'EIO' | 'EROFS'): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/** The real files, with a hand on every operation: it can be counted, delayed, or made to fail. For specs only. */
export class ControlledFiles implements SegmentFiles {
  /** Operations in the order in which they began. */
  readonly operations: Operation[] = [];
  /** Runs before each operation; what it throws, the operation throws. */
  before: (operation: Operation, index: number) => void | Promise<void> = () => undefined;
  /** Runs when a write has done its work and nobody was told yet. */
  afterWrite: () => void | Promise<void> = () => undefined;
  /** A write takes at most this many bytes. */
  bytesPerWrite = Number.POSITIVE_INFINITY;
  /** Of a write that fails, this many bytes get through first: a torn write, or one that could not be synced. */
  bytesBeforeFailure = 0;

  async #begin(operation: Operation): Promise<void> {
    this.operations.push(operation);
    await this.before(operation, this.operations.length - 1);
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#begin('makeDirectory');
    await nodeSegmentFiles.makeDirectory(path);
  }

  async list(directory: string): Promise<string[]> {
    await this.#begin('list');
    return nodeSegmentFiles.list(directory);
  }

  async syncDirectory(directory: string): Promise<void> {
    await this.#begin('syncDirectory');
    await nodeSegmentFiles.syncDirectory(directory);
  }

  async open(path: string): Promise<SegmentFile> {
    await this.#begin('open');
    const file = await nodeSegmentFiles.open(path);
    const step = async <T>(operation: Operation, work: () => Promise<T>): Promise<T> => {
      await this.#begin(operation);
      return work();
    };
    return {
      size: () => step('size', () => file.size()),
      read: (position, length) => step('read', () => file.read(position, length)),
      truncate: (size) => step('truncate', () => file.truncate(size)),
      write: async (bytes, position) => {
        try {
          await this.#begin('write');
        } catch (thrown) {
          await file.write(bytes.subarray(0, this.bytesBeforeFailure), position);
          throw thrown;
        }
        const written = await file.write(bytes.subarray(0, this.bytesPerWrite), position);
        await this.afterWrite();
        return written;
      },
      close: async () => {
        // The descriptor goes, whatever is reported.
        await file.close();
        await this.#begin('close');
      },
    };
  }
}
