// Datagrams that come in by a WebSocket somebody else holds: the far end here is a bare WireGuard device.
import { randomBytes } from 'node:crypto';
import { newWireGuardKeyPair } from '@coral/auth';
import { keyIdOf, systemClock } from '@coral/model';
import { WireGuardDevice, type DeviceEvent } from '@coral/wireguard';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SharedClock } from './shared-clock.js';
import { cliAddress, colonyAddress, openEnd, type End } from './userspace.fixture.js';

const id = randomBytes(16).toString('hex');

describe('the relay port of a colony', () => {
  const keys = newWireGuardKeyPair();
  const keyId = keyIdOf(keys.publicKey);
  const events: DeviceEvent['kind'][] = [];
  let colony: End;
  let device: WireGuardDevice;
  beforeEach(async () => {
    events.length = 0;
    colony = await openEnd([colonyAddress], new SharedClock());
    colony.mesh.addPeer({ keyId, publicKey: keys.publicKey, addresses: [cliAddress] });
    device = new WireGuardDevice({
      privateKey: keys.privateKey,
      clock: systemClock,
      random: randomBytes,
      output: {
        send: (datagram) => colony.mesh.relay.datagrams(id, [datagram]),
        receive: () => undefined,
        event: ({ kind }) => events.push(kind),
      },
    });
    colony.mesh.relay.onSend((_id, datagrams) => {
      for (const datagram of datagrams)
        device.onDatagram(Buffer.from(datagram), { carrier: 'ws', address: id, port: 0 });
      device.runBacklog(8);
    });
  });
  afterEach(async () => {
    device.close();
    await colony.mesh.close();
  });

  const shakeHands = (): void => {
    const endpoint = { carrier: 'ws', address: id, port: 0 } as const;
    const { publicKey } = colony.peer;
    device.initiate(device.addPeer({ publicKey, allowedIps: [colonyAddress], endpoint }));
  };

  it('carries a handshake both ways, and says whose connection it is', async () => {
    const bound = Promise.withResolvers<unknown[]>();
    colony.mesh.relay.onBind((...args) => bound.resolve(args));
    colony.mesh.relay.opened(id, '203.0.113.7');
    shakeHands();
    expect(await bound.promise).toEqual([id, keyId]);
    expect(events).toContain('handshake');
    expect(await colony.mesh.peers()).toMatchObject([{ keyId, carrier: 'ws', endpoint: `ws:${id}` }]);
  });

  it('takes nothing from a connection it was not told of, or that has closed', async () => {
    shakeHands();
    colony.mesh.relay.opened(id, '203.0.113.7');
    colony.mesh.relay.closed(id);
    shakeHands();
    expect((await colony.mesh.counters()).wireguard['rxDatagrams']).toBe(0);
  });

  it('asks for the connection to be closed when its peer goes', async () => {
    const bound = Promise.withResolvers<void>();
    const cut = Promise.withResolvers<string>();
    colony.mesh.relay.onBind(() => bound.resolve());
    colony.mesh.relay.onCut(cut.resolve);
    colony.mesh.relay.opened(id, '203.0.113.7');
    shakeHands();
    await bound.promise;
    colony.mesh.removePeer(keyId);
    expect(await cut.promise).toBe(id);
  });
});
