import { randomBytes } from 'node:crypto';
import { Metadata } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoralError } from '@coral/errors';
import { callServerStream, callUnary, fromServiceError, toServiceError } from './index.js';
import { describeColony, identifyingServer, openRig, type Rig } from './rpc.fixture.js';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());

describe('gRPC over the mesh', () => {
  it('streams 3 MB, in order and whole', async () => {
    const sent = Array.from({ length: 48 }, () => randomBytes(64 * 1024));
    const { server } = identifyingServer({
      exchange: (call) => {
        for (const json of sent) call.write({ json });
        call.end();
      },
    });
    await rig.serve(server);
    const client = rig.mcp();
    const got: Buffer[] = [];
    for await (const { json } of callServerStream(client, client.exchange, { json: Buffer.alloc(0) })) got.push(json);
    expect(Buffer.concat(got).equals(Buffer.concat(sent))).toBe(true);
    expect(got).toHaveLength(48);
  });

  it('cancels at the far end when the caller aborts, stops reading, or runs out of time', async () => {
    const cancelled: string[] = [];
    const { server } = identifyingServer({
      exchange: (call) => {
        const name = String(call.metadata.get('name')[0]);
        call.on('cancelled', () => cancelled.push(name));
        call.write({ json: Buffer.from('first') });
      },
    });
    await rig.serve(server);
    const client = rig.mcp();
    const read = async (
      name: string,
      o: { signal?: AbortSignal; deadlineMs?: number; take?: number; onFirst?(): void },
    ) => {
      const metadata = new Metadata();
      metadata.set('name', name);
      for await (const _ of callServerStream(client, client.exchange, { json: Buffer.alloc(0) }, { ...o, metadata })) {
        o.onFirst?.();
        if (o.take) break;
      }
    };
    const controller = new AbortController();
    await expect(read('abort', { signal: controller.signal, onFirst: () => controller.abort() })).rejects.toMatchObject(
      { kind: 'cancelled', reason: 'cancelled' },
    );
    await read('break', { take: 1 });
    await expect(read('deadline', { deadlineMs: 100 })).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      reason: 'deadline',
    });
    await expect(read('never', { signal: AbortSignal.abort() })).rejects.toMatchObject({ kind: 'cancelled' });
    await expect.poll(() => cancelled.toSorted()).toEqual(['abort', 'break', 'deadline']);
  });

  it('aborts and times out unary calls', async () => {
    const { server } = identifyingServer({ describe: () => undefined });
    await rig.serve(server);
    const client = rig.colonyClient();
    const controller = new AbortController();
    const pending = callUnary(client, client.describeColony, {}, { signal: controller.signal });
    controller.abort();
    await expect(pending).rejects.toMatchObject({ kind: 'cancelled' });
    await expect(callUnary(client, client.describeColony, {}, { deadlineMs: 50 })).rejects.toMatchObject({
      kind: 'deadline_exceeded',
    });
    await expect(callUnary(client, client.describeColony, {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      kind: 'cancelled',
    });
  });

  it('ends running calls when the peer leaves the mesh', async () => {
    const started = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    const { server } = identifyingServer({
      exchange: (call) => {
        call.on('cancelled', () => over.resolve());
        call.write({ json: Buffer.from('first') });
        started.resolve();
      },
    });
    await rig.serve(server);
    const client = rig.mcp();
    const reading = (async () => {
      for await (const _ of callServerStream(client, client.exchange, { json: Buffer.alloc(0) }));
    })();
    const outcome = reading.catch((error: unknown) => error);
    await started.promise;
    rig.colony.removePeer(rig.cli.keyId);
    await over.promise;
    expect(await outcome).toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
    await expect(describeColony(rig.colonyClient())).rejects.toMatchObject({
      kind: 'unavailable',
      reason: 'colony_unreachable',
    });
    expect(rig.channel.lastDialError()).toMatchObject({ kind: 'unavailable', reason: 'mesh_refused' });
  });

  it('carries our errors whole', async () => {
    const { server } = identifyingServer({
      describe: (_call, callback) =>
        callback(
          toServiceError(
            new CoralError({
              kind: 'resource_exhausted',
              reason: 'too_many_leases',
              message: 'Drei Leihen laufen schon: „α“, 日本.',
              next: 'Release one.',
              where: 'leases',
              cause: new Error('secret'),
            }),
          ),
        ),
    });
    await rig.serve(server);
    const client = rig.colonyClient();
    const error = await callUnary(client, client.describeColony, {}).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CoralError);
    expect(error).toMatchObject({
      kind: 'resource_exhausted',
      reason: 'too_many_leases',
      message: 'Drei Leihen laufen schon: „α“, 日本.',
      next: 'Release one.',
      where: 'leases',
    });
    expect(JSON.stringify(fromServiceError(error))).not.toContain('secret');
  });
});

describe('a mesh server that closes', () => {
  it('lets running calls finish when it closes, then takes no more', async () => {
    const started = Promise.withResolvers<() => void>();
    const { server } = identifyingServer({
      describe: (_call, callback) =>
        started.resolve(() =>
          callback(null, { colonyId: 'late', version: '', userId: '', roles: [], permissions: [] }),
        ),
    });
    const meshServer = await rig.serve(server);
    const client = rig.colonyClient();
    const running = describeColony(client);
    const finish = await started.promise;
    const closing = meshServer.close(5_000);
    // Only once the client has heard of it: a call that merely wins a race proves nothing.
    await expect(describeColony(rig.colonyClient())).rejects.toMatchObject({ reason: 'colony_unreachable' });
    finish();
    expect(await running).toBe('late');
    await closing;
    await expect(describeColony(client)).rejects.toMatchObject({ reason: 'colony_unreachable' });
  });

  it('cuts what does not finish in time, and the caller knows that it was not his own doing', async () => {
    const { server, seen } = identifyingServer({ describe: () => undefined, exchange: () => undefined });
    const meshServer = await rig.serve(server);
    const unary = describeColony(rig.colonyClient()).catch((error: unknown) => error);
    const client = rig.mcp();
    const stream = (async () => {
      for await (const _ of callServerStream(client, client.exchange, { json: Buffer.alloc(0) }));
    })().catch((error: unknown) => error);
    await expect.poll(() => seen.length).toBe(2);
    await meshServer.close(10);
    const gone = { kind: 'unavailable', reason: 'colony_unreachable' };
    expect(await unary).toMatchObject(gone);
    expect(await stream).toMatchObject(gone);
  });

  it('is no cancellation either when the grpc server is shut down by force', async () => {
    const { server, seen } = identifyingServer({ describe: () => undefined });
    await rig.serve(server);
    const unary = describeColony(rig.colonyClient()).catch((error: unknown) => error);
    await expect.poll(() => seen.length).toBe(1);
    server.forceShutdown();
    expect(await unary).toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
  });
});
