import { describe, expect, it } from 'vitest';
import { percentile } from '@coral/model';
import {
  batch,
  edgeWindow,
  HandClock,
  link,
  openStore,
  randomFrom,
  serviceWindow,
  sighting,
} from './testing/store-fixture.js';

const noon = Date.parse('2026-05-04T12:00:00Z');
const all = { from: 0, to: noon + 86_400_000 };

describe('merging', () => {
  it('keeps percentiles within 1.1 % of the exact nearest rank, merged over 20 agents', async () => {
    const clock = new HandClock(noon);
    await using opened = await openStore(clock);
    const random = randomFrom(7);
    const values: number[] = [];
    for (let agent = 0; agent < 20; agent += 1) {
      const windows = [];
      for (let w = 0; w < 6; w += 1) {
        const ms = Array.from({ length: 40 }, () => Math.exp(random() * 9) / 100 + (random() < 0.05 ? 500 : 0));
        values.push(...ms);
        windows.push(serviceWindow({ at: noon - 60_000 + w * 10_000, ms, route: `/r${w % 3}` }));
      }
      await opened.store.ingest(`agt-${agent}`, batch(1, { windows }));
    }
    values.sort((a, b) => a - b);
    const [group] = await opened.store.read((view) => view.serviceGroups(all, []));
    expect(group?.requests).toBe(20 * 6 * 40);
    for (const p of [0.5, 0.9, 0.95, 0.99, 0.999]) {
      const exact = values[Math.ceil(p * values.length) - 1] as number;
      const merged = (percentile(group!.latency, p) as number) / 1e6;
      expect(Math.abs(merged / exact - 1)).toBeLessThan(0.011);
    }
    expect(group!.latency.max / 1e6).toBeCloseTo(values.at(-1) as number, 6);
    expect(group!.latency.min / 1e6).toBeCloseTo(values[0] as number, 6);
  });

  it('adds batches up: the same window in many batches is one row with the percentiles of the whole', async () => {
    await using opened = await openStore(new HandClock(noon));
    for (let seq = 1; seq <= 5; seq += 1) {
      const ms = [seq * 10, seq * 10];
      await opened.store.ingest(
        'agt-a',
        batch(seq, { windows: [serviceWindow({ at: noon - 10_000, ms, errors: 1 })] }),
      );
    }
    const [group] = await opened.store.read((view) => view.serviceGroups(all, ['service', 'route', 'version']));
    expect(group).toMatchObject({ service: 'cart', route: '/pay', version: '1.0.0', requests: 10, errors: 5 });
    expect((percentile(group!.latency, 0.5) as number) / 1e6).toBeCloseTo(30, 0);
  });

  it('adds edges up by caller and callee', async () => {
    await using opened = await openStore(new HandClock(noon));
    const edges = [
      edgeWindow({ at: noon - 10_000, ms: [1, 2] }),
      edgeWindow({ at: noon - 20_000, ms: [3], errors: 1 }),
    ];
    await opened.store.ingest('agt-a', batch(1, { edges }));
    const groups = await opened.store.read((view) => view.edgeGroups(all));
    expect(groups).toMatchObject([{ service: 'cart', address: 'billing:8080', requests: 3, errors: 1 }]);
  });
});

describe('idempotency', () => {
  const one = (seq: number) => batch(seq, { windows: [serviceWindow({ at: noon - 10_000 })] });
  const requests = async (opened: Awaited<ReturnType<typeof openStore>>) =>
    (await opened.store.read((view) => view.serviceGroups(all, [])))[0]?.requests;

  it('adds a batch once, however often it is sent', async () => {
    await using opened = await openStore(new HandClock(noon));
    expect(await opened.store.ingest('agt-a', one(1))).toMatchObject({ durableSeq: 1, duplicate: false });
    expect(await opened.store.ingest('agt-a', one(1))).toMatchObject({ durableSeq: 1, duplicate: true });
    expect(await requests(opened)).toBe(1);
  });

  it('adds a batch once when it is sent twice at the same time', async () => {
    await using opened = await openStore(new HandClock(noon));
    const results = await Promise.all([1, 1, 1, 2, 2].map((seq) => opened.store.ingest('agt-a', one(seq))));
    expect(results.filter((r) => !r.duplicate)).toHaveLength(2);
    expect(await requests(opened)).toBe(2);
  });

  it('keeps what comes after a gap but promises only what has no gap before it', async () => {
    await using opened = await openStore(new HandClock(noon));
    const durable = [];
    for (const seq of [1, 4, 3, 4, 2, 2]) durable.push((await opened.store.ingest('agt-a', one(seq))).durableSeq);
    expect(durable).toEqual([1, 1, 1, 1, 4, 4]);
    expect(await requests(opened)).toBe(4);
  });

  it('counts each agent and each epoch by itself', async () => {
    await using opened = await openStore(new HandClock(noon));
    await opened.store.ingest('agt-a', one(1));
    expect(await opened.store.ingest('agt-b', one(1))).toMatchObject({ durableSeq: 1, duplicate: false });
    expect(await opened.store.ingest('agt-a', { ...one(1), epoch: 'e2' })).toMatchObject({ duplicate: false });
    expect(await requests(opened)).toBe(3);
  });

  it('does not wait for batches that the agent says it no longer holds', async () => {
    await using opened = await openStore(new HandClock(noon));
    expect((await opened.store.ingest('agt-a', one(7))).durableSeq).toBe(0);
    expect((await opened.store.ingest('agt-a', { ...one(8), oldestSeq: 6 })).durableSeq).toBe(5);
    expect((await opened.store.ingest('agt-a', { ...one(6), oldestSeq: 6 })).durableSeq).toBe(8);
  });

  it('refuses a batch without epoch or with a seq that does not count', async () => {
    await using opened = await openStore(new HandClock(noon));
    await expect(opened.store.ingest('agt-a', { ...one(1), epoch: '' })).rejects.toMatchObject({ reason: 'bad_batch' });
    await expect(opened.store.ingest('agt-a', one(0))).rejects.toMatchObject({ reason: 'bad_batch', where: 'seq' });
  });
});

describe('peers', () => {
  it('learns which service answers at an address when the halves of a call meet, in either order', async () => {
    await using opened = await openStore(new HandClock(noon));
    const at = noon - 5_000;
    await opened.store.ingest('agt-a', batch(1, { links: [link(1, 1, 'cart', 'billing:8080', at)] }));
    await opened.store.ingest(
      'agt-b',
      batch(1, { links: [link(1, 2, 'billing', '', at), link(2, 2, 'stock', '', at)] }),
    );
    await opened.store.ingest('agt-a', batch(2, { links: [link(2, 1, 'cart', '10.0.0.9:80', at)] }));
    const ids = await opened.store.read(async (view) => {
      const resolver = await view.nodeResolver(noon - 60_000);
      return ['billing:8080', '10.0.0.9:80', 'api.example:443'].map((address) =>
        resolver.nodeOf({ service: 'cart', kind: 'request', address, system: 'http', name: '' }),
      );
    });
    expect(ids).toMatchObject([
      { id: 'billing', kind: 'service' },
      { id: 'stock', kind: 'service' },
      { id: 'http@api.example:443', kind: 'external' },
    ]);
  });

  it('does not choose between two services that answered at one address', async () => {
    await using opened = await openStore(new HandClock(noon));
    const at = noon - 5_000;
    const links = [1, 2].flatMap((n) => [link(n, 1, 'web', 'proxy:80', at), link(n, 2, n === 1 ? 'a' : 'b', '', at)]);
    await opened.store.ingest('agt-a', batch(1, { links }));
    const { node, ambiguous } = await opened.store.read(async (view) => {
      const resolver = await view.nodeResolver(noon - 60_000);
      const edge = { service: 'web', kind: 'request' as const, address: 'proxy:80', system: 'http', name: '' };
      return { node: resolver.nodeOf(edge), ambiguous: [...resolver.ambiguous] };
    });
    expect(node).toMatchObject({ id: 'http@proxy:80', kind: 'external' });
    expect(ambiguous).toEqual([['http@proxy:80', ['a', 'b']]]);
  });
});

describe('events', () => {
  const events = (opened: Awaited<ReturnType<typeof openStore>>) =>
    opened.store.read((view) => view.events({ from: 0, to: noon * 2, limit: 100 }));

  it('is independent of the order in which sightings come in', async () => {
    const seen = [
      sighting('cart', '1.0.0', 'a', noon - 600_000, noon - 300_000),
      sighting('cart', '1.1.0', 'b', noon - 290_000, noon - 200_000),
      sighting('cart', '1.0.0', 'c', noon - 190_000, noon - 100_000),
      sighting('cart', '1.0.0', 'd', noon - 90_000, noon - 1_000),
    ];
    const told = [];
    for (const order of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [1, 3, 0, 2],
    ]) {
      await using opened = await openStore(new HandClock(noon));
      for (const [i, index] of order.entries()) {
        await opened.store.ingest('agt-a', batch(i + 1, { sightings: [seen[index]!] }));
      }
      told.push((await events(opened)).map((e) => [e.type, e.previous_version ?? '', e.version, e.at]));
    }
    expect(told[1]).toEqual(told[0]);
    expect(told[2]).toEqual(told[0]);
    expect(told[0]).toEqual([
      ['restart', '', '1.0.0', new Date(noon - 90_000).toISOString()],
      ['deploy', '1.1.0', '1.0.0', new Date(noon - 190_000).toISOString()],
      ['deploy', '1.0.0', '1.1.0', new Date(noon - 290_000).toISOString()],
    ]);
  });

  it('forgets a restart when the earlier process turns out to live on', async () => {
    await using opened = await openStore(new HandClock(noon));
    const first = sighting('cart', '1.0.0', 'a', noon - 600_000, noon - 100_000);
    const second = sighting('cart', '1.0.0', 'b', noon - 90_000, noon - 80_000);
    await opened.store.ingest('agt-a', batch(1, { sightings: [first, second] }));
    expect((await events(opened)).map((e) => e.type)).toEqual(['restart']);
    await opened.store.ingest('agt-a', batch(2, { sightings: [{ ...first, lastSeenMs: noon }] }));
    expect(await events(opened)).toEqual([]);
  });
});
