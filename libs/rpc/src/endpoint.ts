import { CoralError } from '@coral/errors';

/** Takes `host:port` or `[v6]:port` apart. Throws `bad_endpoint`. */
export function splitEndpoint(endpoint: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:/[\]@]+)):(\d{1,5})$/i.exec(endpoint);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host !== undefined && port >= 1 && port <= 65_535) return { host, port };
  throw new CoralError({
    kind: 'invalid_argument',
    reason: 'bad_endpoint',
    where: 'endpoint',
    message: `${JSON.stringify(endpoint.slice(0, 100))} is not an endpoint.`,
    next: 'Write host:port, for example colony.example.com:41820 or [fd00::1]:41820.',
  });
}
