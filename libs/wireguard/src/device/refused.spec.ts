import { describe, expect, it } from 'vitest';
import { End, Network, pair } from '../spec-support/ends.js';

const end = (network: Network, host: number): End =>
  new End(network, { name: `end ${host}`, at: `192.0.2.${host}`, address: `10.137.0.${host}` });

describe('whoever asks for a session and may have none', () => {
  it('is told of by key and place, and hears nothing', () => {
    const network = new Network('refused');
    const colony = end(network, 1);
    const stranger = end(network, 2);
    stranger.device.initiate(stranger.addPeer(colony));
    network.clock.advance(50);
    expect(colony.events).toEqual([
      {
        kind: 'refused',
        publicKey: stranger.device.publicKey,
        endpoint: stranger.place,
        reason: 'unknown_peer',
        more: 0,
      },
    ]);
    expect(colony.counters.txDatagrams).toBe(0);
  });

  it('is told of at most once a second, with how many more there were', () => {
    const network = new Network('refused often');
    const colony = end(network, 1);
    const strangers = Array.from({ length: 5 }, (_, i) => end(network, 2 + i));
    const ask = (): void => {
      for (const one of strangers) one.device.initiate(one.addPeer(colony));
      network.clock.advance(50);
    };
    ask();
    expect(colony.events).toHaveLength(1);
    network.clock.advance(5_500);
    expect(colony.events.slice(1)).toMatchObject([{ kind: 'refused', more: 4 }, ...colony.events.slice(2)]);
    expect(colony.events.length).toBeLessThan(8);
    const told = colony.events.map((event) => (event.kind === 'refused' ? 1 + event.more : 0));
    const refused = colony.drops.unknown_peer ?? 0;
    expect(told.reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(refused);
  });

  it('is told of when it held a lease that is over', () => {
    const { left, right, clock } = pair();
    left.addPeer(right, { expiresAt: clock.now() + 1_000 });
    clock.advance(2_000);
    right.say(left, 1);
    clock.advance(50);
    expect(left.events.filter(({ kind }) => kind === 'refused')).toMatchObject([
      { publicKey: right.device.publicKey, reason: 'peer_expired', endpoint: right.place },
    ]);
    expect(left.counters.responsesSent).toBe(0);
  });
});
