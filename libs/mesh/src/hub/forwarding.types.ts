// What the main thread and the worker's policy both speak of.
export type ForwardProtocol = 'tcp' | 'udp' | 'icmp';

/** One thing a peer may reach behind the hub. `icmp` means echo. */
export interface ForwardingRule {
  /** One mesh address. */
  destination: string;
  protocol: ForwardProtocol;
  /** Destination port; absent with `icmp` only. */
  port?: number;
  /** Wall clock ms; absent: as long as the peer. Both clocks count, and a rule once over stays over. */
  until?: number;
}

export const forwardDrops = [
  /** No IP, a fragment, or a header too short for its ports. */
  'bad_packet',
  /** No peer has the destination address. */
  'unknown_destination',
  /** Back to where it came from. */
  'hairpin',
  /** Neither a rule nor a flow that a rule opened. */
  'no_rule',
  'rule_over',
  /** The far end of a flow tries to open one of its own. */
  'bare_syn',
  'icmp_type',
  'ttl_exceeded',
  /** The source has as many flows as it may have. */
  'flows_full',
  /** Allowed, but WireGuard had no session or place for it. */
  'not_sent',
] as const;
export type ForwardDrop = (typeof forwardDrops)[number];

export interface HubCounters {
  forwarded: number;
  drops: Record<ForwardDrop, number>;
}

export interface DeniedForward {
  slot: number;
  destination: string;
  protocol: ForwardProtocol | 'other';
  port: number;
  reason: ForwardDrop;
  packets: number;
}
