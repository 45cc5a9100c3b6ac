import type { KeyId } from '@coral/model';
import { describe, expect, it } from 'vitest';
import { openStage, serve } from './testing/stage.js';

describe('a caller at the public door', () => {
  it('is answered without a tunnel, and the row says which door it was', async () => {
    await using stage = await openStage();
    const who = await stage.guest('alex');
    const answer = await stage.path.call(stage.request(who, { door: 'http' }));
    expect(answer.isError).toBe(false);
    expect(await stage.rows()).toMatchObject([
      { kind: 'tool_call.intent', user_id: 'alex', payload: { door: 'http', audience: 'public' } },
      { kind: 'tool_call.outcome', agent_id: who.agentId, payload: { outcome: 'ok', audience: 'public' } },
    ]);
  });

  it('and one in the mesh cannot use each other’s tokens', async () => {
    await using stage = await openStage();
    const guest = await stage.guest('alex');
    const lessee = await stage.lessee('alex');
    const crossed = [
      stage.request(guest, { audience: 'mesh', peer: lessee.peer }),
      stage.request(guest, { audience: 'mesh' }),
      stage.request(lessee, { audience: 'public', peer: undefined }),
      stage.request(lessee, { audience: 'public' }),
    ];
    for (const request of crossed) {
      await expect(stage.path.call(request)).rejects.toMatchObject({ reason: 'token_invalid' });
      await expect(stage.path.visibleTools(request)).rejects.toMatchObject({ reason: 'token_invalid' });
    }
    // A good token for a door without tunnels, through a tunnel: no door of ours does that.
    const request = stage.request(guest, { peer: 'key' as KeyId });
    await expect(stage.path.call(request)).rejects.toMatchObject({ reason: 'token_wrong_tunnel' });
    expect(stage.ran).toEqual([]);
  });

  it('may be limited to a scope, which takes away and never adds', async () => {
    await using stage = await openStage();
    const limited = await stage.guest('alex', ['read:health', 'read:audit']);
    const names = async (user: typeof limited) =>
      (await stage.path.visibleTools(stage.request(user))).map(({ name }) => name);
    expect(await names(limited)).toEqual(['coral_get_health']);
    expect((await stage.path.call(stage.request(limited))).isError).toBe(false);
    const topology = { name: 'coral_get_topology' };
    expect(await stage.path.call(stage.request(limited, topology))).toMatchObject({
      isError: true,
      missingScope: 'read:topology',
      body: { error: { kind: 'permission_denied', reason: 'insufficient_scope' } },
    });
    // Jordan's policy has no topology: no scope helps, and none is asked for.
    const wide = await stage.guest('jordan', ['read:health', 'read:topology']);
    const refused = await stage.path.call(stage.request(wide, topology));
    expect(refused).toMatchObject({ isError: true, body: { error: { reason: 'missing_permission' } } });
    expect(refused.missingScope).toBeUndefined();
    expect((await stage.rows()).at(-2)?.payload).toMatchObject({ outcome: 'denied', decision: { rule: 'scope' } });
  });

  it('gets no answer, and its work is stopped, when its lease is ended in the middle', async () => {
    await using stage = await openStage();
    const who = await stage.guest('alex');
    const stopped = Promise.withResolvers<void>();
    serve(stage, 'coral_get_health', (_, { signal }) => {
      signal.addEventListener('abort', () => stopped.resolve());
      stage.end(who);
      return new Promise(() => undefined);
    });
    await expect(stage.path.call(stage.request(who))).rejects.toMatchObject({ reason: 'lease_expired' });
    await stopped.promise;
    expect((await stage.rows()).at(-1)?.payload).toMatchObject({
      outcome: 'unauthenticated',
      error_reason: 'lease_expired',
    });
  });
});
