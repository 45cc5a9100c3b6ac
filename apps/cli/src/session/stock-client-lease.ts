import { newWireGuardKeyPair } from '@coral/auth';
import { CoralError } from '@coral/errors';
import type { Duration } from '@coral/model';
import { checkMeshSettings, durationToProto, wireguardConfigText } from '@coral/rpc';
import { openColony } from '../colony/colony-api.js';
import type { PinnedColony } from '../config/choose-colony.js';
import { tokenFor } from '../config/colony-credentials.js';

export interface StockClientLease {
  agentId: string;
  expiresAt: Date;
  /** For wg-quick(8). */
  config: string;
}

/**
 * A lease that outlives this process, for a WireGuard client of somebody else. The configuration is made here, from checked
 * values: text of a colony that went bad could run commands (`PostUp`) where wg-quick reads it as root.
 */
export async function leaseForStockClient(options: {
  colony: PinnedColony;
  credentialsFile: string;
  /** base64; absent: a key pair is made, and its private half stands in the configuration. */
  publicKey: string | undefined;
  ttl: Duration | undefined;
}): Promise<StockClientLease> {
  const made = options.publicKey === undefined ? newWireGuardKeyPair() : undefined;
  const clientPublicKey = made?.publicKey ?? parsePublicKey(options.publicKey ?? '');
  using colony = await openColony(options.colony, await tokenFor(options.colony, options.credentialsFile));
  const granted = await colony.requestAccess({
    userId: '',
    ttl: options.ttl === undefined ? undefined : durationToProto(options.ttl),
    purpose: 'coral mesh config',
    clientPublicKey,
    directCertificateSha256: Buffer.alloc(0),
  });
  const { mesh, expiresAt, agentId } = granted;
  if (mesh === undefined || expiresAt === undefined) throw noMesh('its answer names no mesh');
  if (mesh.direct !== undefined) throw noMesh('its mesh driver is `direct`, which no WireGuard client speaks');
  const config = wireguardConfigText(checkMeshSettings(mesh, colony.endpoint), made?.privateKey);
  made?.privateKey.fill(0);
  return { agentId, expiresAt, config };
}

function parsePublicKey(text: string): Buffer {
  // 32 bytes; the last character of the base64 text carries four bits.
  if (/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text)) return Buffer.from(text, 'base64');
  throw new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_public_key',
    where: '--public-key',
    message: 'This is not a WireGuard public key: 32 bytes as base64, 44 characters.',
    next: 'Make one with `wg genkey | tee private.key | wg pubkey`, and pass what the last command prints.',
  });
}

function noMesh(why: string): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'mesh_unsupported',
    message: `A WireGuard client cannot join the mesh of this colony: ${why}.`,
    next: 'Ask whoever runs the colony for `mesh.driver: userspace`.',
  });
}
