import { hash } from 'node:crypto';
import type { TcpAddress } from './flow.js';

/** RFC 6528 §3: M grows by one every 4 µs. */
const TICKS_PER_MS = 250;
const SECRET_BYTES = 32;

/**
 * Initial sequence numbers and timestamp offsets that a stranger cannot guess and that still grow from one incarnation
 * of a flow to the next (RFC 6528 §3, RFC 7323 §5.4): a secret hash of the flow plus a clock. One per stack.
 */
export class InitialSequence {
  private readonly secret: string;

  constructor(random: (size: number) => Buffer) {
    this.secret = random(SECRET_BYTES).toString('hex');
  }

  /** ISS of a connection opened now; `monotonicMs` as of the stack's clock. */
  next(local: TcpAddress, remote: TcpAddress, monotonicMs: number): number {
    return (this.secretOf('sequence', local, remote) + Math.floor(monotonicMs * TICKS_PER_MS)) >>> 0;
  }

  /** What to add to the clock for the timestamps of this flow. The same for each incarnation, so PAWS and TIME-WAIT hold. */
  timestampOffset(local: TcpAddress, remote: TcpAddress): number {
    return this.secretOf('timestamp', local, remote);
  }

  private secretOf(what: string, local: TcpAddress, remote: TcpAddress): number {
    const flow = `${this.secret}|${what}|${local.address}|${local.port}|${remote.address}|${remote.port}`;
    return hash('sha256', flow, 'buffer').readUInt32BE(0);
  }
}
