import { CoralError } from '@coral/errors';

/** The far end said no: nothing listens there, or it does not know (any more) who is calling. */
export function meshRefused(address: string, port: number, problem: string, cause?: unknown): CoralError {
  return unavailable('mesh_refused', `${at(address, port)} refused the connection: ${problem}.`, cause, {
    next: 'Check that the lease is still alive (`coral colony ephemeral list`) and that the service runs.',
  });
}

/** No peer here has that mesh address, or whoever answered could not prove to be that peer. */
export function meshUnknownPeer(address: string, problem: string): CoralError {
  return unavailable('mesh_unknown_peer', `No peer of this mesh stands behind ${address}: ${problem}.`, undefined, {
    next: 'Ask the colony for a new lease: it tells the addresses and keys of the mesh.',
  });
}

/** The peer's time on the mesh is over, or its stream broke. */
export function meshPeerGone(peer: string, problem: string, cause?: unknown): CoralError {
  return unavailable('mesh_peer_gone', `The mesh peer ${peer} is gone: ${problem}.`, cause, {
    next: 'Request a new lease and connect again; `coral ask` does so by itself.',
  });
}

/** Nothing answers at the peer's endpoint. */
export function meshUnreachable(address: string, problem: string, cause?: unknown): CoralError {
  return unavailable('mesh_unreachable', `The mesh peer ${address} cannot be reached: ${problem}.`, cause, {
    next: 'Check that the process at the far end is running.',
  });
}

/** This end of the mesh has been closed. */
export function meshClosed(): CoralError {
  return unavailable('mesh_closed', 'This end of the mesh is closed.', undefined, { next: 'Open the mesh again.' });
}

export function meshDialTimeout(address: string, port: number, timeoutMs: number): CoralError {
  return new CoralError({
    kind: 'deadline_exceeded',
    reason: 'mesh_dial_timeout',
    message: `${at(address, port)} did not accept the connection within ${timeoutMs} ms.`,
    next: 'Check that the process at the far end is running and not overloaded.',
  });
}

export function meshDialCancelled(address: string, port: number, cause: unknown): CoralError {
  return new CoralError({
    kind: 'cancelled',
    reason: 'cancelled',
    message: `Connecting to ${at(address, port)} was cancelled.`,
    cause,
  });
}

export function badPeer(problem: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_peer',
    where: 'peer',
    message: `The peer cannot join the mesh: ${problem}.`,
    next: 'Send a 32-byte public key, its key id, mesh addresses and what the mesh driver needs besides.',
  });
}

export function meshPeerConflict(problem: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'mesh_peer_conflict',
    where: 'peer',
    message: `The peer cannot join the mesh: ${problem}.`,
    next: 'Give every peer its own addresses and its own certificate; remove the other peer first if it is gone.',
  });
}

export function directDriverForbidden(problem: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'direct_driver_forbidden',
    where: 'mesh.driver',
    message: `The mesh driver \`direct\` is for one machine only: ${problem}.`,
    next: 'Use loopback addresses (127.0.0.0/8 or ::1) outside production, or another mesh driver.',
  });
}

export function cannotListen(endpoint: string, cause: unknown): CoralError {
  const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
  const taken = code === 'EADDRINUSE';
  return new CoralError({
    kind: 'failed_precondition',
    reason: taken ? 'port_taken' : 'cannot_listen',
    where: endpoint,
    message: taken
      ? `Another process already listens on ${endpoint}.`
      : `It is not possible to listen on ${endpoint}: ${code}.`,
    next: taken
      ? 'Stop the other process, or configure another port (0 takes a free one).'
      : 'Configure another address.',
    cause,
  });
}

export function meshPortTaken(port: number): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'mesh_port_taken',
    where: 'port',
    message: `Mesh port ${port} already has a listener.`,
    next: 'Close the other listener first, or listen on port 0 to get a free one.',
  });
}

export function meshNotListening(): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'mesh_not_listening',
    message: 'This end of the mesh only dials: it was opened without `listen`.',
    next: 'Open it with `listen: { host, port }`.',
  });
}

export function badMeshPort(port: number): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_mesh_port',
    where: 'port',
    message: `${port} is not a port.`,
    next: 'Give a whole number from 1 to 65535 (0 to listen on any free one).',
  });
}

/** The thread that speaks WireGuard and TCP died; its streams died with it. */
export function meshWorkerLost(cause: unknown): CoralError {
  const what = cause instanceof Error ? cause.message : String(cause);
  return unavailable('mesh_worker_lost', `The worker thread of this end of the mesh died: ${what}.`, cause, {
    next: 'Open the mesh again; if it dies again, report it with the log of this process.',
  });
}

/** The UDP socket could not be bound. */
export function meshPortInUse(o: { code: string; problem: string; host: string; port: number }): CoralError {
  const taken = o.code === 'EADDRINUSE';
  const where = at(o.host, o.port);
  return new CoralError({
    kind: 'failed_precondition',
    reason: taken ? 'mesh_port_in_use' : 'mesh_port_unusable',
    where: `udp ${where}`,
    message: taken
      ? `Another process already uses UDP port ${o.port} on ${o.host}.`
      : `It is not possible to receive datagrams on ${where}: ${o.problem}.`,
    next: taken
      ? `Find it with \`ss -lunp 'sport = :${o.port}'\` and stop it, or configure another port (0 takes a free one).`
      : 'Configure an address of this machine and a port this user may use (0 takes a free one).',
  });
}

export function badMeshSettings(where: string, problem: string): CoralError {
  return new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_mesh_settings',
    where,
    message: `The mesh cannot be opened or changed like this: ${problem}.`,
    next: 'Compare the settings with those the colony gave; a new lease brings fresh ones.',
  });
}

export function tooManyPeers(): CoralError {
  return new CoralError({
    kind: 'resource_exhausted',
    reason: 'mesh_too_many_peers',
    message: 'This end of the mesh has as many peers as it can have.',
    next: 'Release leases, or remove agents that are gone.',
  });
}

function at(address: string, port: number): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

function unavailable(reason: string, message: string, cause: unknown, more: { next: string }): CoralError {
  return new CoralError({ kind: 'unavailable', reason, message, cause, ...more });
}
