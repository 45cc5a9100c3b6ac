import type { MeshAddresses } from './address-plan.js';

/** Fits every path we know, the relay over TCP included (RFC 8200: 1280 is what IPv6 guarantees). */
export const meshMtu = 1_280;
/** Below the 30 s after which many NATs forget a UDP flow. */
export const keepaliveSeconds = 25;

export interface WireguardConfig {
  /** Only when the colony made the key; otherwise the laptop has it, and adds it itself. */
  privateKey: Uint8Array | undefined;
  addresses: MeshAddresses;
  colony: { publicKey: Uint8Array; endpoint: string };
  /** The mesh's ranges. */
  ranges: readonly string[];
}

/** A complete configuration for a stock client (wg-quick(8)); no key that runs a command is ever written. */
export function wireguardConfigText(config: WireguardConfig): string {
  const lines = [
    '[Interface]',
    ...(config.privateKey === undefined ? [] : [`PrivateKey = ${base64(config.privateKey)}`]),
    `Address = ${config.addresses.v4}/32, ${config.addresses.v6}/128`,
    `MTU = ${meshMtu}`,
    '',
    '[Peer]',
    `PublicKey = ${base64(config.colony.publicKey)}`,
    `AllowedIPs = ${config.ranges.join(', ')}`,
    `Endpoint = ${config.colony.endpoint}`,
    `PersistentKeepalive = ${keepaliveSeconds}`,
  ];
  return `${lines.join('\n')}\n`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
