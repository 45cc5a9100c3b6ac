/** Why a datagram or packet went no further. Each has one counter. */
export const dropReasons = [
  // Anything from the wire
  'malformed',
  'unknown_type',
  'unknown_index',
  // Handshake messages
  'bad_mac1',
  'cookie_required',
  'rate_limited',
  'backlog_full',
  'bad_handshake',
  'unknown_peer',
  'stale_initiation',
  'initiation_flood',
  'bad_cookie_reply',
  // Data from the wire
  'session_over',
  'counter_limit',
  'bad_packet',
  'replayed',
  'bad_inner_packet',
  'source_not_allowed',
  // Data to the wire
  'no_route',
  'no_endpoint',
  'too_large',
  'queue_full',
  'handshake_failed',
  // Both ways
  'peer_expired',
  'peer_removed',
] as const;

export type DropReason = (typeof dropReasons)[number];

export interface DeviceCounters {
  rxDatagrams: number;
  rxBytes: number;
  txDatagrams: number;
  txBytes: number;
  /** Inner packets, keepalives not counted. */
  rxPackets: number;
  txPackets: number;
  rxKeepalives: number;
  txKeepalives: number;
  initiationsSent: number;
  responsesSent: number;
  cookieRepliesSent: number;
  cookieRepliesTaken: number;
  /** Sessions that became usable, either end having asked. */
  handshakes: number;
  roamed: number;
  /** Right now: sessions and attempts that an index leads to. */
  indexes: number;
  /** Right now: sources whose share is counted because of load. */
  sources: number;
  drops: Record<DropReason, number>;
}

export function newCounters(): DeviceCounters {
  return {
    rxDatagrams: 0,
    rxBytes: 0,
    txDatagrams: 0,
    txBytes: 0,
    rxPackets: 0,
    txPackets: 0,
    rxKeepalives: 0,
    txKeepalives: 0,
    initiationsSent: 0,
    responsesSent: 0,
    cookieRepliesSent: 0,
    cookieRepliesTaken: 0,
    handshakes: 0,
    roamed: 0,
    indexes: 0,
    sources: 0,
    drops: Object.fromEntries(dropReasons.map((reason) => [reason, 0])) as Record<DropReason, number>,
  };
}
