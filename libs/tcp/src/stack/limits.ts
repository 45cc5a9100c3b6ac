/** What one stack, and one peer on it, may take. A peer is one remote address. Times in ms, sizes in bytes. */
export interface StackLimits {
  /** Connections in any state but TIME-WAIT, half-open ones included. */
  maxConnections: number;
  maxConnectionsPerPeer: number;
  /** Connections a peer began whose handshake is not complete; more SYNs are dropped and may be sent again. */
  maxHalfOpen: number;
  maxHalfOpenPerPeer: number;
  /** Bytes of connections: to send, unread, out of order. Above it payload is refused and must be sent again. */
  maxMemoryBytes: number;
  maxMemoryBytesPerPeer: number;
  /** What our own application wrote counts too and cannot be refused: above this the largest connection is cut. */
  cutMemoryBytes: number;
  cutMemoryBytesPerPeer: number;
  /** Ends of flows that are remembered (RFC 9293 §3.6.1); the oldest is forgotten first. */
  maxTimeWait: number;
  maxTimeWaitPerPeer: number;
  /** 2 MSL. */
  timeWaitMs: number;
  /** Answers to segments without a connection, to echo requests, and ICMP errors: per second and source, twice that at once. */
  resetsPerSecond: number;
  echoRepliesPerSecond: number;
  icmpErrorsPerSecond: number;
  /** Echo requests of ours without an answer yet. */
  maxPings: number;
  maxUdpPorts: number;
  /** RFC 6335 §6: the dynamic ports, for `connect` and for port 0. */
  firstEphemeralPort: number;
  lastEphemeralPort: number;
}

export const defaultStackLimits: StackLimits = {
  maxConnections: 16_384,
  maxConnectionsPerPeer: 256,
  maxHalfOpen: 4_096,
  maxHalfOpenPerPeer: 128,
  maxMemoryBytes: 256 * 1024 * 1024,
  maxMemoryBytesPerPeer: 32 * 1024 * 1024,
  cutMemoryBytes: 512 * 1024 * 1024,
  cutMemoryBytesPerPeer: 64 * 1024 * 1024,
  maxTimeWait: 8_192,
  maxTimeWaitPerPeer: 1_024,
  timeWaitMs: 60_000,
  resetsPerSecond: 100,
  echoRepliesPerSecond: 100,
  icmpErrorsPerSecond: 20,
  maxPings: 256,
  maxUdpPorts: 256,
  firstEphemeralPort: 49_152,
  lastEphemeralPort: 65_535,
};

/** The least an IPv6 link must carry (RFC 8200 §5), and the least an IPv4 one does in this century. */
export const MIN_MTU_V6 = 1_280;
export const MIN_MTU_V4 = 576;
export const MAX_MTU = 65_535;
