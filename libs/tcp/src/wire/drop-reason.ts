/** Why a packet from a peer went no further. Each is a counter of the stack; nothing a peer sends is ever thrown. */
export const dropReasons = [
  // IP
  'ip_version',
  'ip_truncated',
  'ip_checksum',
  'ip_options',
  'ip_source_route',
  'ip_fragment',
  'ip_extension_headers',
  'ip_source_not_unicast',
  'ip_source_is_ours',
  'ip_not_for_us',
  'ip_protocol',
  // ICMP
  'icmp_malformed',
  'icmp_checksum',
  'icmp_type',
  'icmp_rate',
  'icmp_quote_malformed',
  'icmp_quote_unknown',
  'icmp_echo_unexpected',
  // UDP
  'udp_malformed',
  'udp_checksum',
  'udp_port_closed',
  // TCP
  'tcp_truncated',
  'tcp_checksum',
  'tcp_options',
  'tcp_port_zero',
  'tcp_no_connection',
  'tcp_reset_rate',
  'tcp_half_open_full',
  'tcp_half_open_peer_full',
  'tcp_connections_full',
  'tcp_connections_peer_full',
  'tcp_memory_full',
  'tcp_memory_peer_full',
  'tcp_not_accepted',
  'tcp_time_wait',
  'stack_closed',
] as const;

export type DropReason = (typeof dropReasons)[number];
