// What may not be asked of an end of the mesh, said before anything is started.
import { isIP } from 'node:net';
import type { ForwardingRule } from '../hub/forwarding.types.js';
import { badMeshPort, badMeshSettings } from '../mesh.errors.js';
import { lastPort } from '../mesh.limits.js';
import { defaultMeshMtu, type UserspaceMeshOptions } from './userspace-mesh.types.js';

const keyBytes = 32;
const minMtu = 1_280;
const maxMtu = 1_420;

export function checkOptions({ keyPair, addresses, mtu = defaultMeshMtu, udp }: UserspaceMeshOptions): void {
  if (keyPair.publicKey.length !== keyBytes || keyPair.privateKey.length !== keyBytes) {
    throw badMeshSettings('keyPair', 'both keys must have 32 bytes');
  }
  if (addresses.length === 0) throw badMeshSettings('addresses', 'this end needs an address inside the mesh');
  for (const address of addresses) {
    if (isIP(address) === 0) throw badMeshSettings('addresses', `${JSON.stringify(address)} is not an IP address`);
  }
  if (!Number.isInteger(mtu) || mtu < minMtu || mtu > maxMtu) {
    throw badMeshSettings('mtu', `${mtu} is not a whole number from ${minMtu} to ${maxMtu}`);
  }
  if (udp !== undefined && udp !== 'ephemeral') {
    if (isIP(udp.host) === 0) throw badMeshSettings('udp.host', `${JSON.stringify(udp.host)} is not an IP address`);
    if (!Number.isInteger(udp.port) || udp.port < 0 || udp.port > lastPort) throw badMeshPort(udp.port);
  }
}

export function checkRule({ destination, protocol, port }: ForwardingRule): void {
  if (isIP(destination) === 0) throw badMeshSettings('rules', `${JSON.stringify(destination)} is not an IP address`);
  if (protocol === 'icmp' && port === undefined) return;
  if (protocol === 'icmp') throw badMeshSettings('rules', 'an echo has no port');
  if (port === undefined || !Number.isInteger(port) || port < 1 || port > lastPort) throw badMeshPort(port ?? 0);
}
