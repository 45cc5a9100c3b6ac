import { describe, expect, it } from 'vitest';
import { VirtualClock } from '@coral/testing';
import { WireGuardDevice } from '../index.js';
import { End, Network } from '../spec-support/ends.js';

/** A colony, and two machines with one private key. */
function twins() {
  const network = new Network('twins');
  const privateKey = network.random.bytes(32);
  const colony = new End(network, { name: 'colony', at: '192.0.2.1', address: '10.137.0.1' });
  const [one, other] = ['192.0.2.11', '192.0.2.12'].map(
    (at) => new End(network, { name: at, at, address: '10.137.0.11', privateKey }),
  ) as [End, End];
  const peer = colony.addPeer(one, { endpoint: undefined });
  one.addPeer(colony);
  other.addPeer(colony);
  return { network, colony, one, other, peer, privateKey };
}

describe('two machines with one key', () => {
  it('take the session from each other, as the protocol has it, and the colony says so', () => {
    const { network, colony, one, other, peer } = twins();
    for (let second = 0; second < 120; second++) {
      one.say(colony, second);
      other.say(colony, 1_000 + second);
      colony.say(one, second);
      network.clock.advance(1_000);
    }
    const said = colony.events.filter((event) => event.kind === 'key_shared');
    expect(said).toHaveLength(1);
    expect(said[0]).toMatchObject({ peer });
    const addresses = said.flatMap((event) => event.endpoints.map((endpoint) => endpoint.address)).toSorted();
    expect(addresses).toEqual(['192.0.2.11', '192.0.2.12']);
    // Neither got through all the time, and nothing broke.
    expect(one.received.length).toBeGreaterThan(0);
    expect(other.received.length).toBeGreaterThan(0);
    expect(one.received.length + other.received.length).toBeLessThanOrEqual(120);
  });

  it('show also when the clock of one is so far behind that it is never answered', () => {
    const { network, colony, one, privateKey } = twins();
    one.say(colony, 1);
    network.clock.advance(100);
    const late = new VirtualClock({ wall: network.clock.now() - 3_600_000 });
    const place = { carrier: 'udp', address: '192.0.2.99', port: 9 } as const;
    const { bytes } = network.random.fork('late');
    const device = new WireGuardDevice({
      privateKey,
      clock: late,
      random: bytes,
      output: { send: (datagram) => colony.device.onDatagram(datagram, place), receive: () => {}, event: () => {} },
    });
    const peer = device.addPeer({
      publicKey: colony.device.publicKey,
      allowedIps: [colony.address],
      endpoint: colony.place,
    });
    late.attach(device);
    device.initiate(peer);
    late.advance(20_000);
    network.clock.advance(100);
    expect(colony.drops.stale_initiation).toBeGreaterThanOrEqual(3);
    expect(colony.kinds().filter((kind) => kind === 'key_shared')).toHaveLength(1);
    expect(colony.counters.handshakes).toBe(1);
  });

  it('are not suspected in one that roams, or that is started anew', () => {
    const { network, colony, one, privateKey } = twins();
    for (let i = 0; i < 20; i++) {
      one.socket.moveTo(`192.0.3.${i % 2}`, 1_000 + i);
      one.say(colony, i);
      network.clock.advance(10_000);
    }
    let last = one;
    for (let i = 0; i < 3; i++) {
      last.device.close();
      last = new End(network, { name: `again ${i}`, at: `192.0.4.${i}`, address: '10.137.0.11', privateKey });
      last.addPeer(colony);
      last.say(colony, 1);
      network.clock.advance(90_000);
    }
    expect(colony.kinds()).not.toContain('key_shared');
  });
});
