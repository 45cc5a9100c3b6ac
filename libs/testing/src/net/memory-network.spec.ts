import { describe, expect, it } from 'vitest';
import type { Impairments } from './impairments.js';
import { MemoryLink, MemoryNetwork, type SeenDatagram } from './memory-network.js';
import { SeededRandom } from './seeded-random.js';
import { VirtualClock } from './virtual-clock.js';

function twoSockets(impairments: Partial<Impairments> = {}, seed: number | string = 1) {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed, impairments });
  const heard: { at: number; text: string; from: string }[] = [];
  const start = clock.monotonic();
  const left = network.open('192.0.2.1', 1_000, () => undefined);
  const right = network.open('192.0.2.2', 2_000, (datagram, from) =>
    heard.push({ at: clock.monotonic() - start, text: datagram.toString(), from: `${from.address}:${from.port}` }),
  );
  return { clock, network, left, right, heard };
}

describe('a memory network', () => {
  it('carries a datagram to where it is sent, after the delay, never inside the call', () => {
    const { clock, left, right, heard } = twoSockets({ delayMs: 20 });
    left.send(Buffer.from('hello'), right.place);
    expect(heard).toEqual([]);
    clock.runUntilIdle(1_000);
    expect(heard).toEqual([{ at: 20, text: 'hello', from: '192.0.2.1:1000' }]);
  });

  it('loses what is sent where nobody is', () => {
    const { clock, network, left, right, heard } = twoSockets();
    left.send(Buffer.from('lost'), { address: '192.0.2.9', port: 9 });
    right.close();
    left.send(Buffer.from('late'), right.place);
    clock.runUntilIdle(1_000);
    expect(heard).toEqual([]);
    expect(() => network.open('192.0.2.1', 1_000, () => undefined)).toThrow('192.0.2.1:1000 is taken');
  });

  it('lets a socket roam: new sender, nothing at the old place', () => {
    const { clock, left, right, heard } = twoSockets({ delayMs: 5 });
    left.moveTo('198.51.100.7', 7);
    left.send(Buffer.from('from afar'), right.place);
    clock.runUntilIdle(1_000);
    const old = right.place;
    left.send(Buffer.from('too late'), old);
    right.moveTo('192.0.2.3', 3);
    clock.runUntilIdle(1_000);
    left.send(Buffer.from('found'), right.place);
    clock.runUntilIdle(1_000);
    expect(heard.map(({ text, from }) => [text, from])).toEqual([
      ['from afar', '198.51.100.7:7'],
      ['found', '198.51.100.7:7'],
    ]);
  });

  it('repeats a run exactly, and one path does not disturb another', () => {
    const run = (bystander: boolean) => {
      const { clock, network, left, right, heard } = twoSockets({ loss: 0.2, jitterMs: 10, reorder: 0.1 }, 'same');
      const third = network.open('192.0.2.3', 3, () => undefined);
      for (let i = 0; i < 500; i += 1) {
        left.send(Buffer.from(String(i)), right.place);
        if (bystander) left.send(Buffer.from('noise'), third.place);
        clock.advance(1);
      }
      clock.runUntilIdle(1_000);
      return heard;
    };
    expect(run(false)).toEqual(run(true));
    expect(run(false).length).toBeGreaterThan(350);
    expect(run(false).length).toBeLessThan(450);
  });

  it('impairs one direction, or all, while it runs', () => {
    const { clock, network, left, right, heard } = twoSockets();
    const back: string[] = [];
    const third = network.open('192.0.2.3', 3, (datagram) => back.push(datagram.toString()));
    network.impairPath(left, right, { loss: 1 });
    left.send(Buffer.from('a'), right.place);
    right.send(Buffer.from('b'), third.place);
    clock.runUntilIdle(100);
    expect([heard.length, back]).toEqual([0, ['b']]);
    network.impair({ loss: 0, delayMs: 30 });
    left.send(Buffer.from('c'), right.place);
    clock.runUntilIdle(100);
    expect(heard.map(({ text }) => text)).toEqual(['c']);
    expect(network.counters(left, right)).toMatchObject({ offered: 2, delivered: 1, lost: 1 });
  });

  it('records with a tap, and an attacker replays from any address', () => {
    const { clock, network, left, right, heard } = twoSockets();
    const seen: SeenDatagram[] = [];
    const stop = network.tap((datagram) => seen.push(datagram));
    left.send(Buffer.from('secret'), right.place);
    stop();
    left.send(Buffer.from('unseen'), right.place);
    network.inject(seen[0]!.datagram, { address: '203.0.113.66', port: 66 }, right.place);
    clock.runUntilIdle(100);
    expect(seen.map(({ datagram }) => datagram.toString())).toEqual(['secret']);
    expect(heard.map(({ text, from }) => `${text} ${from}`)).toEqual([
      'secret 192.0.2.1:1000',
      'unseen 192.0.2.1:1000',
      'secret 203.0.113.66:66',
    ]);
  });

  it('gives each copy of a duplicate its own bytes', () => {
    const clock = new VirtualClock();
    const copies: Buffer[] = [];
    const link = new MemoryLink({
      clock,
      random: new SeededRandom(1),
      impairments: { duplicate: 1 },
      deliver: (packet) => copies.push(packet),
    });
    link.send(Buffer.from('twice'));
    clock.runUntilIdle(10);
    copies[0]!.fill(0);
    expect(copies[1]!.toString()).toBe('twice');
    expect(link.counters).toMatchObject({ offered: 1, delivered: 2, duplicated: 1 });
  });
});
