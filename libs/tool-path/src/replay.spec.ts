import { CoralError } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { maxReplayedAnswers, maxReplayedBytes, replayMs } from './replay.js';
import type { ToolAnswer, ToolRequest } from './contract.js';
import { envelope, openStage, serve, type Stage } from './testing/stage.js';

const key = (idempotencyKey: string): { idempotencyKey: string } => ({ idempotencyKey });

/** Starts a call and waits until it is past its checks: from looking up the lease to joining it never waits. */
async function startPastChecks(stage: Stage, request: ToolRequest): Promise<{ answer: Promise<ToolAnswer> }> {
  const looked = Promise.withResolvers<void>();
  const { leases } = stage;
  const get = leases.get.bind(leases);
  leases.get = (agentId) => {
    looked.resolve();
    return get(agentId);
  };
  const answer = stage.path.call(request);
  await looked.promise;
  leases.get = get;
  await new Promise(setImmediate);
  return { answer };
}

describe('a retry with the same idempotency key', () => {
  it('gets the finished answer again, without another run, under a row of its own', async () => {
    await using stage = await openStage();
    let runs = 0;
    serve(stage, 'coral_get_health', () => Promise.resolve(envelope({ services: [(runs += 1)] })));
    const who = await stage.lessee('alex');
    const first = await stage.path.call(stage.request(who, key('k')));
    const again = await stage.path.call(stage.request(who, key('k')));
    expect(again).toEqual(first);
    expect(runs).toBe(1);
    const [intent, outcome, replay, ...more] = await stage.rows();
    expect(more).toEqual([]);
    expect(outcome?.payload['intent_seq']).toBe(intent?.seq);
    expect(replay).toMatchObject({
      kind: 'tool_call.outcome',
      user_id: 'alex',
      payload: {
        outcome: 'ok',
        replay_of: intent?.seq,
        idempotency_key: 'k',
        response_size_bytes: Buffer.byteLength(first.text),
      },
    });
    expect(replay?.payload).not.toHaveProperty('intent_seq');
  });

  it('joins the call while it runs, which goes on when the first caller goes away', async () => {
    await using stage = await openStage();
    const begun = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    let stopped = false;
    serve(stage, 'coral_get_health', async (_, { signal }) => {
      signal.addEventListener('abort', () => (stopped = true));
      begun.resolve();
      await release.promise;
      return envelope();
    });
    const who = await stage.lessee('alex');
    const dropped = new AbortController();
    const first = stage.path.call(stage.request(who, { ...key('k'), signal: dropped.signal }));
    await begun.promise;
    const { answer: second } = await startPastChecks(stage, stage.request(who, key('k')));
    dropped.abort();
    expect(stopped).toBe(false);
    release.resolve();
    expect((await second).isError).toBe(false);
    await first;
    expect(stage.ran).toHaveLength(1);
  });

  it('is run anew when everybody had gone away from the first', async () => {
    await using stage = await openStage();
    const begun = Promise.withResolvers<void>();
    serve(stage, 'coral_get_health', async (_, { signal }) => {
      if (stage.ran.length > 1) return envelope();
      begun.resolve();
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('stopped'))));
    });
    const who = await stage.lessee('alex');
    const dropped = new AbortController();
    const first = stage.path.call(stage.request(who, { ...key('k'), signal: dropped.signal }));
    await begun.promise;
    dropped.abort();
    const second = await stage.path.call(stage.request(who, key('k')));
    expect(await first).toMatchObject({ body: { error: { reason: 'cancelled' } } });
    expect(second.isError).toBe(false);
    expect((await stage.path.call(stage.request(who, key('k')))).isError).toBe(false);
    expect(stage.ran).toHaveLength(2);
  });

  it.each([
    ['arguments', { name: 'coral_query', args: { query: 'other' } }],
    ['tool', { name: 'coral_query_events', args: {} }],
  ])('is refused with another %s', async (_what, other) => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    await stage.path.call(stage.request(who, { ...key('k'), name: 'coral_query', args: { query: 'x' } }));
    const answer = await stage.path.call(stage.request(who, { ...key('k'), ...other }));
    expect(answer).toMatchObject({ body: { error: { kind: 'invalid_argument', reason: 'idempotency_key_reused' } } });
    expect(stage.ran).toHaveLength(1);
    expect((await stage.rows()).at(-1)?.payload).toMatchObject({ outcome: 'invalid' });
  });

  it('fits arguments that mean the same', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    for (const args of [{ query: 'x' }, { time_range: '1h', query: 'x' }]) {
      const request = stage.request(who, { ...key('k'), name: 'coral_query', args });
      expect((await stage.path.call(request)).isError).toBe(false);
    }
    expect(stage.ran).toHaveLength(1);
  });

  it("never gets another caller's answer", async () => {
    await using stage = await openStage();
    serve(stage, 'coral_get_health', (_, { caller }) => Promise.resolve(envelope({ services: [caller.agentId] })));
    for (const who of [await stage.lessee('alex'), await stage.lessee('robin'), await stage.lessee('alex')]) {
      const { body } = await stage.path.call(stage.request(who, key('k')));
      expect(body).toMatchObject({ data: { services: [who.agentId] } });
    }
    expect(stage.ran).toHaveLength(3);
  });

  it('gets nothing once the lease is over', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    await stage.path.call(stage.request(who, key('k')));
    stage.leases.clear();
    await expect(stage.path.call(stage.request(who, key('k')))).rejects.toMatchObject({ reason: 'lease_expired' });
  });

  it('gets nothing when its lease ends while it waits for the row of the first', async () => {
    await using stage = await openStage();
    const reached = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const outcomeOfFirst = stage.gate.syncs + 2;
    stage.gate.before = async (sync) => {
      if (sync !== outcomeOfFirst) return;
      reached.resolve();
      await release.promise;
    };
    const who = await stage.lessee('alex');
    const first = stage.path.call(stage.request(who, key('k')));
    await reached.promise;
    const { answer: second } = await startPastChecks(stage, stage.request(who, key('k')));
    stage.leases.clear();
    release.resolve();
    await expect(second).rejects.toMatchObject({ reason: 'lease_expired' });
    expect((await first).isError).toBe(false);
    expect((await stage.rows()).at(-1)?.payload).toMatchObject({ outcome: 'unauthenticated' });
  });

  it('is another try after an error that may pass, and the same answer after one that will not', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    for (const [kind, runs] of [
      ['unavailable', 2],
      ['deadline_exceeded', 2],
      ['invalid_argument', 1],
      ['not_found', 1],
    ] as const) {
      stage.ran.length = 0;
      serve(stage, 'coral_get_health', () => Promise.reject(new CoralError({ kind, reason: 'x', message: 'x' })));
      for (let n = 0; n < 2; n += 1) {
        const { body } = await stage.path.call(stage.request(who, key(kind)));
        expect(body).toMatchObject({ error: { kind } });
      }
      expect({ kind, runs: stage.ran.length }).toEqual({ kind, runs });
    }
  });

  it('is another call after five minutes', async () => {
    await using stage = await openStage();
    const request = stage.request(await stage.lessee('alex', 2 * replayMs), key('k'));
    await stage.path.call(request);
    stage.clock.at += replayMs - 1;
    await stage.path.call(request);
    expect(stage.ran).toHaveLength(1);
    stage.clock.at += 1;
    await stage.path.call(request);
    expect(stage.ran).toHaveLength(2);
  });
});

describe('the answers kept for retries', () => {
  it('are bounded by number, the oldest going first', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    for (let n = 0; n <= maxReplayedAnswers; n += 1) await stage.path.call(stage.request(who, key(`k-${n}`)));
    stage.ran.length = 0;
    await stage.path.call(stage.request(who, key('k-1')));
    expect(stage.ran).toHaveLength(0);
    await stage.path.call(stage.request(who, key('k-0')));
    expect(stage.ran).toHaveLength(1);
  });

  it('are bounded by bytes', async () => {
    await using stage = await openStage({ maxResponseBytes: 10_000_000 });
    const who = await stage.lessee('alex');
    const size = 2_000_000;
    serve(stage, 'coral_get_health', () => Promise.resolve(envelope({ services: ['x'.repeat(size)] })));
    const fit = Math.floor(maxReplayedBytes / (2 * size));
    for (let n = 0; n <= fit; n += 1) await stage.path.call(stage.request(who, key(`k-${n}`)));
    stage.ran.length = 0;
    await stage.path.call(stage.request(who, key('k-1')));
    expect(stage.ran).toHaveLength(0);
    await stage.path.call(stage.request(who, key('k-0')));
    expect(stage.ran).toHaveLength(1);
  });
});
