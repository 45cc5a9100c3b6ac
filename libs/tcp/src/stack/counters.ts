import { dropReasons, type DropReason } from '../wire/drop-reason.js';

/** Plain numbers since the stack began; the ones under "now" go up and down. */
export interface StackCounters {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  rxSegments: number;
  txSegments: number;
  connectionsOpened: number;
  connectionsAccepted: number;
  resetsSent: number;
  echoRepliesSent: number;
  icmpErrorsSent: number;
  /** Segments whose payload was left out because a peer, or all together, held too much memory. */
  payloadsRefused: number;
  /** Connections cut because a peer, or all together, held far too much memory. */
  connectionsCut: number;
  // Now
  connections: number;
  halfOpen: number;
  timeWait: number;
  memoryBytes: number;
  /** Remote addresses with anything of the above. */
  peers: number;
  /** Packets that went no further, by reason. */
  drops: Record<DropReason, number>;
}

export function newStackCounters(): StackCounters {
  return {
    rxPackets: 0,
    rxBytes: 0,
    txPackets: 0,
    txBytes: 0,
    rxSegments: 0,
    txSegments: 0,
    connectionsOpened: 0,
    connectionsAccepted: 0,
    resetsSent: 0,
    echoRepliesSent: 0,
    icmpErrorsSent: 0,
    payloadsRefused: 0,
    connectionsCut: 0,
    connections: 0,
    halfOpen: 0,
    timeWait: 0,
    memoryBytes: 0,
    peers: 0,
    drops: Object.fromEntries(dropReasons.map((reason) => [reason, 0])) as Record<DropReason, number>,
  };
}
