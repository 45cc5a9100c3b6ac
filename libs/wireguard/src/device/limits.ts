import {
  HANDSHAKE_INITIATION_INTERVAL_MS,
  KEEPALIVE_TIMEOUT_MS,
  REJECT_AFTER_MESSAGES,
  REJECT_AFTER_TIME_MS,
  REKEY_AFTER_MESSAGES,
  REKEY_AFTER_TIME_MS,
  REKEY_ATTEMPT_TIME_MS,
  REKEY_TIMEOUT_JITTER_MS,
  REKEY_TIMEOUT_MS,
  UNDER_LOAD_MS,
} from '../constants.js';

/** Every number a device counts by. Times in ms. Defaults are those of the WireGuard paper (§6.1) where it names one. */
export interface DeviceLimits {
  /** Largest inner packet in bytes. Padding never goes over it. */
  readonly mtu: number;
  readonly rekeyAfterMessages: number;
  readonly rejectAfterMessages: number;
  readonly rekeyAfterMs: number;
  readonly rejectAfterMs: number;
  readonly rekeyAttemptMs: number;
  readonly rekeyTimeoutMs: number;
  /** Added to every retry, 0 up to this, so that two ends do not stay in step. */
  readonly rekeyJitterMs: number;
  readonly keepaliveMs: number;
  /**
   * After a cookie reply the handshake is tried again this soon (plus up to as much again), once per attempt, in place of
   * waiting for `rekeyTimeoutMs` as the paper has it; Infinity restores the paper's timing.
   */
  readonly cookieRetryMs: number;
  /**
   * With no session at all the first retries of a round come after these times (each plus up to a quarter) in place of
   * `rekeyTimeoutMs`: a person waits, and the one datagram so far may be lost. None by default, as the paper has it.
   */
  readonly eagerRetriesMs: readonly number[];
  /** Least time between two initiations of one peer that are answered. */
  readonly initiationGapMs: number;
  /** Packets that wait for a session, per peer and in all; the oldest of the peer goes first. */
  readonly queuedPackets: number;
  readonly queuedPacketsInAll: number;
  /** Handshake messages that wait for `runBacklog`. */
  readonly backlog: number;
  /** So many waiting means under load: cookies are asked for, for `loadMs` after it was last seen. */
  readonly backlogUnderLoad: number;
  readonly loadMs: number;
  /** Cookie replies: at once to one source, which then gets one a second; and per second to all. */
  readonly cookieRepliesPerSource: number;
  readonly cookieReplies: number;
  /** How often a lease is held against the wall clock while no packet does so. */
  readonly leaseCheckMs: number;
  /** Peers of one device. */
  readonly peers: number;
}

export const defaultDeviceLimits: DeviceLimits = {
  mtu: 1420,
  rekeyAfterMessages: REKEY_AFTER_MESSAGES,
  rejectAfterMessages: REJECT_AFTER_MESSAGES,
  rekeyAfterMs: REKEY_AFTER_TIME_MS,
  rejectAfterMs: REJECT_AFTER_TIME_MS,
  rekeyAttemptMs: REKEY_ATTEMPT_TIME_MS,
  rekeyTimeoutMs: REKEY_TIMEOUT_MS,
  rekeyJitterMs: REKEY_TIMEOUT_JITTER_MS,
  keepaliveMs: KEEPALIVE_TIMEOUT_MS,
  cookieRetryMs: 50,
  eagerRetriesMs: [],
  initiationGapMs: HANDSHAKE_INITIATION_INTERVAL_MS,
  queuedPackets: 128,
  queuedPacketsInAll: 4_096,
  backlog: 512,
  backlogUnderLoad: 128,
  loadMs: UNDER_LOAD_MS,
  cookieRepliesPerSource: 5,
  cookieReplies: 15_000,
  leaseCheckMs: 500,
  peers: 65_536,
};
