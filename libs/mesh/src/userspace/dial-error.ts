import type { CoralError } from '@coral/errors';
import type { KeyId } from '@coral/model';
import { meshDialTimeout, meshPeerGone, meshRefused, meshUnreachable } from '../mesh.errors.js';
import type { DialFailure } from './protocol.js';

/** What the worker says of a dial that came to nothing, as an error of ours. */
export function dialError(
  { address, port, peer, timeoutMs }: { address: string; port: number; peer: KeyId; timeoutMs: number },
  failure: DialFailure,
  problem: string,
): CoralError {
  switch (failure) {
    case 'refused':
    case 'reset':
      return meshRefused(address, port, problem);
    case 'peer_gone':
      return meshPeerGone(peer, problem);
    case 'slow':
      return meshDialTimeout(address, port, timeoutMs);
    case 'silent':
    case 'unreachable':
    case 'no_route':
    case 'no_ports':
      return meshUnreachable(address, problem);
  }
}
