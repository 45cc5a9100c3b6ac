import { CoralError } from '@coral/errors';

/** Two peers cannot both hold the same block: whoever is asked for it would depend on the order of their adding. */
export function allowedIpTaken(prefix: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'allowed_ip_taken',
    where: 'allowed_ips',
    message: `${prefix} belongs to another live peer of this device.`,
    next: 'Give every peer addresses of its own; remove the other peer first if it is gone.',
  });
}

export function tooManyPeers(limit: number): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'too_many_wireguard_peers',
    message: `This WireGuard device has ${limit} peers already.`,
    next: 'Remove peers that are gone, or raise `limits.peers`.',
  });
}

export function badPeerTime(name: string, value: number): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_wireguard_peer',
    where: name,
    message: `${value} cannot be the ${name} of a WireGuard peer.`,
    next: 'Give a keepalive of 0 to 65535 seconds, and an end in ms since the Unix epoch.',
  });
}

export function deviceClosed(): CoralError {
  return new CoralError({
    kind: 'unavailable',
    reason: 'wireguard_closed',
    message: 'This WireGuard device is closed.',
    next: 'Make a new one.',
  });
}
