import type { Endpoint } from '@coral/wireguard';

/** A way for datagrams to travel. The device knows endpoints only; which carrier reaches one is written in it. */
export interface Carrier {
  readonly kind: Endpoint['carrier'];
  /** False when it was dropped: the queue behind it is full, or the way is gone. WireGuard and TCP live with that. */
  send(datagram: Buffer, to: Endpoint): boolean;
  close(): Promise<void>;
}

/** What a carrier tells its endpoint. */
export interface CarrierEvents {
  /** The buffer is given away. */
  datagram(datagram: Buffer, from: Endpoint): void;
  error(): void;
}

/** For people and logs: `203.0.113.7:41820`, `[2001:db8::7]:41820`, `ws:<id>`. */
export function formatEndpoint({ carrier, address, port }: Endpoint): string {
  if (carrier === 'ws') return `ws:${address}`;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
