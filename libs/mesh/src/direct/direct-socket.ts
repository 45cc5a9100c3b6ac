import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';
import { endFrame, frameHeader, FrameReader, maxFrameBytes } from './direct-frames.js';
import { meshPeerGone } from '../mesh.errors.js';
import type { MeshSocket } from '../mesh.js';
import type { PeerEntry } from '../peer-table.js';

/**
 * One stream of the driver `direct`. A pure JavaScript Duplex around the TLS socket, on purpose: http2 would take a
 * net.Socket's bytes below JavaScript, where no check of the peer's time could stand in the way.
 */
export class DirectSocket extends Duplex implements MeshSocket {
  readonly peer: KeyId;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly connecting = false;
  readonly #entry: PeerEntry;
  readonly #tls: TLSSocket;
  readonly #cut = (error: CoralError): void => {
    this.destroy(error);
  };
  #wantsMore = true;
  /** The far end has said all it had to say. */
  #ended = false;

  /** `first`: bytes of the stream that arrived already. The caller has checked the far end's certificate. */
  constructor(o: { entry: PeerEntry; tls: TLSSocket; remotePort: number; first?: Buffer }) {
    super({ allowHalfOpen: true });
    this.#entry = o.entry;
    this.#tls = o.tls;
    this.peer = o.entry.peer.keyId;
    this.remoteAddress = o.entry.peer.addresses[0] ?? '';
    this.remotePort = o.remotePort;
    o.entry.cuts.add(this.#cut);
    // http2 would ask for this itself, but cannot on a Duplex; without it each small frame waits for an ACK, 40 ms.
    o.tls.setNoDelay(true);
    // Being cut is ordinary here. Whoever cares listens too; who does not must not bring the process down.
    this.on('error', () => this.#entry.cuts.delete(this.#cut));
    const frames = new FrameReader({
      bytes: (bytes) => {
        this.#wantsMore = this.push(bytes);
      },
      end: () => {
        this.#ended = true;
        this.push(null);
      },
    });
    const receive = (chunk: Buffer): void => {
      if (this.#entry.over()) return;
      try {
        frames.read(chunk);
      } catch (cause) {
        this.#break('it sent something else than frames', cause);
      }
      if (!this.#wantsMore) o.tls.pause();
    };
    o.tls.on('data', receive);
    o.tls.on('end', () => {
      if (!this.#ended) this.#break('it cut the connection');
    });
    o.tls.on('error', (cause) => this.#break('the connection broke', cause));
    o.tls.on('close', () => {
      // When both ends are through, this stream ends by itself once its last bytes have been read.
      if (!this.#ended || !this.writableFinished) this.#break('the connection closed');
    });
    o.tls.on('timeout', () => this.emit('timeout'));
    if (o.first && o.first.length > 0) receive(o.first);
  }

  get remoteFamily(): 'IPv4' | 'IPv6' {
    return this.remoteAddress.includes(':') ? 'IPv6' : 'IPv4';
  }

  /** Also the last gate: bytes that came in time but were not read in time stay here. */
  override read(size?: number): unknown {
    return this.#entry.over() ? null : super.read(size);
  }

  override _read(): void {
    this.#wantsMore = true;
    if (!this.#entry.over()) this.#tls.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const over = this.#entry.over();
    if (over) return done(over);
    if (this.#tls.destroyed) return done(meshPeerGone(this.peer, 'the connection closed'));
    this.#tls.cork();
    for (let at = 0; at < chunk.length; at += maxFrameBytes) {
      const part = chunk.subarray(at, at + maxFrameBytes);
      this.#tls.write(frameHeader(part.length));
      this.#tls.write(part);
    }
    this.#tls.uncork();
    if (this.#tls.writableNeedDrain) this.#tls.once('drain', done);
    else done();
  }

  override _final(done: (error?: Error | null) => void): void {
    const over = this.#entry.over();
    if (over) done(over);
    else this.#tls.end(endFrame, () => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#entry.cuts.delete(this.#cut);
    this.#tls.destroy();
    done(error);
  }

  /** As net.Socket: ends once what was written has gone out. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  setTimeout(ms: number, onTimeout?: () => void): this {
    this.#tls.setTimeout(ms);
    if (onTimeout) this.once('timeout', onTimeout);
    return this;
  }

  setNoDelay(on = true): this {
    this.#tls.setNoDelay(on);
    return this;
  }

  setKeepAlive(on = false, initialDelayMs = 0): this {
    this.#tls.setKeepAlive(on, initialDelayMs);
    return this;
  }

  ref(): this {
    this.#tls.ref();
    return this;
  }

  unref(): this {
    this.#tls.unref();
    return this;
  }

  #break(problem: string, cause?: unknown): void {
    this.destroy(meshPeerGone(this.peer, problem, cause));
  }
}
