/** `4 B length, big endian ‖ bytes`, length 0 for the orderly end. So a stream that was cut is never taken for complete. */
const headerBytes = 4;
/** Longer writes are split, so that no header can announce more than a reader should ever expect. */
export const maxFrameBytes = 1024 * 1024;

export const endFrame = Buffer.alloc(headerBytes);

export function frameHeader(length: number): Buffer {
  const header = Buffer.allocUnsafe(headerBytes);
  header.writeUInt32BE(length);
  return header;
}

/** Takes frames apart as they come, without copying what they hold. */
export class FrameReader {
  readonly #onBytes: (bytes: Buffer) => void;
  readonly #onEnd: () => void;
  #header = Buffer.alloc(0);
  #missing = 0;
  #ended = false;

  constructor(on: { bytes(bytes: Buffer): void; end(): void }) {
    this.#onBytes = on.bytes;
    this.#onEnd = on.end;
  }

  /** Throws RangeError at what no peer of ours sends: a giant frame, or anything after the end. */
  read(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#ended) throw new RangeError('bytes after the end of the stream');
      if (this.#missing === 0) {
        const take = headerBytes - this.#header.length;
        this.#header = Buffer.concat([this.#header, rest.subarray(0, take)]);
        rest = rest.subarray(take);
        if (this.#header.length < headerBytes) return;
        this.#missing = this.#header.readUInt32BE();
        this.#header = Buffer.alloc(0);
        if (this.#missing > maxFrameBytes) throw new RangeError(`a frame of ${this.#missing} bytes`);
        if (this.#missing === 0) {
          this.#ended = true;
          this.#onEnd();
        }
        continue;
      }
      const bytes = rest.subarray(0, this.#missing);
      rest = rest.subarray(bytes.length);
      this.#missing -= bytes.length;
      this.#onBytes(bytes);
    }
  }
}
