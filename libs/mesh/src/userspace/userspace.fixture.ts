// For the specs of this folder: ends of a mesh on loopback UDP.
import { newWireGuardKeyPair } from '@coral/auth';
import { keyIdOf } from '@coral/model';
import type { MeshPair } from '../mesh.contract.js';
import type { Peer } from '../mesh.js';
import { SharedClock } from './shared-clock.js';
import { openUserspaceMesh } from './userspace-mesh.js';
import type { MeshEvent, UserspaceMesh, UserspaceMeshOptions } from './userspace-mesh.types.js';

export const colonyAddress = '10.137.0.1';
export const colonyAddressV6 = 'fd42:c0a1::1';
export const cliAddress = '10.137.64.1';
export const cliAddressV6 = 'fd42:c0a1::4001';
export const loopback = { host: '127.0.0.1', port: 0 };

export interface End {
  mesh: UserspaceMesh;
  /** As another end's table has it; without its endpoint. */
  peer: Peer;
  events: MeshEvent[];
}

export async function openEnd(
  addresses: string[],
  clock: SharedClock,
  options: Partial<UserspaceMeshOptions> = {},
): Promise<End> {
  const keyPair = newWireGuardKeyPair();
  const events: MeshEvent[] = [];
  const onEvent = (event: MeshEvent): void => void events.push(event);
  const mesh = await openUserspaceMesh({ keyPair, addresses, clock, udp: loopback, onEvent, ...options });
  return { mesh, peer: { keyId: keyIdOf(keyPair.publicKey), publicKey: keyPair.publicKey, addresses }, events };
}

/** The same peer, to be found on loopback. */
export function at(end: End, port = end.mesh.udpPort): Peer {
  return { ...end.peer, wireguard: { ...end.peer.wireguard, endpoint: { host: '127.0.0.1', port } } };
}

export interface UserspacePair extends MeshPair {
  server: UserspaceMesh;
  client: UserspaceMesh;
  clock: SharedClock;
  serverEnd: End;
  clientEnd: End;
}

/** Colony and laptop: the laptop knows where the colony is, the colony waits to hear from it. */
export async function makePair(options: Partial<UserspaceMeshOptions> = {}): Promise<UserspacePair> {
  const pair = await makeStrangers(options);
  pair.client.addPeer(pair.serverPeer);
  return pair;
}

/** The same, before the laptop has been told of the colony. */
export async function makeStrangers(options: Partial<UserspaceMeshOptions> = {}): Promise<UserspacePair> {
  const clock = new SharedClock();
  const [serverEnd, clientEnd] = await Promise.all([
    openEnd([colonyAddress, colonyAddressV6], clock, options),
    openEnd([cliAddress, cliAddressV6], clock, options),
  ]);
  const serverPeer = at(serverEnd);
  const clientPeer = clientEnd.peer;
  serverEnd.mesh.addPeer(clientPeer);
  return { server: serverEnd.mesh, client: clientEnd.mesh, serverPeer, clientPeer, clock, serverEnd, clientEnd };
}
