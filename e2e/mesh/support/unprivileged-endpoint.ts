// One of our endpoints as a program, for a process that may do nothing: says its public key, is told where the peer is, sends to
// an echo behind it through the tunnel, and says what came back and what it was allowed to do meanwhile.
import { createInterface } from 'node:readline';
import { CoreEndpoint } from './core-endpoint.js';
import { performTask, type TcpResult } from './kernel-peer.js';
import { whatIMayDo, type Privileges } from './privileges.js';

export interface EndpointOrder {
  /** base64. */
  publicKey: string;
  presharedKey: string;
  /** Outer: where the peer listens. */
  endpoint: { host: string; port: number };
  /** Inner: the echo behind it. */
  echo: { address: string; port: number };
  bytes: number;
}

export interface EndpointReport {
  result: TcpResult;
  privileges: Privileges;
}

const [host = '', ...addresses] = process.argv.slice(2);
const endpoint = await CoreEndpoint.open({ host, addresses });
console.log(endpoint.device.publicKey.toString('base64'));
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as EndpointOrder;
  endpoint.addPeer({
    publicKey: Buffer.from(order.publicKey, 'base64'),
    presharedKey: Buffer.from(order.presharedKey, 'base64'),
    allowedIps: [order.echo.address],
    endpoint: { carrier: 'udp', address: order.endpoint.host, port: order.endpoint.port },
  });
  const socket = await endpoint.connect(order.echo.address, order.echo.port);
  const result = await performTask(socket, { do: 'exchange', bytes: order.bytes, seed: 1 });
  const report: EndpointReport = { result, privileges: whatIMayDo() };
  console.log(JSON.stringify(report));
  break;
}
endpoint.close();
