// The relay's server before a real mesh: main thread, worker, hub.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { newWireGuardKeyPair } from '@coral/auth';
import { keyIdOf, systemClock } from '@coral/model';
import type { TcpConnection } from '@coral/tcp';
import type { Endpoint } from '@coral/wireguard';
import { expect, it } from 'vitest';
import { openUserspaceMesh } from '../userspace/userspace-mesh.js';
import { RacedPath } from './raced-path.js';
import { newCredentials, openRelay } from './spec-support/open-relay.js';
import { addresses, Machine, reads } from './spec-support/real-machine.js';

it('a stream crosses the relay into the colony’s mesh, and the connection ends with its peer', async () => {
  const credentials = await newCredentials();
  const keyPair = newWireGuardKeyPair();
  await using mesh = await openUserspaceMesh({
    keyPair,
    addresses: [addresses.colony],
    clock: systemClock,
    udp: { host: '127.0.0.1', port: 0 },
  });
  await using relay = await openRelay(credentials, {}, { clock: systemClock, mesh: mesh.relay });
  const client = new Machine('client', (datagram) => client.path?.send(datagram));
  const clientKey = keyIdOf(client.device.publicKey);
  mesh.addPeer({ keyId: clientKey, publicKey: client.device.publicKey, addresses: [addresses.client] });
  await mesh.listen(9_000, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(Buffer.alloc(500_000, 3));
  });

  // Something takes UDP there, and says nothing.
  const silent = createSocket('udp4').bind(0, '127.0.0.1');
  client.socket.bind(0, '127.0.0.1');
  await Promise.all([once(silent, 'listening'), once(client.socket, 'listening')]);
  const udp: Endpoint = { carrier: 'udp', address: '127.0.0.1', port: silent.address().port };
  client.peer = client.device.addPeer({
    publicKey: keyPair.publicKey,
    allowedIps: [addresses.colony],
    endpoint: udp,
  });
  const ends: string[] = [];
  client.path = new RacedPath({
    transport: 'auto',
    target: { host: '127.0.0.1', port: relay.port, caPem: credentials.caPem },
    udp,
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
      if (event.kind === 'relay_failed') ends.push(event.error.message);
      client.emit('read');
    },
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
  await reads(client, 500_000);
  expect(client.path.carrier).toBe('ws');
  expect(relay.server.counters()).toMatchObject({ open: 1, bound: 1, dropped: { rate_limited: 0 } });
  expect(await mesh.peers()).toMatchObject([{ keyId: clientKey, carrier: 'ws' }]);

  mesh.removePeer(clientKey);
  while (ends.length === 0) await once(client, 'read');
  expect(ends[0]).toContain('peer_gone');
  expect(relay.server.counters()).toMatchObject({ closed: { peer_gone: 1 } });
  await client.close();
  silent.close();
});
