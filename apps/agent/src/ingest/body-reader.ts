import type { Readable } from 'node:stream';
import { createGunzip, type Gunzip } from 'node:zlib';
import { CoralError } from '@coral/errors';
import type { ByteBudget } from './byte-budget.js';
import { agentBusy, bodyTooLarge, malformedBody } from './ingest.errors.js';

/**
 * Reads a request body, inflating gzip as it comes, and stops at the first byte too many: a gzip bomb costs one chunk of
 * memory beyond the limit. The bytes returned have been taken from `budget`; on failure they are given back. The source
 * is left open, so that a refusal can still be answered on it.
 */
export async function readBody(source: Readable, gzip: boolean, maxBytes: number, budget: ByteBudget): Promise<Buffer> {
  const body = new BoundedBody(maxBytes, budget);
  const inflater = gzip ? new Inflater(body) : undefined;
  let sent = 0;
  try {
    for await (const chunk of source.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      sent += chunk.length;
      if (sent > maxBytes) throw bodyTooLarge(maxBytes);
      if (inflater === undefined) body.add(chunk);
      else await inflater.write(chunk);
    }
    await inflater?.end();
    return body.take();
  } catch (thrown) {
    body.drop();
    throw thrown;
  } finally {
    inflater?.close();
  }
}

class BoundedBody {
  readonly #maxBytes: number;
  readonly #budget: ByteBudget;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor(maxBytes: number, budget: ByteBudget) {
    this.#maxBytes = maxBytes;
    this.#budget = budget;
  }

  add(chunk: Buffer): void {
    if (this.#length + chunk.length > this.#maxBytes) throw bodyTooLarge(this.#maxBytes);
    if (!this.#budget.take(chunk.length)) throw agentBusy(this.#budget.limit);
    this.#length += chunk.length;
    this.#chunks.push(chunk);
  }

  take(): Buffer {
    return Buffer.concat(this.#chunks, this.#length);
  }

  drop(): void {
    this.#budget.give(this.#length);
    this.#length = 0;
    this.#chunks = [];
  }
}

class Inflater {
  readonly #gunzip: Gunzip = createGunzip({ chunkSize: 65_536 });
  readonly #ended: Promise<void>;
  #failure: Error | undefined;

  constructor(body: BoundedBody) {
    this.#gunzip.on('data', (chunk: Buffer) => {
      if (this.#failure !== undefined) return;
      try {
        body.add(chunk);
      } catch (thrown) {
        this.#failure = thrown as CoralError;
        this.#gunzip.destroy();
      }
    });
    this.#gunzip.on('error', (error) => {
      this.#failure ??= malformedBody(`Content-Encoding says gzip, but the bytes are not (${error.message})`);
    });
    this.#ended = new Promise((resolve) => {
      this.#gunzip.on('end', resolve);
      this.#gunzip.on('close', resolve);
    });
  }

  /** Resolves when everything that `chunk` inflates to has been added to the body. */
  async write(chunk: Buffer): Promise<void> {
    const written = new Promise<void>((resolve) => this.#gunzip.write(chunk, () => resolve()));
    await Promise.race([written, this.#ended]);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async end(): Promise<void> {
    this.#gunzip.end();
    await this.#ended;
    if (this.#failure !== undefined) throw this.#failure;
  }

  close(): void {
    this.#gunzip.destroy();
  }
}
