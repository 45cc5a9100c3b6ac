import type { CheckedMeshSettings } from './mesh-settings.js';

/**
 * A complete configuration for a stock client (wg-quick(8)). Made from checked values alone, so that no key which runs a
 * command (`PostUp`) can ever stand in it.
 */
export function wireguardConfigText(settings: CheckedMeshSettings, privateKey?: Uint8Array): string {
  const { endpoint, persistentKeepaliveSeconds: keepalive } = settings;
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  const lines = [
    '[Interface]',
    ...(privateKey === undefined ? [] : [`PrivateKey = ${base64(privateKey)}`]),
    `Address = ${settings.addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`).join(', ')}`,
    `MTU = ${settings.mtu}`,
    '',
    '[Peer]',
    `PublicKey = ${base64(settings.colonyPublicKey)}`,
    `AllowedIPs = ${settings.routes.join(', ')}`,
    `Endpoint = ${host}:${endpoint.port}`,
    ...(keepalive === 0 ? [] : [`PersistentKeepalive = ${keepalive}`]),
  ];
  return `${lines.join('\n')}\n`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
