import { expect, it } from 'vitest';
import { batch, edgeWindow, HandClock, link, openStore, serviceWindow, sighting } from './testing/store-fixture.js';

const noon = Date.parse('2026-05-04T12:00:00Z');
const day = 86_400_000;

it('forgets what is older than the retention, by itself, and keeps what later answers need', async () => {
  const clock = new HandClock(noon);
  await using opened = await openStore(clock, { retentionMs: 2 * day });
  const { store } = opened;
  await store.ingest(
    'agt-a',
    batch(1, {
      windows: [serviceWindow({ at: noon - 10_000 }), serviceWindow({ at: noon - 10_000, service: 'gone' })],
      edges: [edgeWindow({ at: noon - 10_000 })],
      links: [link(1, 1, 'cart', 'billing:8080', noon), link(1, 2, 'billing', '', noon)],
      sightings: [sighting('cart', '1.0.0', 'a', noon - 20_000, noon), sighting('cart', '1.1.0', 'b', noon, noon)],
    }),
  );
  const everything = { from: 0, to: noon * 2, limit: 10 };
  const events = () => store.read((view) => view.events(everything));
  const windows = () => store.read((view) => view.serviceGroups(everything, ['service']));
  expect(await events()).toHaveLength(1);

  clock.advance(2 * day + 60_000);
  const later = clock.now();
  await store.ingest('agt-b', batch(1, { windows: [serviceWindow({ at: later - 10_000 })] }));
  expect(await windows()).toMatchObject([{ service: 'cart', requests: 1 }]);
  expect(await store.read((view) => view.edgeGroups(everything))).toEqual([]);
  expect(await events()).toEqual([]);
  expect((await store.read((view) => view.services())).map((service) => service.name)).toEqual(['cart']);

  // The version that ran last is still known: the next one is a deployment, not a first sight.
  await store.ingest('agt-a', batch(2, { sightings: [sighting('cart', '1.2.0', 'c', later, later)] }));
  expect(await events()).toMatchObject([{ type: 'deploy', previous_version: '1.1.0', version: '1.2.0' }]);
});

it('still knows a batch again, and where the outbox stands, long after its windows have been forgotten', async () => {
  const clock = new HandClock(noon);
  await using opened = await openStore(clock, { retentionMs: 3_600_000 });
  const first = batch(1, { windows: [serviceWindow({ at: noon - 10_000 })] });
  await opened.store.ingest('agt-a', first);
  clock.advance(3 * day);
  await opened.store.prune();
  expect(await opened.store.read((view) => view.dataBegin())).toBeUndefined();
  expect(await opened.store.ingest('agt-a', first)).toMatchObject({ duplicate: true, durableSeq: 1 });
  expect(await opened.store.ingest('agt-a', batch(2))).toMatchObject({ duplicate: false, durableSeq: 2 });
});
