/** Every number a connection lives by. Times in milliseconds, sizes in bytes; the stack may set each per connection. */
export interface TcpLimits {
  /** Shortest and longest retransmission timeout (RFC 6298 §2.4 asks for 1 s; 200 ms is what kernels do). */
  minRtoMs: number;
  maxRtoMs: number;
  /** Before the first measurement (RFC 6298 §2.1). */
  initialRtoMs: number;
  /** A connection that is not there by then fails with `tcp_connect_timeout`. */
  connectTimeoutMs: number;
  /** Data (or a probe) unanswered for so long ends the connection with `tcp_timed_out` (RFC 1122 §4.2.3.5: ≥ 100 s). */
  giveUpMs: number;
  /** 2 MSL (RFC 9293 §3.4.2), with the MSL of 30 s that kernels use. */
  timeWaitMs: number;
  /** How long an ACK may wait for company (RFC 1122 §4.2.3.2: < 500 ms). */
  delayedAckMs: number;
  /** Segments acknowledged at once while a peer's slow start runs. */
  quickAcks: number;
  /** Within one turn an ACK goes out after so many segments, so that the peer's ACK clock does not stop. */
  segmentsPerAck: number;
  /** Receive buffer: what it starts with and what autotuning may make of it. */
  initialReceiveBuffer: number;
  maxReceiveBuffer: number;
  /** Separate stretches of data that arrived too early. More are refused: the peer sends them again. */
  maxOutOfOrderRanges: number;
  /** Above so many bytes unacknowledged and unsent `write` says false; autotuned to twice the congestion window. */
  minSendBuffer: number;
  maxSendBuffer: number;
  /** Largest burst the pacer lets through, in segments. */
  burstSegments: number;
  /** Challenge ACKs and ACKs for segments that carry nothing acceptable, per connection (RFC 5961 §7). */
  challengeAcksPerSecond: number;
  /** Timeouts in a row of a full segment after which the path is taken for a black hole (RFC 4821 §7.7). */
  blackHoleTimeouts: number;
}

export const defaultLimits: TcpLimits = {
  minRtoMs: 200,
  maxRtoMs: 60_000,
  initialRtoMs: 1_000,
  connectTimeoutMs: 30_000,
  giveUpMs: 120_000,
  timeWaitMs: 60_000,
  delayedAckMs: 40,
  quickAcks: 16,
  segmentsPerAck: 16,
  initialReceiveBuffer: 64 * 1024,
  maxReceiveBuffer: 4 * 1024 * 1024,
  maxOutOfOrderRanges: 512,
  minSendBuffer: 128 * 1024,
  maxSendBuffer: 4 * 1024 * 1024,
  burstSegments: 32,
  challengeAcksPerSecond: 10,
  blackHoleTimeouts: 3,
};

/** RFC 9293 §3.7.1: the MSS of a peer that names none. */
export const DEFAULT_MSS_IPV4 = 536;
export const DEFAULT_MSS_IPV6 = 1_220;
/** No segment is made smaller than this, whatever a peer or an ICMP message says: small ones cost us most. */
export const MIN_MSS = 216;
