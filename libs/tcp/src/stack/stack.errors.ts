import { CoralError } from '@coral/errors';

export function badAddress(address: string, where: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_mesh_address',
    message: `"${address}" is not one plain unicast IP address.`,
    next: 'Write it as 10.137.0.2 or fd42:c0a1::2, without a prefix length, a zone or a port.',
    where,
  });
}

export function badMtu(mtu: number, least: number, most: number): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_mtu',
    message: `An MTU of ${mtu} bytes cannot be used: it must be a whole number from ${least} to ${most}.`,
    next: 'Use 1280 over the relay and 1420 inside a cluster.',
    where: 'mtu',
  });
}

export function badPort(port: number, where: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_port',
    message: `${port} is not a port: it must be a whole number from ${where === 'port' ? 1 : 0} to 65535.`,
    where,
  });
}

/** No address of ours speaks the peer's IP version. */
export function noLocalAddress(address: string): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'no_route',
    message: `There is no way to ${address}: this end has no address of that IP version.`,
    next: 'Use an address of the version this end of the mesh has.',
  });
}

export function addressIsOurs(address: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'address_is_ours',
    message: `${address} is this end's own address; the mesh does not lead back to itself.`,
    next: 'Connect to the service on its local address.',
    where: 'address',
  });
}

export function portInUse(port: number): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'port_in_use',
    message: `Port ${port} is taken on this end of the mesh.`,
    next: 'Close what uses it, or use port 0 to get a free one.',
    where: 'port',
  });
}

export function noPortLeft(): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'no_port_left',
    message: 'Every ephemeral port of this end of the mesh is taken.',
    next: 'Close connections that are not needed, then connect again.',
  });
}

export function tooManyConnections(limit: number, peer?: string): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'too_many_connections',
    message: `${peer === undefined ? 'This end of the mesh' : `The peer ${peer}`} has ${limit} connections, which is the most there may be.`,
    next: 'Close connections that are not needed, then connect again.',
  });
}

/** The connection that held the most when its peer went over the limit. */
export function memoryExhausted(remote: { address: string; port: number }): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'tcp_memory_exhausted',
    message: `The connection to ${remote.address} port ${remote.port} was cut: too many bytes waited for that peer to take them.`,
    next: 'Check that the far end reads what it asked for, then connect again.',
  });
}

export function tooMany(what: 'pings' | 'UDP ports', limit: number): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: what === 'pings' ? 'too_many_pings' : 'too_many_udp_ports',
    message: `There are ${limit} ${what} at once already, which is the most there may be.`,
    next: 'Wait for some to end.',
  });
}

export function datagramTooLarge(size: number, limit: number): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'datagram_too_large',
    message: `A datagram of ${size} bytes does not fit into one packet, and packets are never fragmented.`,
    next: `Send at most ${limit} bytes at once.`,
  });
}

export function stackClosed(): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'stack_closed',
    message: 'This end of the mesh is closed.',
    next: 'Open the mesh again.',
  });
}
