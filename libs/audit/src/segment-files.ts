import { constants } from 'node:fs';
import { open, mkdir, readdir } from 'node:fs/promises';

/** One open segment. Positions and sizes in bytes. */
export interface SegmentFile {
  size(): Promise<number>;
  read(position: number, length: number): Promise<Uint8Array>;
  /** Writes at the position. Resolves when content and size are on the disk, with the number of bytes that are: maybe not all. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** Resolves when the size is on the disk. */
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

/** Every touch of the disk by the writer, so that tests can make each of them fail. */
export interface SegmentFiles {
  makeDirectory(path: string): Promise<void>;
  list(directory: string): Promise<string[]>;
  /** Opens for reading and writing; creates an empty file when there is none. Owner only (0600). */
  open(path: string): Promise<SegmentFile>;
  /** Makes names created in the directory durable (fsync of the directory). */
  syncDirectory(directory: string): Promise<void>;
}

/**
 * On Linux each write of a descriptor opened so is a write and an fdatasync in one: half the errands to the pool of threads.
 * Elsewhere it promises less (macOS leaves the bytes in the drive's own cache), and a sync of its own follows.
 */
const syncedByWrite = process.platform === 'linux';
const readAndWrite = constants.O_RDWR | (syncedByWrite ? constants.O_DSYNC : 0);

export const nodeSegmentFiles: SegmentFiles = {
  async makeDirectory(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  async list(directory) {
    return readdir(directory);
  },
  async open(path) {
    // 'a+' would ignore positions, 'r+' does not create, 'w+' truncates: so create first, then open.
    await (await open(path, 'a', 0o600)).close();
    const handle = await open(path, readAndWrite);
    return {
      size: async () => (await handle.stat()).size,
      read: async (position, length) => {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position);
        return buffer.subarray(0, bytesRead);
      },
      write: async (bytes, position) => {
        const { bytesWritten } = await handle.write(bytes, 0, bytes.byteLength, position);
        if (!syncedByWrite) await handle.datasync();
        return bytesWritten;
      },
      truncate: async (size) => {
        await handle.truncate(size);
        await handle.datasync();
      },
      close: () => handle.close(),
    };
  },
  async syncDirectory(directory) {
    const handle = await open(directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

/** `00000001.jsonl` and on; numbers have no gaps. */
export function segmentName(ordinal: number): string {
  return `${String(ordinal).padStart(8, '0')}.jsonl`;
}

export function segmentOrdinal(name: string): number | undefined {
  const match = /^(\d{8})\.jsonl$/.exec(name);
  return match ? Number(match[1]) : undefined;
}

/** Ordinals of the segments among these names, ascending. */
export function segmentOrdinals(names: readonly string[]): number[] {
  return names
    .map(segmentOrdinal)
    .filter((ordinal) => ordinal !== undefined)
    .toSorted((a, b) => a - b);
}
