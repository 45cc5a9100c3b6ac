import type { Clock } from '@coral/model';
import type { OutgoingSegment } from '../wire/segment.js';
import type { TcpLimits } from './limits.js';
import type { TcpConnection } from './connection.js';
import type { TcpError } from './tcp.errors.js';

/** RFC 9293 §3.3.2. LISTEN is the stack's. */
export type TcpState =
  | 'syn_sent'
  | 'syn_received'
  | 'established'
  | 'fin_wait_1'
  | 'fin_wait_2'
  | 'closing'
  | 'time_wait'
  | 'close_wait'
  | 'last_ack'
  | 'closed';

export interface TcpAddress {
  address: string;
  port: number;
}

/**
 * What the application hears. All but `closed` are called from `endOfTurn`, at most once per turn, so that a batch of
 * segments is one event; any method of the connection may be called from inside.
 */
export interface TcpHandlers {
  connected?(): void;
  /** There is something to read: read until `undefined`, or later. Called again when more arrives. */
  readable?(): void;
  /** After a `write` that said false: there is room again. */
  writable?(): void;
  /** The peer has sent its FIN and everything before it has been read. */
  ended?(): void;
  /**
   * The last event, exactly once, also after `reset()`. `undefined`: both sides ended and all was read and
   * acknowledged. After an error nothing can be read any more.
   */
  closed?(error: TcpError | undefined): void;
}

/** What the stack does for a connection. */
export interface ConnectionOutput {
  /** Send it now. The segment is only good until this returns. */
  transmit(segment: OutgoingSegment): void;
  /**
   * The connection has work to do: call `endOfTurn()` of it before the turn ends, then ask `nextTimerAt()` again. Called
   * at most once until then, also while a handler runs, and also after `closed` (rest to read, events to tell).
   */
  wake(connection: TcpConnection): void;
  /** The state is `closed`: forget the flow. Exactly once. In `time_wait` the flow still belongs to the connection. */
  closed(connection: TcpConnection): void;
  /** Bytes held (to send, unread, out of order) changed by `delta`; the sum is 0 again when all is over. */
  memory(delta: number): void;
  /** May the receive buffer grow by so many bytes? (The budget of a peer.) */
  mayGrow(bytes: number): boolean;
}

export interface ConnectionOptions {
  local: TcpAddress;
  remote: TcpAddress;
  clock: Clock;
  output: ConnectionOutput;
  /** ISS (RFC 6528): from {@link InitialSequence.next}. */
  initialSequence: number;
  /** Added to our timestamps so that they tell nothing of other connections: from {@link InitialSequence.timestampOffset}. */
  timestampOffset: number;
  /** MSS we announce and never exceed: MTU less IP header less 20. */
  mss: number;
  limits?: Partial<TcpLimits> | undefined;
}

export interface ActiveOpen extends ConnectionOptions {
  handlers: TcpHandlers;
}

export interface PassiveOpen extends ConnectionOptions {
  /**
   * The handshake is complete: who takes it? `undefined` resets it. Called from `receive`, before any other handler;
   * a connection that ends before that calls nobody but `output.closed`.
   */
  accept: (connection: TcpConnection) => TcpHandlers | undefined;
}

/** RFC 1122 §4.2.3.6: off unless asked for. */
export interface KeepAlive {
  idleMs: number;
  intervalMs: number;
  /** Probes without any answer before the connection ends with `tcp_timed_out`. */
  probes: number;
}
