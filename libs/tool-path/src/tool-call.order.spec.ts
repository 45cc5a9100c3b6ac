import { CoralError } from '@coral/errors';
import { describe, expect, it } from 'vitest';
import { envelope, openStage, serve, type Lessee, type Stage } from './testing/stage.js';

const problem = (kind: CoralError['kind'], reason: string): CoralError =>
  new CoralError({ kind, reason, message: `said ${reason}` });

describe('the order of a call', () => {
  /** The log's own genesis row is synced when the stage is built. */
  const genesis = 1;

  it('runs nothing before the intent is durable, and answers nothing before the outcome is', async () => {
    await using stage = await openStage();
    const reached = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const release = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    stage.gate.before = async (sync) => {
      reached[sync - genesis - 1]?.resolve();
      await release[sync - genesis - 1]?.promise;
    };
    const steps: string[] = [];
    serve(stage, 'coral_get_health', async () => {
      steps.push('ran');
      return envelope();
    });
    const answered = stage.path.call(stage.request(await stage.lessee('alex'))).then(() => steps.push('answered'));
    await reached[0]?.promise;
    expect(steps).toEqual([]);
    expect(stage.log.head().seq).toBe(0);
    release[0]?.resolve();
    await reached[1]?.promise;
    expect(steps).toEqual(['ran']);
    expect(stage.log.head().seq).toBe(1);
    release[1]?.resolve();
    await answered;
    expect(steps).toEqual(['ran', 'answered']);
    expect(stage.log.head().seq).toBe(2);
  });

  it('says that the lease ended, and not that the caller left, when both happen while the intent is written', async () => {
    await using stage = await openStage();
    const who = await stage.lessee('alex');
    const cut = new AbortController();
    stage.gate.before = (sync) => {
      if (sync !== genesis + 1) return;
      stage.end(who);
      cut.abort();
    };
    const call = stage.path.call(stage.request(who, { signal: cut.signal }));
    await expect(call).rejects.toMatchObject({ reason: 'lease_expired' });
    expect(stage.ran).toEqual([]);
    expect((await stage.rows()).at(-1)?.payload).toMatchObject({ error_reason: 'lease_expired' });
  });

  it('never runs the tool when the intent cannot be written', async () => {
    await using stage = await openStage();
    stage.gate.before = () => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    const call = stage.path.call(stage.request(await stage.lessee('alex')));
    await expect(call).rejects.toMatchObject({ kind: 'unavailable', reason: 'audit_unavailable' });
    expect(stage.ran).toEqual([]);
  });

  it.each(['ok', 'failing'] as const)('withholds an %s answer when the outcome cannot be written', async (which) => {
    await using stage = await openStage();
    if (which === 'failing') {
      serve(stage, 'coral_get_health', () => Promise.reject(problem('invalid_argument', 'bad_query')));
    }
    stage.gate.before = (sync) => {
      if (sync > genesis + 1) throw Object.assign(new Error('broken'), { code: 'EIO' });
    };
    const call = stage.path.call(stage.request(await stage.lessee('alex')));
    await expect(call).rejects.toMatchObject({ kind: 'unavailable', reason: 'audit_unavailable' });
    expect(stage.ran).toHaveLength(1);
  });

  it.each<[string, (stage: Stage, who: Lessee) => Promise<unknown>]>([
    ['an unauthenticated', (stage, who) => stage.path.call(stage.request(who, { token: undefined }))],
    ['an unknown tool', (stage, who) => stage.path.call(stage.request(who, { name: 'x' }))],
    ['an invalid', (stage, who) => stage.path.call(stage.request(who, { args: { x: 1 } }))],
    ['a denied', (stage, who) => stage.path.call(stage.request(who, { name: 'coral_query', args: { query: 'x' } }))],
    ['a malformed', (stage, who) => stage.path.refuse(stage.request(who), problem('invalid_argument', 'bad_json'))],
    ['a listing', (stage, who) => stage.path.visibleTools(stage.request(who, { token: undefined }))],
  ])('does not even tell the reason of %s call without its row', async (_what, call) => {
    await using stage = await openStage();
    const who = await stage.lessee('jordan');
    stage.gate.before = () => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    await expect(call(stage, who)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    expect(stage.ran).toEqual([]);
  });

  it('answers again as soon as the log can be written again', async () => {
    await using stage = await openStage();
    const request = stage.request(await stage.lessee('alex'));
    stage.gate.before = () => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    };
    await expect(stage.path.call(request)).rejects.toMatchObject({ reason: 'audit_unavailable' });
    stage.gate.before = () => undefined;
    expect((await stage.path.call(request)).isError).toBe(false);
    expect((await stage.rows()).map((row) => row.kind)).toEqual([
      'audit.recovered',
      'tool_call.intent',
      'tool_call.outcome',
    ]);
  });

  it('tells the tool to stop when the deadline passes, and does not wait for it', async () => {
    await using stage = await openStage({ deadlineMs: 5 });
    const told = Promise.withResolvers<void>();
    serve(stage, 'coral_get_health', (_, { signal }) => {
      signal.addEventListener('abort', () => told.resolve());
      return new Promise(() => undefined);
    });
    const answer = await stage.path.call(stage.request(await stage.lessee('alex')));
    expect(answer).toMatchObject({ isError: true, body: { error: { reason: 'tool_deadline' } } });
    await told.promise;
  });
});
