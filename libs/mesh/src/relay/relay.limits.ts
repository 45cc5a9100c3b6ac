/** The relay's bounds on the colony's side. Times in ms. */
export interface RelayLimits {
  /** Connections in all, and of one source (an IPv4 address, the /64 of an IPv6 one; behind an ingress, the ingress). */
  readonly connections: number;
  readonly connectionsPerSource: number;
  /** Of these, how many on which no peer has proved itself yet. Over it, the oldest such connection makes way. */
  readonly unbound: number;
  readonly unboundPerSource: number;
  /** Connections of one peer; a device that dials again leaves its former one behind for a while. */
  readonly connectionsPerPeer: number;
  /** A connection on which no peer proves itself lives this long. */
  readonly unboundMs: number;
  readonly pingEveryMs: number;
  /** So many pings in a row without a pong: dead. */
  readonly missedPongs: number;
  /** How often ages are looked at. */
  readonly sweepEveryMs: number;
  /** After a close frame the other end may finish for this long. */
  readonly closeGraceMs: number;
  /** Bytes that wait for a slow reader; beyond, the newest datagram is lost, as UDP would have it. */
  readonly sendQueueBytes: number;
  /** Bytes handed to the mesh's worker and not taken yet; beyond, datagrams are lost. Needs `RelayHost.backlogBytes`. */
  readonly workerBacklogBytes: number;
  /** Messages a second and at once, control frames included: before and after a peer has proved itself. */
  readonly unboundRate: number;
  readonly unboundBurst: number;
  readonly boundRate: number;
  readonly boundBurst: number;
}

export const defaultRelayLimits: RelayLimits = {
  connections: 4_096,
  connectionsPerSource: 2_048,
  unbound: 512,
  unboundPerSource: 256,
  connectionsPerPeer: 4,
  unboundMs: 5_000,
  pingEveryMs: 15_000,
  missedPongs: 2,
  sweepEveryMs: 250,
  closeGraceMs: 1_000,
  sendQueueBytes: 262_144,
  workerBacklogBytes: 8_388_608,
  unboundRate: 100,
  unboundBurst: 256,
  boundRate: 50_000,
  boundBurst: 8_192,
};
