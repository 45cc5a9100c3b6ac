import { describe, expect, it } from 'vitest';
import { End, Network, pair } from '../spec-support/ends.js';
import { packet } from '../spec-support/packets.js';

/** A hub with two peers, both with a session. */
function hub() {
  const network = new Network('hub');
  const colony = new End(network, { name: 'colony', at: '192.0.2.1', address: '10.137.0.1' });
  const one = new End(network, { name: 'one', at: '192.0.2.11', address: '10.137.0.11' });
  const other = new End(network, { name: 'other', at: '192.0.2.12', address: '10.137.0.12' });
  for (const end of [one, other]) {
    colony.addPeer(end, { allowedIps: [end.address] });
    end.addPeer(colony, { allowedIps: ['10.137.0.0/16', 'fd42:c0a1::/48'] });
    end.say(colony, 1);
  }
  network.clock.advance(50);
  for (const end of [colony, one, other]) end.heard();
  return { network, colony, one, other };
}

describe('cryptokey routing', () => {
  it('drops an inner source that is not the sender’s own, whoever else it belongs to', () => {
    const { network, colony, one, other } = hub();
    for (const source of [other.address, colony.address, '10.137.0.13', '8.8.8.8']) {
      one.device.sendPacket(packet(source, colony.address));
    }
    one.device.sendPacket(packet('fd42:c0a1::11', 'fd42:c0a1::1'));
    network.clock.advance(50);
    expect(colony.heard()).toEqual([]);
    expect(colony.drops).toEqual({ source_not_allowed: 5 });
    // And from the colony to one, only what comes out of the blocks one accepts.
    colony.device.sendPacket(packet('8.8.8.8', one.address));
    colony.device.sendPacket(packet(other.address, one.address, { number: 7 }));
    network.clock.advance(50);
    expect(one.heard()).toEqual([7]);
    expect(one.drops).toEqual({ source_not_allowed: 1 });
  });

  it('sends by the longest prefix, and to nobody what nobody has', () => {
    const { network, colony, one, other } = hub();
    colony.addPeer(one, { allowedIps: [one.address, '10.0.0.0/8', 'fd42:c0a1::/48'] });
    colony.addPeer(other, { allowedIps: [other.address, '10.200.0.0/16', 'fd42:c0a1:1::/48'] });
    one.addPeer(colony, { allowedIps: ['0.0.0.0/0', '::/0'] });
    other.addPeer(colony, { allowedIps: ['0.0.0.0/0', '::/0'] });
    const destinations = ['10.1.2.3', '10.200.1.1', '10.137.0.12', 'fd42:c0a1::5', 'fd42:c0a1:1::5'];
    for (const [number, to] of destinations.entries()) {
      const from = to.includes(':') ? 'fd42:c0a1::1' : colony.address;
      expect(colony.device.sendPacket(packet(from, to, { number })), to).toBe('sent');
    }
    network.clock.advance(50);
    expect(one.heard()).toEqual([0, 3]);
    expect(other.heard()).toEqual([1, 2, 4]);
    expect(colony.device.sendPacket(packet(colony.address, '11.0.0.1'))).toBe('no_route');
    expect(colony.device.sendPacket(packet('fd42:c0a1::1', 'fe80::1'))).toBe('no_route');
  });

  it('gives no block to two live peers; says whose it is, and changes nothing', () => {
    const { colony, one, other } = hub();
    const taken = expect.objectContaining({
      reason: 'allowed_ip_taken',
      message: expect.stringContaining('10.137.0.12'),
    });
    expect(() => colony.addPeer(one, { allowedIps: ['10.137.0.99', other.address] })).toThrow(taken);
    expect(colony.say(one, 1)).toBe('sent');
    expect(colony.device.sendPacket(packet(colony.address, '10.137.0.99'))).toBe('no_route');
  });

  it('gives the block of a peer whose lease is over to the next one, for good', () => {
    const { network, colony, one, other } = hub();
    colony.addPeer(one, { expiresAt: network.clock.now() + 1_000 });
    network.clock.advance(1_000);
    colony.addPeer(other, { allowedIps: [one.address, other.address] });
    colony.device.removePeer(one.device.publicKey);
    other.addPeer(colony, { allowedIps: ['10.137.0.0/16'] });
    expect(colony.device.sendPacket(packet(colony.address, one.address, { number: 4 }))).toBe('sent');
    network.clock.advance(50);
    expect(other.heard()).toEqual([4]);
  });

  it('moves blocks when a peer is updated', () => {
    const { colony, one } = hub();
    colony.addPeer(one, { allowedIps: ['10.137.9.0/24'] });
    expect(colony.say(one, 1)).toBe('no_route');
    expect(colony.device.sendPacket(packet(colony.address, '10.137.9.200'))).toBe('sent');
  });
});

// Pitfall 10.
describe('the length of an inner packet', () => {
  it('is its own: padding is cut off, a keepalive is not handed up', () => {
    const { left, right, clock } = pair();
    for (const bytes of [20, 21, 35, 36, 84, 1_403, 1_420]) {
      left.device.sendPacket(packet(left.address, right.address, { bytes }));
      clock.advance(30);
      expect(right.received.pop()?.length).toBe(bytes);
    }
    expect(left.device.sendPacket(packet(left.address, right.address, { bytes: 1_421 }))).toBe('too_large');
    expect(left.drops).toEqual({ too_large: 1 });
  });

  it('that is not true drops the packet', () => {
    const { left, right, clock } = pair();
    left.say(right, 1);
    clock.advance(30);
    right.heard();
    const good = packet(left.address, right.address, { bytes: 64 });
    const session = left.device.peers()[0]!.sessions.current!;
    const broken = (change: (bad: Buffer) => void, length = 64) => {
      const bad = Buffer.from(good.subarray(0, length));
      change(bad);
      right.device.onDatagram(session.seal(bad, 1420) as Buffer, left.place);
    };
    broken((bad) => bad.writeUInt16BE(65, 2));
    broken((bad) => bad.writeUInt16BE(19, 2));
    broken((bad) => bad.writeUInt16BE(0, 2));
    broken((bad) => (bad[0] = 0x44));
    broken((bad) => (bad[0] = 0x4f), 32);
    broken((bad) => (bad[0] = 0x55));
    broken((bad) => (bad[0] = 0x00));
    broken((bad) => (bad[0] = 0x60), 32);
    broken((bad) => bad.fill(0xff, 0, 8));
    broken(() => {}, 16);
    expect(right.received).toEqual([]);
    expect(right.drops).toEqual({ bad_inner_packet: 10 });
    for (const bad of [Buffer.alloc(0), Buffer.alloc(19, 0x45), Buffer.alloc(1_420), good.subarray(0, 60)]) {
      expect(left.device.sendPacket(bad)).toBe('no_route');
    }
  });
});

// Pitfall 12.
describe('roaming', () => {
  it('follows the newest authenticated packet, at once and both ways', () => {
    const { left, right, clock, toLeft } = pair();
    left.say(right, 1);
    clock.advance(30);
    left.socket.moveTo('198.51.100.4', 5555);
    left.say(right, 2);
    clock.advance(10);
    right.say(left, 3);
    clock.advance(10);
    expect(left.heard()).toEqual([3]);
    expect(right.events.at(-1)).toEqual({
      kind: 'roamed',
      peer: toLeft,
      from: { carrier: 'udp', address: '192.0.2.1', port: 41820 },
      to: { carrier: 'udp', address: '198.51.100.4', port: 5555 },
    });
    expect(right.counters.roamed).toBe(1);
  });

  it('goes over to another carrier and back', () => {
    const { left, right, clock, wire, toLeft } = pair();
    left.say(right, 1);
    clock.advance(30);
    let datagram: Buffer = Buffer.alloc(0);
    wire.tap((seen) => (datagram = seen.datagram));
    left.say(right, 2);
    const relay = { carrier: 'ws', address: '00112233445566778899aabbccddeeff', port: 0 } as const;
    right.device.onDatagram(datagram, relay);
    expect(toLeft.endpoint).toBe(relay);
    left.say(right, 3);
    clock.advance(10);
    expect(toLeft.endpoint).toEqual(left.place);
  });

  it('is not done by anything that is forged, replayed or older than what was heard', () => {
    const { left, right, clock, wire, toLeft } = pair();
    left.say(right, 1);
    clock.advance(30);
    const attacker = { address: '203.0.113.5', port: 9 };
    const held: Buffer[] = [];
    wire.impair({ loss: 1 });
    wire.tap((seen) => held.push(seen.datagram));
    left.say(right, 2);
    left.say(right, 3);
    const [older, newer] = held as [Buffer, Buffer];
    wire.inject(newer, left.place, right.place);
    clock.advance(0);
    // Held back and sent on from elsewhere: delivered, but it says where the peer was.
    wire.inject(older, attacker, right.place);
    wire.inject(newer, attacker, right.place);
    const forged = Buffer.from(newer);
    forged.writeUInt32LE(1_000, 8);
    wire.inject(forged, attacker, right.place);
    clock.advance(1);
    expect(right.heard()).toEqual([1, 3, 2]);
    expect(right.drops).toEqual({ replayed: 1, bad_packet: 1 });
    expect(toLeft.endpoint).toEqual(left.place);
    expect(right.kinds()).toEqual(['handshake']);
  });
});
