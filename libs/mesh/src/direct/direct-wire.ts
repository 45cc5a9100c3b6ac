// What both ends of the driver `direct` agree on.
import { constants, createHash } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** Sent by the acceptor once it knows the peer: a dial succeeds only then, as a TCP connect does on its SYN-ACK. */
export const accepted = Buffer.of(1);

/** Common to client and server. No session tickets: each connection proves its certificate anew. */
export const tlsOptions = {
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  secureOptions: constants.SSL_OP_NO_TICKET,
  // Certificates are self-signed; their hash is compared with the peer table before any byte goes up.
  rejectUnauthorized: false,
  allowHalfOpen: true,
} as const;

const alpnPrefix = 'coral-direct/';

export function alpnFor(port: number): string {
  return `${alpnPrefix}${port}`;
}

/** The mesh port an ALPN protocol asks for; only the spelling of {@link alpnFor} counts. */
export function portOf(protocol: string | false | null): number | undefined {
  if (typeof protocol !== 'string' || !protocol.startsWith(alpnPrefix)) return undefined;
  const port = Number(protocol.slice(alpnPrefix.length));
  return alpnFor(port) === protocol ? port : undefined;
}

/** Lower-case hex of the SHA-256 of the far end's certificate; '' when it showed none. */
export function certificateHash(socket: TLSSocket): string {
  const der = socket.getPeerX509Certificate()?.raw;
  return der ? createHash('sha256').update(der).digest('hex') : '';
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Literal addresses only: what a name means is for others to decide. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** Takes `127.0.0.1:4000` or `[::1]:4000` apart; undefined when it is neither loopback nor complete. */
export function parseEndpoint(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9a-f:]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && isLoopback(host) && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

export function formatEndpoint(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
