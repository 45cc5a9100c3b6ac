import { CoralError } from '@coral/errors';
import type { TcpAddress } from './flow.js';

/** Reasons: tcp_refused, tcp_reset, tcp_timed_out, tcp_connect_timeout, tcp_unreachable, tcp_aborted, peer_gone. */
export type TcpError = CoralError;

/** A RST came instead of a SYN-ACK. */
export function tcpRefused(remote: TcpAddress): TcpError {
  return unavailable(
    'tcp_refused',
    `${at(remote)} refused the connection.`,
    'Check that something listens on that port.',
  );
}

export function tcpReset(remote: TcpAddress): TcpError {
  return unavailable(
    'tcp_reset',
    `${at(remote)} reset the connection.`,
    'Connect again; if it recurs, look at the log of the far end.',
  );
}

/** This side gave the connection up by `reset()`. */
export function tcpAborted(remote: TcpAddress): TcpError {
  return new CoralError({
    kind: 'cancelled',
    reason: 'tcp_aborted',
    message: `The connection to ${at(remote)} was reset by this side.`,
  });
}

export function tcpTimedOut(remote: TcpAddress, silentMs: number): TcpError {
  return new CoralError({
    kind: 'deadline_exceeded',
    reason: 'tcp_timed_out',
    message: `${at(remote)} has not answered for ${Math.round(silentMs)} ms.`,
    next: 'Check that the far end is running and reachable, then connect again.',
  });
}

export function tcpConnectTimeout(remote: TcpAddress, timeoutMs: number): TcpError {
  return new CoralError({
    kind: 'deadline_exceeded',
    reason: 'tcp_connect_timeout',
    message: `${at(remote)} did not accept the connection within ${timeoutMs} ms.`,
    next: 'Check that the far end is running and reachable.',
  });
}

/** ICMP destination unreachable, believed only while connecting (RFC 5461 §4.1). */
export function tcpUnreachable(remote: TcpAddress, problem: string): TcpError {
  return unavailable(
    'tcp_unreachable',
    `${at(remote)} cannot be reached: ${problem}.`,
    'Check that the peer is on the mesh.',
  );
}

/** The peer's time on the mesh is over; its connections die at once and without a word on the wire. */
export function peerGone(remote: TcpAddress): TcpError {
  return unavailable(
    'peer_gone',
    `The peer at ${remote.address} is gone from the mesh.`,
    'Ask for a new lease and connect again.',
  );
}

export function writeAfterEnd(remote: TcpAddress): TcpError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'tcp_write_after_end',
    message: `Bytes were written to ${at(remote)} after end() had closed this direction.`,
    next: 'Write everything before end().',
  });
}

function unavailable(reason: string, message: string, next: string): TcpError {
  return new CoralError({ kind: 'unavailable', reason, message, next });
}

function at(remote: TcpAddress): string {
  return remote.address.includes(':') ? `[${remote.address}]:${remote.port}` : `${remote.address}:${remote.port}`;
}
