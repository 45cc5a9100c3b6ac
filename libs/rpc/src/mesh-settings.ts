// What a colony says about its mesh, checked before anything is done with it: a colony may be the wrong one, or taken over.
import { BlockList, isIP } from 'node:net';
import { CoralError } from '@coral/errors';
import type * as colonyV1 from './colony-v1.js';
import { splitEndpoint } from './endpoint.js';

/** Anything else a colony names is not a mesh of ours. Bytes. */
export const meshMtuRange = { min: 1_280, max: 1_420 };
/** Seldomer, and NATs forget. Seconds. */
export const maxKeepaliveSeconds = 300;
export const maxMeshRoutes = 8;

export interface CheckedMeshSettings {
  /** WireGuard, 32 bytes. */
  colonyPublicKey: Buffer;
  /** Own addresses inside the mesh: at least one, at most one of each family. */
  addresses: string[];
  colonyAddresses: string[];
  endpoint: { host: string; port: number };
  mtu: number;
  /** 0: none. */
  persistentKeepaliveSeconds: number;
  /** CIDR; inside private networks, so that no public address can hide behind a mesh. */
  routes: string[];
}

/** `colonyEndpoint` is host:port by which the colony was reached: its host stands in for a mesh endpoint without one. */
export function checkMeshSettings(settings: colonyV1.MeshSettings, colonyEndpoint: string): CheckedMeshSettings {
  const { colonyPublicKey, persistentKeepaliveSeconds } = settings;
  if (colonyPublicKey.length !== 32) throw badSettings(`its key has ${colonyPublicKey.length} bytes, not 32`);
  const mtu = settings.mtu === 0 ? meshMtuRange.min : settings.mtu;
  if (mtu < meshMtuRange.min || mtu > meshMtuRange.max) throw badSettings(`its MTU is ${mtu}`);
  if (persistentKeepaliveSeconds > maxKeepaliveSeconds) {
    throw badSettings(`its keepalive is ${persistentKeepaliveSeconds} s`);
  }
  const colonyAddresses = addressesOf(settings.colonyAddressV4, settings.colonyAddressV6);
  return {
    colonyPublicKey,
    addresses: addressesOf(settings.addressV4, settings.addressV6),
    colonyAddresses,
    endpoint: endpointOf(settings.endpoint, colonyEndpoint),
    mtu,
    persistentKeepaliveSeconds,
    routes: settings.routes.length === 0 ? colonyAddresses.map(asRoute) : routesOf(settings.routes),
  };
}

/** What came instead of a mesh that could be joined. */
export function badSettings(why: string, cause?: unknown): CoralError {
  return new CoralError({
    kind: 'failed_precondition',
    reason: 'mesh_unsupported',
    message: `The colony describes a mesh that cannot be joined: ${why}.`,
    next: 'Compare the versions of coral and of the colony.',
    cause,
  });
}

/** Private networks: RFC 1918, RFC 6598, RFC 4193. */
const privateNetworks = new BlockList();
for (const [network, prefix] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
] as const) {
  privateNetworks.addSubnet(network, prefix, 'ipv4');
}
privateNetworks.addSubnet('fc00::', 7, 'ipv6');

function isPrivate(address: string): boolean {
  const version = isIP(address);
  return version !== 0 && privateNetworks.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

function addressesOf(v4: string, v6: string): string[] {
  const found = [v4, v6].filter((address) => address !== '');
  if (found.length === 0) throw badSettings('it names no address');
  for (const address of found) if (!isPrivate(address)) throw badSettings(`${shown(address)} is no private address`);
  return found;
}

function routesOf(routes: readonly string[]): string[] {
  if (routes.length > maxMeshRoutes) throw badSettings(`it has ${routes.length} routes`);
  for (const route of routes) {
    const [network = '', prefix = '', more] = route.split('/');
    const version = isIP(network);
    const bits = /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
    // The widest private networks have 8 and 7 bits.
    const fits = version === 4 ? bits >= 8 && bits <= 32 : bits >= 7 && bits <= 128;
    if (more !== undefined || !isPrivate(network) || !fits) {
      throw badSettings(`${shown(route)} is no range of a private network`);
    }
  }
  return [...routes];
}

/** `:port` means the host that the colony was reached by. */
function endpointOf(endpoint: string, colonyEndpoint: string): { host: string; port: number } {
  try {
    return splitEndpoint(endpoint.startsWith(':') ? hostOf(colonyEndpoint) + endpoint : endpoint);
  } catch (cause) {
    throw badSettings(`it says it is at ${shown(endpoint)}`, cause);
  }
}

/** With the brackets of IPv6. */
function hostOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(':'));
}

function asRoute(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
