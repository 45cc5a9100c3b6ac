import {
  openDirectMesh,
  openUserspaceMesh,
  type DirectMesh,
  type DirectMeshOptions,
  type MeshEvent,
  type UserspaceMesh,
} from '@coral/mesh';
import { keyIdOf, type Clock } from '@coral/model';
import type * as colonyV1 from './colony-v1.js';
import { badSettings, checkMeshSettings } from './mesh-settings.js';

export interface JoinOptions {
  /** What the colony said; untrusted but for who said it. */
  settings: colonyV1.MeshSettings;
  keyPair: { publicKey: Uint8Array; privateKey: Uint8Array };
  /** host:port by which the colony was reached. */
  colonyEndpoint: string;
  clock: Clock;
  /** Only with the driver `direct`. */
  direct?: Pick<DirectMeshOptions, 'certificate' | 'listen' | 'production' | 'onRefused'>;
  onEvent?(event: MeshEvent): void;
}

export type JoinedMesh = DirectMesh | UserspaceMesh;

/** A member's end of the mesh with the colony as its only peer. It sends first; nothing is opened for others to find. */
export async function joinMesh(options: JoinOptions): Promise<JoinedMesh> {
  const { settings, keyPair, clock, onEvent } = options;
  if (settings.direct !== undefined) return joinDirect(options, settings.direct);
  const checked = checkMeshSettings(settings, options.colonyEndpoint);
  const { endpoint, mtu, addresses, routes, persistentKeepaliveSeconds } = checked;
  const mesh = await openUserspaceMesh({
    keyPair,
    addresses,
    mtu,
    clock,
    ...(onEvent === undefined ? {} : { onEvent }),
  });
  try {
    mesh.addPeer({
      keyId: keyIdOf(checked.colonyPublicKey),
      publicKey: checked.colonyPublicKey,
      addresses: checked.colonyAddresses,
      wireguard: { endpoint, allowedIps: routes, persistentKeepaliveSeconds },
    });
  } catch (thrown) {
    await mesh.close();
    throw thrown;
  }
  return mesh;
}

async function joinDirect(options: JoinOptions, colony: colonyV1.DirectSettings): Promise<DirectMesh> {
  const { settings, keyPair, clock } = options;
  if (options.direct === undefined) throw badSettings('its mesh driver `direct` needs a certificate of this end');
  const mesh = await openDirectMesh({ ...options.direct, keyPair, clock });
  mesh.addPeer({
    keyId: keyIdOf(settings.colonyPublicKey),
    publicKey: settings.colonyPublicKey,
    addresses: [settings.colonyAddressV4, settings.colonyAddressV6].filter((address) => address !== ''),
    direct: { certificateSha256: colony.certificateSha256, endpoint: colony.endpoint },
  });
  return mesh;
}
