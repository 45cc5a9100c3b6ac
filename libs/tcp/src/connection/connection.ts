import type { Segment } from '../wire/segment.js';
import type { ActiveOpen, KeepAlive, PassiveOpen, TcpAddress, TcpState } from './flow.js';
import type { TcpError } from './tcp.errors.js';

/** One TCP connection (RFC 9293), sans-IO: segments, time and calls go in; segments and events come out. */
export declare class TcpConnection {
  /** Active open: the SYN goes out with the next `endOfTurn`. */
  static connect(options: ActiveOpen): TcpConnection;
  /** Passive open by a SYN (no ACK, no RST) that a listener wants; the SYN-ACK goes out with the next `endOfTurn`. */
  static accept(options: PassiveOpen, syn: Segment): TcpConnection;
  readonly local: TcpAddress;
  readonly remote: TcpAddress;
  get state(): TcpState;

  // For the application.
  write(bytes: Buffer): boolean;
  read(): Buffer | undefined;
  get unread(): number;
  get unsent(): number;
  end(): void;
  reset(): void;
  keepAlive(settings: KeepAlive | undefined): void;

  // For the stack.
  /** False: a SYN for a new incarnation of a flow in TIME-WAIT; this one is `closed` now, hand the SYN to the listener. */
  receive(segment: Segment): boolean;
  /** Tells the application, then sends what the turn has made due. Call it for each connection that asked by `wake`. */
  endOfTurn(): void;
  /** Monotonic ms, Infinity when none. */
  nextTimerAt(): number;
  /** Does what is due and not more; wakes. */
  onTimer(): void;
  /** ICMP "too big" (checked by the stack to be ours): `mss` is MTU less headers; `seq` the quoted sequence number. */
  pathMss(mss: number, seq: number): void;
  /** ICMP unreachable: ends a connection that is being opened; otherwise it is a passing trouble and the timers decide. */
  unreachable(problem: string, seq: number): void;
  /** Ends it at once with this error and nothing on the wire. */
  abort(error: TcpError): void;
}
