/**
 * Where a peer is. udp: `address` is the IP text, `port` its port. ws: `address` is the random id of the connection (16
 * bytes as hex), `port` 0. Endpoints are values: nobody changes one.
 */
export interface Endpoint {
  readonly carrier: 'udp' | 'ws';
  readonly address: string;
  readonly port: number;
}

/** The bytes a cookie is bound to. Only the end that made the cookie reads them again, so the text will do. */
export function sourceBytes(from: Endpoint): Buffer {
  return Buffer.from(`${from.carrier} ${from.address} ${from.port}`, 'latin1');
}

/**
 * Whom a rate limit counts: an IPv4 address, the /64 of an IPv6 address (one subscriber has all of it), a WebSocket
 * connection. IPv4 seen through a dual-stack socket (`::ffff:…`) counts as IPv4, else all of it would be one source.
 */
export function sourceKey(from: Endpoint): string {
  const { address } = from;
  if (from.carrier === 'ws') return `ws ${address}`;
  if (!address.includes(':')) return address;
  const last = address.slice(address.lastIndexOf(':') + 1);
  if (last.includes('.')) return last;
  return prefix64(address);
}

function prefix64(address: string): string {
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? [];
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  while (tail !== undefined && groups.length + after.length < 8) groups.push('0');
  return [...groups, ...after].slice(0, 4).join(':');
}
