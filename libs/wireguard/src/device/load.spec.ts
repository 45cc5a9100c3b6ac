import { describe, expect, it } from 'vitest';
import { InitiatorHandshake, localIdentity, remoteIdentity, Tai64n } from '../noise/index.js';
import { End, Network, pair } from '../spec-support/ends.js';
import type { Endpoint } from '../index.js';

/** Initiations with a right mac1 from somebody the device does not know: they cost it a DH each unless it asks for cookies. */
function attacker(network: Network, victim: End) {
  const { bytes } = network.random.fork('attacker');
  const local = localIdentity(bytes(32));
  const remote = remoteIdentity(local, victim.device.publicKey);
  const timestamp = new Tai64n(network.clock).next();
  // One will do: nobody remembers what strangers sent.
  const { message } = new InitiatorHandshake(local, remote, { localIndex: 7, timestamp, random: bytes });
  return (from: Endpoint) => victim.device.onDatagram(message, from);
}
const source = (i: number): Endpoint => ({ carrier: 'udp', address: `198.51.${i >> 8}.${i & 255}`, port: 1024 });

/** A pair of which nobody has spoken, the right one under load: its backlog is as long as cookies need. */
function loaded(limits = {}) {
  const made = pair({ limits });
  const { network, right } = made;
  const attack = attacker(network, right);
  for (let i = 0; i < 128; i++) attack(source(i));
  expect(right.device.backlog).toBe(128);
  expect(right.device.underLoad).toBe(false);
  attack(source(128));
  expect(right.device.underLoad).toBe(true);
  return { ...made, attack };
}

describe('under load', () => {
  it('nobody is asked for a cookie before it is so, nor a second after', () => {
    const { right, clock, attack } = loaded();
    expect(right.counters.cookieRepliesSent).toBe(1);
    right.device.runBacklog(1_000);
    expect(right.device.backlog).toBe(0);
    expect(right.drops).toEqual({ cookie_required: 1, unknown_peer: 128 });
    clock.advance(999);
    attack(source(1));
    expect(right.counters.cookieRepliesSent).toBe(2);
    clock.advance(1);
    attack(source(1));
    expect(right.counters.cookieRepliesSent).toBe(2);
    expect(right.device.backlog).toBe(1);
  });

  it('a handshake goes through with a cookie, soon; a tenth of a second is all it costs', () => {
    const { left, right, clock, attack, toRight } = loaded();
    left.say(right, 1);
    // It stays under load for as long as it is attacked.
    for (let ms = 0; ms < 200; ms++) {
      attack(source(ms));
      clock.advance(1);
    }
    expect(right.heard()).toEqual([1]);
    expect(left.counters).toMatchObject({ cookieRepliesTaken: 1, initiationsSent: 2 });
    expect(toRight.sessions.current?.initiator).toBe(true);
    expect(right.drops.cookie_required).toBeGreaterThan(1);
  });

  // Pitfall 3, the paper's own timing.
  it('without the early retry the cookie is used by the retry that is due anyway', () => {
    const { left, right, clock, attack } = loaded({ cookieRetryMs: Infinity });
    left.say(right, 1);
    for (let ms = 0; ms < 5_000; ms += 10) {
      attack(source(ms));
      clock.advance(10);
      // Nobody answers: under load all the time.
    }
    expect(left.counters.initiationsSent).toBe(1);
    for (let ms = 0; ms < 400; ms += 10) {
      attack(source(ms));
      clock.advance(10);
    }
    expect(left.counters.initiationsSent).toBe(2);
    expect(right.heard()).toEqual([1]);
  });

  it('cookies make us try early once in a round, however many come', () => {
    const { left, right, clock, attack, wire } = loaded();
    // Somebody on the path takes mac2 out of every initiation, so that each is answered by another cookie.
    wire.impairPath(left.socket, right.socket, { loss: 1 });
    wire.tap((seen) => {
      if (seen.datagram[0] !== 1 || seen.from.address !== '192.0.2.1') return;
      const stripped = Buffer.concat([seen.datagram.subarray(0, 132), Buffer.alloc(16)]);
      wire.inject(stripped, left.place, right.place);
    });
    left.say(right, 1);
    for (let ms = 0; ms < 4_900; ms += 10) {
      attack(source(ms));
      clock.advance(10);
    }
    expect(left.counters.cookieRepliesTaken).toBe(2);
    expect(left.counters.initiationsSent).toBe(2);
  });

  it('a source that has a cookie is still held to 20 handshakes a second', () => {
    const network = new Network('rate');
    const right = new End(network, {
      name: 'right',
      at: '192.0.2.2',
      address: '10.137.0.2',
      limits: { backlogUnderLoad: 1, cookieRepliesPerSource: 100 },
    });
    const ends = Array.from({ length: 40 }, (_, i) => {
      const left = new End(network, { name: `left ${i}`, at: `192.0.3.${i}`, address: `10.137.1.${i}` });
      left.addPeer(right);
      right.addPeer(left);
      return left;
    });
    const attack = attacker(network, right);
    // All behind one address translator.
    for (const left of ends) left.socket.moveTo('192.0.2.77', 1_000 + ends.indexOf(left));
    const keepLoaded = () => {
      attack(source(1));
      attack(source(1));
    };
    const detach = network.clock.attach({ nextTimerAt: () => Infinity, onTimer: () => {}, endOfTurn: keepLoaded });
    for (const left of ends) left.say(right, 1);
    network.clock.advance(1_000);
    detach();
    expect(right.drops.rate_limited).toBeGreaterThanOrEqual(1);
    expect(right.counters.responsesSent).toBeLessThanOrEqual(5 + 20);
    expect(right.counters.responsesSent).toBeGreaterThanOrEqual(5);
  });

  it('cookie replies are capped per source and in all', () => {
    const { right, attack } = loaded({ cookieRepliesPerSource: 5, cookieReplies: 50 });
    const before = right.counters.cookieRepliesSent;
    for (let i = 0; i < 200; i++) attack(source(1));
    expect(right.counters.cookieRepliesSent - before).toBe(5);
    for (let i = 0; i < 200; i++) attack(source(1_000 + i));
    expect(right.counters.cookieRepliesSent).toBe(50);
  });

  it('what was remembered of a flood’s sources is forgotten soon after it', () => {
    const { right, clock, attack } = loaded();
    for (let i = 0; i < 10_000; i++) attack(source(i));
    expect(right.counters.sources).toBe(10_000);
    right.device.runBacklog(1_000);
    clock.advance(5_999);
    expect(right.counters.sources).toBe(10_000);
    clock.advance(1);
    expect(right.counters.sources).toBe(0);
    expect(right.device.nextTimerAt()).toBe(Infinity);
  });

  it('the backlog is bounded, and what does not fit is counted', () => {
    const network = new Network('backlog');
    const limits = { backlog: 50, backlogUnderLoad: 1_000 };
    const right = new End(network, { name: 'right', at: '192.0.2.2', address: '10.137.0.2', limits });
    const attack = attacker(network, right);
    for (let i = 0; i < 30; i++) attack(source(i));
    right.device.runBacklog(20);
    for (let i = 0; i < 60; i++) attack(source(i));
    expect(right.device.backlog).toBe(50);
    expect(right.drops).toEqual({ unknown_peer: 20, backlog_full: 20 });
    right.device.runBacklog(8);
    expect(right.device.backlog).toBe(42);
    right.device.runBacklog(100);
    expect(right.drops).toEqual({ unknown_peer: 70, backlog_full: 20 });
  });

  it('data is taken at once, handshakes when the turn is over', () => {
    const { left, right, clock, network, wire } = pair();
    const attack = attacker(network, right);
    left.say(right, 1);
    clock.advance(30);
    right.heard();
    let datagram: Buffer = Buffer.alloc(0);
    wire.tap((seen) => (datagram = seen.datagram));
    wire.impair({ loss: 1 });
    left.say(right, 2);
    for (let i = 0; i < 20; i++) attack(source(i));
    right.device.onDatagram(datagram, left.place);
    expect(right.heard()).toEqual([2]);
    expect(right.device.backlog).toBe(20);
  });
});

describe('initiations', () => {
  it('of one peer are answered at most every 20 ms', () => {
    const network = new Network('flood');
    const privateKey = network.random.bytes(32);
    const right = new End(network, { name: 'right', at: '192.0.2.2', address: '10.137.0.2' });
    const local = localIdentity(privateKey);
    right.device.addPeer({ publicKey: local.publicKey, allowedIps: ['10.137.0.3'] });
    const remote = remoteIdentity(local, right.device.publicKey);
    const timestamps = new Tai64n(network.clock);
    for (let i = 0; i < 100; i++) {
      const o = { localIndex: i, timestamp: timestamps.next(), random: network.random.bytes };
      right.device.onDatagram(new InitiatorHandshake(local, remote, o).message, source(1));
      network.clock.advance(1);
    }
    expect(right.counters.responsesSent).toBe(5);
    expect(right.drops).toEqual({ initiation_flood: 95 });
  });

  it('without a right mac1 get nothing at all', () => {
    const { left, right, clock, wire } = pair();
    wire.tap((seen) => {
      if (seen.datagram[0] !== 1) return;
      const bad = Buffer.from(seen.datagram);
      bad[120] = (bad[120] as number) ^ 1;
      wire.inject(bad, source(5), right.place);
    });
    wire.impairPath(left.socket, right.socket, { loss: 1 });
    left.say(right, 1);
    clock.advance(1);
    expect(right.drops).toEqual({ bad_mac1: 1 });
    expect(right.counters.txDatagrams).toBe(0);
    expect(right.device.backlog).toBe(0);
  });
});
