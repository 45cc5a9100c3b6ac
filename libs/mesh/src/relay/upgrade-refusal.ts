import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { relayPath, relayProtocol } from './relay-wire.js';

/** Why a request did not become a connection: HTTP status (RFC 9110) and what the other end should know. */
const refusals = {
  wrong_path: [404, `Only ${relayPath} can be upgraded here.`],
  web_page: [403, 'The mesh is not for web pages: requests with an Origin are refused.'],
  wrong_subprotocol: [400, `Ask for the subprotocol ${relayProtocol}.`],
  bad_upgrade: [400, 'This is not a WebSocket handshake of version 13.'],
  source_full: [429, 'This address has too many connections already. Close some, or wait.'],
  full: [503, 'The relay has no room for another connection. Try again later.'],
  closing: [503, 'The colony is stopping. Try again later.'],
} as const satisfies Record<string, readonly [number, string]>;

export type UpgradeRefusal = keyof typeof refusals;
export const upgradeRefusals = Object.keys(refusals) as UpgradeRefusal[];

const statusTexts: Record<number, string> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
};

/** What the request alone tells. The rest of the handshake is checked by `ws`. */
export function refusalOf(request: IncomingMessage): UpgradeRefusal | undefined {
  const { headers, url = '' } = request;
  if (url !== relayPath && !url.startsWith(`${relayPath}?`)) return 'wrong_path';
  // Browsers always send one and cannot leave it out; nothing else has a reason to (RFC 6455 §10.2).
  if (headers.origin !== undefined || headers['sec-websocket-origin'] !== undefined) return 'web_page';
  if (headers['sec-websocket-version'] !== '13') return 'bad_upgrade';
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return offered.includes(relayProtocol) ? undefined : 'wrong_subprotocol';
}

/** Answers and hangs up. */
export function refuseUpgrade(socket: Duplex, refusal: UpgradeRefusal): void {
  const [status, detail] = refusals[refusal];
  const body = JSON.stringify({ status, title: refusal, detail });
  socket.on('error', () => socket.destroy());
  socket.once('finish', () => socket.destroy());
  socket.end(
    [
      `HTTP/1.1 ${status} ${statusTexts[status]}`,
      'content-type: application/problem+json',
      `content-length: ${Buffer.byteLength(body)}`,
      ...(refusal === 'bad_upgrade' ? ['sec-websocket-version: 13'] : []),
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}
