import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoralError, type ErrorKind } from '@coral/errors';
import type { colonyV1 } from '@coral/rpc';
import { LogBook, scratch } from '../spec-support/fixtures.js';
import { Outbox } from './outbox.js';
import { firstBackoffMs, maxBackoffMs, refusedBackoffMs, SummaryPusher, type SummarySink } from './pusher.js';

const empty = { producedAtMs: 1, windows: [], edges: [], links: [], sightings: [] };
const failure = (kind: ErrorKind) => new CoralError({ kind, reason: 'spec', message: 'no' });

/** A colony that does what the spec says next. */
class ScriptedSink implements SummarySink {
  readonly pushed: number[] = [];
  readonly oldest: (number | undefined)[] = [];
  announcements = 0;
  script: (CoralError | number | 'ok')[] = [];
  onIdle: () => void = () => {};

  async announce(): Promise<void> {
    this.announcements++;
  }

  async push(request: colonyV1.PushSummaryRequest): Promise<number> {
    this.pushed.push(request.seq);
    this.oldest.push(request.oldestSeq);
    const next = this.script.shift() ?? 'ok';
    if (next instanceof CoralError) throw next;
    return next === 'ok' ? request.seq : next;
  }
}

let home: Awaited<ReturnType<typeof scratch>>;
let outbox: Outbox;
const book = new LogBook();

beforeEach(async () => {
  home = await scratch();
  outbox = Outbox.open({ directory: home.path, maxBytes: 1e6, now: 0, log: book.log });
});
afterEach(async () => {
  outbox.close();
  await home[Symbol.asyncDispose]();
});

/** Runs a pusher until it has waited `times` times; resolves with the waits. */
async function waitsOf(sink: SummarySink, times: number, random = () => 1): Promise<number[]> {
  const waits: number[] = [];
  const done = Promise.withResolvers<void>();
  const pusher = new SummaryPusher({
    outbox,
    sink,
    log: book.log,
    random,
    wait: (ms, signal) => {
      waits.push(ms);
      if (waits.length < times) return Promise.resolve();
      done.resolve();
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('stopped'))));
    },
  });
  pusher.start();
  await done.promise;
  await pusher.stop();
  return waits;
}

const options = { wait: () => Promise.resolve(), random: () => 0, log: book.log };

describe('SummaryPusher', () => {
  it('announces, then sends in order and forgets what is durable', async () => {
    outbox.add([empty, empty, empty], 3);
    const sink = new ScriptedSink();
    const pusher = new SummaryPusher({ ...options, outbox, sink });
    expect(await pusher.drain(new AbortController().signal)).toBe(true);
    expect([sink.announcements, sink.pushed, outbox.length]).toEqual([1, [1, 2, 3], 0]);
    // Without it, a colony that lost its telemetry would wait for batches that are gone.
    expect(sink.oldest).toEqual([1, 2, 3]);
  });

  it('keeps a batch that the colony does not call durable', async () => {
    outbox.add([empty, empty], 3);
    const sink = new ScriptedSink();
    sink.script = ['ok', 1];
    await expect(
      new SummaryPusher({ ...options, outbox, sink }).drain(new AbortController().signal),
    ).rejects.toMatchObject({
      reason: 'not_durable',
    });
    expect(outbox.oldest()?.seq).toBe(2);
  });

  it('never forgets what it has not sent, whatever the colony claims', async () => {
    outbox.add([empty, empty], 3);
    const sink = new ScriptedSink();
    sink.script = [99, failure('unavailable')];
    await expect(
      new SummaryPusher({ ...options, outbox, sink }).drain(new AbortController().signal),
    ).rejects.toMatchObject({
      kind: 'unavailable',
    });
    expect(outbox.oldest()?.seq).toBe(2);
  });

  it('backs off longer and longer while the colony is away, and announces itself again', async () => {
    outbox.add([empty], 1);
    const sink = new ScriptedSink();
    sink.script = Array.from({ length: 10 }, () => failure('unavailable'));
    const waits = await waitsOf(sink, 9);
    expect(waits.slice(0, 3)).toEqual([firstBackoffMs, firstBackoffMs * 2, firstBackoffMs * 4]);
    expect(waits.at(-1)).toBe(maxBackoffMs);
    expect(sink.announcements).toBe(9);
    expect(new Set(sink.pushed)).toEqual(new Set([1]));
  });

  it('jitters, so that agents do not come back all at once', async () => {
    outbox.add([empty], 1);
    const sink = new ScriptedSink();
    sink.script = [failure('unavailable')];
    expect(await waitsOf(sink, 1, () => 0)).toEqual([firstBackoffMs / 2]);
  });

  it('asks rarely after the colony refused it', async () => {
    outbox.add([empty], 1);
    const sink = new ScriptedSink();
    sink.script = [failure('permission_denied')];
    expect(await waitsOf(sink, 1)).toEqual([refusedBackoffMs]);
    expect(outbox.length).toBe(1);
  });

  it('drops a batch refused three times as malformed, so that the next gets through', async () => {
    outbox.add([empty, empty], 1);
    const sink = new ScriptedSink();
    const bad = failure('invalid_argument');
    sink.script = [bad, bad, bad, failure('unavailable')];
    await waitsOf(sink, 3);
    expect(sink.pushed).toEqual([1, 1, 1, 2]);
    expect(outbox.takeLosses()).toHaveLength(1);
  });
});
