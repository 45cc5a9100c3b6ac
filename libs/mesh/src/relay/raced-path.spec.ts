// Everything real but WireGuard's peer table: sockets, TLS, the relay at both ends, devices and TCP stacks.
import { once } from 'node:events';
import { keyIdOf, systemClock } from '@coral/model';
import { ImpairmentProxy } from '@coral/testing';
import type { TcpConnection } from '@coral/tcp';
import type { Endpoint } from '@coral/wireguard';
import { beforeAll, expect, it } from 'vitest';
import { openProxy } from './spec-support/open-proxy.js';
import { RacedPath } from './raced-path.js';
import { newCredentials, openRelay, type Credentials, type Relay } from './spec-support/open-relay.js';
import { addresses, Machine, reads } from './spec-support/real-machine.js';

let credentials: Credentials;

beforeAll(async () => {
  credentials = await newCredentials();
});

interface Tunnel extends AsyncDisposable {
  client: Machine;
  colony: Machine;
  path: RacedPath;
  udp: ImpairmentProxy;
  events: string[];
}

async function openTunnel(
  relay: Relay,
  o: { throughProxy?: Awaited<ReturnType<typeof openProxy>> } = {},
): Promise<Tunnel> {
  const events: string[] = [];
  const colony = new Machine('colony', (datagram, to) => {
    if (to.carrier === 'udp') colony.socket.send(datagram, to.port, to.address);
    else relay.host.send(to.address, [datagram]);
  });
  const client = new Machine('client', (datagram) => client.path?.send(datagram));
  for (const machine of [colony, client]) {
    machine.socket.bind(0, '127.0.0.1');
    await once(machine.socket, 'listening');
  }
  const udp = await ImpairmentProxy.start({
    target: { host: '127.0.0.1', port: colony.socket.address().port },
    seed: 1,
  });
  const place: Endpoint = { carrier: 'udp', address: udp.host, port: udp.port };
  client.peer = client.device.addPeer({
    publicKey: colony.device.publicKey,
    allowedIps: [addresses.colony],
    endpoint: place,
  });
  colony.peer = colony.device.addPeer({ publicKey: client.device.publicKey, allowedIps: [addresses.client] });
  colony.socket.on('message', (datagram, from) => {
    colony.device.onDatagram(datagram, { carrier: 'udp', address: from.address, port: from.port });
    colony.soon();
  });
  const clientKey = keyIdOf(client.device.publicKey);
  relay.host.on('told', () => {
    for (const { id, datagrams } of relay.host.batches.splice(0)) {
      const from: Endpoint = { carrier: 'ws', address: id, port: 0 };
      const before = colony.peer.rxBytes;
      for (const datagram of datagrams) colony.device.onDatagram(datagram, from);
      if (colony.device.backlog > 0) colony.device.runBacklog(16);
      if (colony.peer.rxBytes > before) relay.host.bind(id, clientKey);
    }
    colony.soon();
  });
  const path = new RacedPath({
    transport: 'auto',
    target: {
      host: '127.0.0.1',
      port: relay.port,
      caPem: credentials.caPem,
      ...(o.throughProxy && { proxy: o.throughProxy.proxy }),
    },
    udp: place,
    clock: systemClock,
    peer: client.peer,
    onDatagram: (datagram, from) => {
      client.device.onDatagram(datagram, from);
      client.soon();
    },
    sendUdp: (datagram, to) => client.socket.send(datagram, to.port, to.address),
    ping: (done) => client.stack.ping(addresses.colony, { timeoutMs: 5_000, done }),
    restart: () => client.device.initiate(client.peer),
    onEvent: (event) => {
      events.push(event.kind === 'carrier_switched' ? `${event.from}>${event.to}` : event.kind);
      client.emit('read');
    },
  });
  client.path = path;
  client.socket.on('message', (datagram, from) =>
    path.arrived(datagram, { carrier: 'udp', address: from.address, port: from.port }),
  );
  return {
    client,
    colony,
    path,
    udp,
    events,
    [Symbol.asyncDispose]: async () => {
      await client.close();
      await colony.close();
      udp.close();
    },
  };
}

/** The colony writes without end; the client reads. */
function download({ client, colony }: Tunnel): void {
  const fill = (connection: TcpConnection): void => {
    while (connection.write(Buffer.alloc(16_384, 5)));
    colony.soon();
  };
  colony.stack.listen(9_000, (connection) => {
    setImmediate(() => fill(connection));
    return { writable: () => fill(connection) };
  });
  const connection: TcpConnection = client.stack.connect({
    address: addresses.colony,
    port: 9_000,
    handlers: {
      readable: () => {
        client.drain(connection);
        client.soon();
      },
    },
  });
  client.soon();
}

it('goes by UDP, changes to the relay when UDP is swallowed in mid-stream, and the peer follows', async () => {
  await using relay = await openRelay(credentials, {}, { clock: systemClock });
  await using tunnel = await openTunnel(relay);
  download(tunnel);
  await reads(tunnel.client, 300_000);
  expect(tunnel.path.carrier).toBe('udp');
  tunnel.udp.impair({ loss: 1 });
  while (tunnel.path.carrier !== 'ws') await once(tunnel.client, 'read');
  await reads(tunnel.client, 300_000);
  expect(tunnel.events).toEqual(['carrier_chosen', 'udp>ws']);
  expect(tunnel.colony.peer.endpoint).toMatchObject({ carrier: 'ws', address: relay.host.ids.at(-1) });
  expect(relay.server.counters()).toMatchObject({ open: 1, bound: 1 });
});

it('goes through a proxy from the start where UDP is swallowed, and ends with its peer', async () => {
  await using relay = await openRelay(credentials, {}, { clock: systemClock });
  await using way = await openProxy();
  await using tunnel = await openTunnel(relay, { throughProxy: way });
  tunnel.udp.impair({ loss: 1 });
  download(tunnel);
  await reads(tunnel.client, 300_000);
  expect(tunnel.events).toEqual(['carrier_chosen']);
  expect(tunnel.path.memory?.carrier).toBe('ws');
  expect(way.asked).toHaveLength(1);
  const clientKey = keyIdOf(tunnel.client.device.publicKey);
  tunnel.colony.device.removePeer(tunnel.client.device.publicKey);
  relay.server.cutPeer(clientKey);
  expect(relay.server.counters()).toMatchObject({ open: 0, closed: { peer_gone: 1 } });
  while (!tunnel.events.includes('relay_failed')) await once(tunnel.client, 'read');
  expect(tunnel.path.relay.lastError).toMatchObject({
    reason: 'relay_lost',
    message: expect.stringContaining('peer_gone'),
  });
});
