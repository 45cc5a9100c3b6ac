import { CoralError } from '@coral/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ColonyDouble } from '../testing/colony-double.js';
import { call, healthy, ProxyStage, request, type Wire } from '../testing/proxy-stage.js';

describe('the access of a proxy', () => {
  let stage: ProxyStage;
  let colony: ColonyDouble;
  let wire: Wire;

  beforeEach(async () => {
    stage = await ProxyStage.open();
    ({ colony } = stage);
  });
  afterEach(() => stage[Symbol.asyncDispose]());

  it('asks for no lease until there is something to say, and gives it back at the end of input', async () => {
    wire = stage.start();
    wire.send('', '   ', '{"jsonrpc":');
    await wire.next(({ error }) => error !== undefined);
    expect(colony.granted).toEqual([]);
    wire.send(request(1, 'tools/list'));
    expect(await wire.answer(1)).toMatchObject({ result: { tools: [{}, {}, {}, {}, {}] } });
    expect(colony.granted).toMatchObject([{ purpose: 'coral mcp proxy' }]);
    await wire.close();
    expect(colony.released).toEqual([colony.granted[0]?.agentId]);
  });

  it('replaces a lease before its end, and the old one goes when its calls have ended', async () => {
    wire = stage.start({ ttl: '4s' });
    let finish = (): void => undefined;
    const slow = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const started = new Promise<void>((resolve) => {
      colony.tool = async ({ args }) => {
        if (args['service_filter'] === 'slow') {
          resolve();
          await slow;
        }
        return healthy;
      };
    });
    wire.send(call('slow', 'coral_get_health', { service_filter: 'slow' }));
    await started;
    for (let i = 0; colony.granted.length < 2; i += 1) {
      wire.send(call(i));
      expect(await wire.answer(i)).toMatchObject({ result: { structuredContent: healthy } });
    }
    const [first, second] = colony.granted;
    expect((first?.expiresAt ?? 0) - (second?.expiresAt ?? 0)).toBeLessThan(0);
    expect(Date.now()).toBeLessThan(first?.expiresAt ?? 0);
    expect(colony.released).toEqual([]);
    finish();
    expect(await wire.answer('slow')).toMatchObject({ result: { structuredContent: healthy } });
    await colony.whenReleased(1);
    expect(colony.released).toEqual([first?.agentId]);
    expect(colony.posts.filter(({ headers }) => headers['authorization'] === 'Bearer access-1')).not.toEqual([]);
  });

  it('repeats a call whose lease ends under it, once, with the same key', async () => {
    wire = stage.start();
    const started = stage.hangingTool();
    wire.send(call(1));
    await started;
    colony.tool = async () => healthy;
    colony.granted.forEach((lease) => colony.endLease(lease));
    expect(await wire.answer(1)).toMatchObject({ result: { structuredContent: healthy } });
    expect(colony.granted).toHaveLength(2);
    expect(colony.posts).toHaveLength(2);
    expect(stage.post(1).headers['idempotency-key']).toBe(stage.post(0).headers['idempotency-key']);
    expect(stage.post(1).body).toBe(stage.post(0).body);
    expect(stage.post(1).headers['authorization']).not.toBe(stage.post(0).headers['authorization']);
  });

  it('gets new access once when it is told 401, and then passes on why', async () => {
    wire = stage.start();
    let refusals = 1;
    colony.onPost = ({ response }) => {
      if (refusals === 0) return false;
      refusals -= 1;
      response.writeHead(401, { 'content-type': 'application/problem+json', 'www-authenticate': 'Bearer' });
      response.end(
        JSON.stringify({ title: 'unauthenticated', reason: 'token_revoked', detail: 'Gone.', next: 'Log in.' }),
      );
      return true;
    };
    wire.send(call(1));
    expect(await wire.answer(1)).toMatchObject({ result: { structuredContent: healthy } });
    expect(colony.granted).toHaveLength(2);
    refusals = 2;
    wire.send(call(2));
    expect(await wire.answer(2)).toMatchObject({
      error: {
        code: -32_603,
        message: 'Gone.',
        data: { error: { kind: 'unauthenticated', reason: 'token_revoked', message: 'Gone.', next: 'Log in.' } },
      },
    });
    expect(colony.granted).toHaveLength(3);
    wire.send(call(3));
    expect(await wire.answer(3)).toMatchObject({ result: {} });
  });

  it('says why there is no access, to each who asks, and recovers', async () => {
    wire = stage.start();
    colony.refuseAccess = new CoralError({
      kind: 'resource_exhausted',
      reason: 'too_many_leases',
      message: 'You hold 3 leases.',
      next: 'Wait.',
    });
    wire.send(call(1));
    expect(await wire.answer(1)).toMatchObject({
      error: { message: 'You hold 3 leases.', data: { error: { reason: 'too_many_leases', next: 'Wait.' } } },
    });
    colony.refuseAccess = undefined;
    wire.send(call(2));
    expect(await wire.answer(2)).toMatchObject({ result: {} });
  });

  it('goes on with the lease it has when the next one is refused', async () => {
    wire = stage.start({ ttl: '4s' });
    wire.send(call(0));
    await wire.answer(0);
    colony.refuseAccess = new CoralError({ kind: 'resource_exhausted', reason: 'too_many_leases', message: 'Three.' });
    const seen = colony.seenTokens.length;
    for (let i = 1; colony.seenTokens.length < seen + 3; i += 1) {
      wire.send(call(i));
      expect(await wire.answer(i)).toMatchObject({ result: {} });
    }
    expect(colony.granted).toHaveLength(1);
    colony.refuseAccess = undefined;
  });

  it('gives an idle lease back and takes a new one for the next message', async () => {
    wire = stage.start({ idleMs: 20 });
    wire.send(call(1));
    await wire.answer(1);
    await colony.whenReleased(1);
    wire.send(call(2));
    expect(await wire.answer(2)).toMatchObject({ result: {} });
    expect(colony.granted).toHaveLength(2);
  });

  it('keeps no lease for a stream that only listens, and does not wait for it', async () => {
    wire = stage.start({ idleMs: 50 });
    const listen = (id: string) => request(id, 'subscriptions/listen', { notifications: { toolsListChanged: true } });
    wire.send(listen('a'));
    await wire.next(({ method }) => method === 'notifications/subscriptions/acknowledged');
    await colony.whenReleased(1);
    expect(await wire.answer('a')).toMatchObject({ error: { data: { error: { reason: 'lease_expired' } } } });
    expect(colony.granted).toHaveLength(1);
    wire.send(listen('b'));
    await wire.next(({ params }) => JSON.stringify(params ?? {}).includes('"b"'));
    await wire.close();
    expect(wire.messages.map(({ id }) => id)).not.toContain('b');
  });
});
