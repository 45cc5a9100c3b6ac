import { describe, expect, it } from 'vitest';
import type { colonyV1 } from '@coral/rpc';
import { batch, edgeWindow, link, serviceWindow, sighting } from '../testing/store-fixture.js';
import { batchLimits, checkBatch } from './check-batch.js';

const now = Date.parse('2026-05-04T12:00:05Z');
const grid = now - 5_000;
const good = serviceWindow({ at: grid - 10_000, ms: [5, 6] });
const withLatency = (changes: Partial<colonyV1.LatencyHistogram>) => ({
  ...good,
  latency: { ...(good.latency as colonyV1.LatencyHistogram), ...changes },
});

describe('checkBatch', () => {
  it.each<[string, colonyV1.ServiceWindow, string]>([
    ['negative requests', { ...good, requests: -1 }, 'bad_count'],
    ['half a request', { ...good, requests: 1.5 }, 'bad_count'],
    ['more requests than can be counted', { ...good, requests: 2 ** 60 }, 'bad_count'],
    ['negative errors', { ...good, errors: -1 }, 'bad_count'],
    ['more errors than requests', { ...good, errors: 3 }, 'bad_count'],
    ['no service', { ...good, service: '  ' }, 'no_service'],
    ['no length', { ...good, lengthMs: 0 }, 'bad_length'],
    ['a length of a day', { ...good, lengthMs: 86_400_000 }, 'bad_length'],
    ['more than an hour ahead', { ...good, startMs: now + 3_600_001 }, 'too_far_ahead'],
    ['older than a week', { ...good, startMs: now - 7 * 86_400_000 - 1 }, 'too_old'],
    ['a time that is no number', { ...good, startMs: NaN }, 'bad_time'],
    ['a negative time', { ...good, startMs: -1 }, 'bad_time'],
    ['fewer counts than buckets', withLatency({ counts: [1] }), 'bad_histogram'],
    ['buckets out of order', withLatency({ buckets: [800, 700] }), 'bad_histogram'],
    ['the same bucket twice', withLatency({ buckets: [700, 700] }), 'bad_histogram'],
    ['a bucket beyond all latencies', withLatency({ buckets: [700, 9_999] }), 'bad_histogram'],
    ['a negative count', withLatency({ counts: [3, -1] }), 'bad_histogram'],
    ['a sum that is no number', withLatency({ sumNs: NaN }), 'bad_histogram'],
    ['a minimum above the maximum', withLatency({ minNs: 9e9 }), 'bad_histogram'],
    ['more observations than requests', withLatency({ zeroCount: 5 }), 'bad_histogram'],
  ])('refuses a window with %s and keeps its neighbours', (_name, bad, reason) => {
    const checked = checkBatch(batch(1, { windows: [good, bad, good] }), now);
    expect(checked.windows).toHaveLength(2);
    expect(checked.refused).toEqual({ [reason]: 1 });
  });

  it('moves a window from the future to its arrival, and says so', () => {
    const ahead = serviceWindow({ at: grid + 3_590_000 });
    const checked = checkBatch(batch(1, { windows: [good, ahead], edges: [edgeWindow({ at: grid + 60_000 })] }), now);
    expect(checked.windows.map((row) => row.startMs)).toEqual([grid - 10_000, grid]);
    expect(checked.edges[0]?.startMs).toBe(grid);
    expect(checked).toMatchObject({ clamped: 2, refused: {} });
  });

  it('leaves the window that is being filled where it is', () => {
    const checked = checkBatch(batch(1, { windows: [serviceWindow({ at: grid })] }), now);
    expect(checked).toMatchObject({ clamped: 0, windows: [{ startMs: grid }] });
  });

  it('cuts long names and takes control characters out of them', () => {
    const name = `${'x'.repeat(300)}`;
    const windows = [{ ...good, service: name, route: 'a\u001b[31m\nb' }];
    const checked = checkBatch(batch(1, { windows }), now);
    expect(checked.windows[0]?.service).toHaveLength(batchLimits.maxTextLength);
    expect(checked.windows[0]?.route).toBe('a [31m b');
    expect(checked.trimmed).toBe(1);
  });

  it('refuses edges of no kind, halves of calls without ids or address, and sightings that end before they begin', () => {
    const half = link(1, 1, 'cart', 'billing:8080', now);
    const checked = checkBatch(
      batch(1, {
        edges: [{ ...edgeWindow({ at: grid }), kind: 0 }],
        links: [half, { ...half, traceId: Buffer.alloc(3) }, { ...half, address: '' }, { ...half, side: 0 }],
        sightings: [sighting('cart', '1', 'a', now, now - 1), sighting('cart', '1', 'b', now, now)],
      }),
      now,
    );
    expect(checked.refused).toEqual({ bad_kind: 2, bad_id: 1, no_address: 1, bad_time: 1 });
    expect(checked.links).toHaveLength(1);
    expect(checked.sightings).toHaveLength(1);
  });

  it('lets a process be no older than the store can remember', () => {
    const checked = checkBatch(batch(1, { sightings: [sighting('cart', '1', 'a', 0, now)] }), now);
    expect(checked.sightings[0]?.firstSeenMs).toBe(now - batchLimits.maxAgeMs);
  });
});
