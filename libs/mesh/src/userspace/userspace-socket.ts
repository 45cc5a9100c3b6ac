import { Duplex } from 'node:stream';
import type { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';
import { meshPeerGone } from '../mesh.errors.js';
import type { MeshSocket } from '../mesh.js';
import type { PeerEntry } from '../peer-table.js';
import { chunkBytes, ownBytes, receiveWindowBytes, sendWindowBytes } from './protocol.js';

/** A socket's way to its connection in the worker. */
export interface StreamLink {
  bytes(bytes: Uint8Array): void;
  credit(bytes: number): void;
  end(): void;
  /** The stream is over here: cut it, or after an orderly end let what was written go out. */
  drop(how: 'reset' | 'release'): void;
  /** Whether this stream keeps the process alive. */
  hold(on: boolean): void;
}

/**
 * One stream of the driver `userspace`: TCP is spoken in the worker, here are its two ends of the queue. Bytes go both ways
 * only against credit, so that neither thread holds more than a window of what the other has not taken.
 */
export class UserspaceSocket extends Duplex implements MeshSocket {
  readonly peer: KeyId;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly forwarded: boolean;
  readonly connecting = false;
  readonly #entry: PeerEntry;
  readonly #link: StreamLink;
  readonly #cut = (error: CoralError): void => {
    this.destroy(error);
  };
  #sendCredit = sendWindowBytes;
  /** Written, and not yet handed over for want of credit. */
  #waiting: Buffer[] = [];
  #written: ((error?: Error | null) => void) | undefined;
  #received = 0;
  #credited = 0;
  /** The far end has said all it had to say. */
  #ended = false;
  #idleMs = 0;
  #idle: NodeJS.Timeout | undefined;
  #holds = true;

  constructor(o: { entry: PeerEntry; link: StreamLink; address: string; port: number; forwarded: boolean }) {
    super({ allowHalfOpen: true });
    this.#entry = o.entry;
    this.#link = o.link;
    this.peer = o.entry.peer.keyId;
    this.remoteAddress = o.address;
    this.remotePort = o.port;
    this.forwarded = o.forwarded;
    o.entry.cuts.add(this.#cut);
    o.link.hold(true);
    // Being cut is ordinary here. Whoever cares listens too; who does not must not bring the process down.
    this.on('error', () => this.#entry.cuts.delete(this.#cut));
  }

  get remoteFamily(): 'IPv4' | 'IPv6' {
    return this.remoteAddress.includes(':') ? 'IPv6' : 'IPv4';
  }

  /** From the worker: bytes in order. */
  arrived(bytes: Uint8Array): void {
    if (this.destroyed || this.#entry.over()) return;
    this.#received += bytes.length;
    this.#busy();
    this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    this.#giveCredit();
  }

  /** From the worker: FIN. */
  arrivedEnd(): void {
    if (this.destroyed || this.#entry.over()) return;
    this.#ended = true;
    this.push(null);
  }

  /** From the worker: so many bytes have gone out. */
  gone(bytes: number): void {
    this.#sendCredit += bytes;
    this.#busy();
    this.#handOver();
  }

  /** From the worker: the connection is over. */
  connectionClosed(problem: string | undefined): void {
    if (problem === undefined && this.#ended && this.writableFinished) return;
    this.destroy(meshPeerGone(this.peer, problem ?? 'the connection closed'));
  }

  /** Also the last gate: bytes that came in time but were not read in time stay here. */
  override read(size?: number): unknown {
    if (this.#entry.over()) return null;
    const bytes: unknown = super.read(size);
    // Here, not only in _read: that is called while what is about to be returned still counts as unread.
    if (bytes !== null) this.#giveCredit();
    return bytes;
  }

  override _read(): void {
    if (!this.#entry.over()) this.#giveCredit();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], done: (error?: Error | null) => void): void {
    this.#send(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    const over = this.#entry.over();
    if (!over) this.#link.end();
    done(over);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    this.#entry.cuts.delete(this.#cut);
    this.#waiting = [];
    this.#written = undefined;
    this.#link.drop(error === null && this.writableFinished ? 'release' : 'reset');
    if (this.#holds) this.#link.hold((this.#holds = false));
    done(error);
  }

  /** As net.Socket: ends once what was written has gone out. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  setTimeout(ms: number, onTimeout?: () => void): this {
    this.#idleMs = ms;
    clearTimeout(this.#idle);
    this.#idle = ms > 0 && !this.destroyed ? setTimeout(() => this.emit('timeout'), ms).unref() : undefined;
    if (onTimeout) this.once('timeout', onTimeout);
    return this;
  }

  /** Nothing waits for an ACK here: what is written in one turn goes out at its end. */
  setNoDelay(): this {
    return this;
  }

  /** The tunnel has keepalives of its own. */
  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    if (!this.#holds && !this.destroyed) this.#link.hold((this.#holds = true));
    return this;
  }

  unref(): this {
    if (this.#holds && !this.destroyed) this.#link.hold((this.#holds = false));
    return this;
  }

  #send(parts: Buffer[], done: (error?: Error | null) => void): void {
    const over = this.#entry.over();
    if (over) return done(over);
    this.#busy();
    this.#waiting = parts;
    this.#written = done;
    this.#handOver();
  }

  /** Copies: the caller's buffers stay the caller's, and a pooled one must not cross threads. */
  #handOver(): void {
    while (this.#sendCredit > 0 && this.#waiting.length > 0) {
      if (this.#entry.over()) return;
      const parts: Buffer[] = [];
      let length = 0;
      const most = Math.min(chunkBytes, this.#sendCredit);
      while (length < most) {
        const first = this.#waiting[0];
        if (first === undefined) break;
        const part = first.subarray(0, most - length);
        parts.push(part);
        length += part.length;
        if (part.length === first.length) this.#waiting.shift();
        else this.#waiting[0] = first.subarray(part.length);
      }
      if (length === 0) break;
      this.#sendCredit -= length;
      this.#link.bytes(ownBytes(parts, length));
    }
    if (this.#waiting.length > 0 || !this.#written) return;
    const done = this.#written;
    this.#written = undefined;
    done();
  }

  /** What the reader has taken, the worker may send again; in pieces worth a message. */
  #giveCredit(): void {
    const taken = this.#received - this.readableLength - this.#credited;
    if (taken < receiveWindowBytes / 4 || this.destroyed) return;
    this.#credited += taken;
    this.#link.credit(taken);
  }

  #busy(): void {
    if (this.#idleMs > 0) this.#idle?.refresh();
  }
}
