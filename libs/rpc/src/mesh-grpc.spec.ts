import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { credentials, Metadata, type Server } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keyIdOf } from '@coral/model';
import { CoralError } from '@coral/errors';
import {
  callServerStream,
  callUnary,
  colonyV1,
  fromServiceError,
  grpcClientOptions,
  maxHeaderListBytes,
  maxMessageBytes,
  maxSocketPathBytes,
  MeshGrpcServer,
  openMeshChannel,
  peerMetadataKey,
  peerOf,
  serveConnection,
  remoteAddressOf,
  setOrigin,
  toServiceError,
  type MeshChannel,
} from './index.js';
import { cliAddress, colonyAddress, identifyingServer, openEnds, shutDown, type Ends } from './rpc.fixture.js';

let ends: Ends;
let channel: MeshChannel;
const cleanup: (() => void | Promise<void>)[] = [];

beforeEach(async () => {
  ends = await openEnds();
  channel = await openMeshChannel(ends.cli, colonyAddress, 9_000);
});
afterEach(async () => {
  for (const step of cleanup.splice(0).toReversed()) await step();
  await channel.close();
  await ends.close();
});

/** Serves over the mesh until the test ends. */
async function serve(server: Server): Promise<MeshGrpcServer> {
  const meshServer = new MeshGrpcServer(server);
  const listener = await ends.colony.listen(9_000, meshServer.serve);
  cleanup.push(async () => {
    await listener.close();
    await meshServer.close(0);
    server.forceShutdown();
  });
  return meshServer;
}

function mcp(): colonyV1.McpServiceClient {
  const client = new colonyV1.McpServiceClient(channel.target, credentials.createInsecure(), grpcClientOptions);
  cleanup.push(() => client.close());
  return client;
}
function colony(): colonyV1.ColonyServiceClient {
  const client = new colonyV1.ColonyServiceClient(channel.target, credentials.createInsecure(), grpcClientOptions);
  cleanup.push(() => client.close());
  return client;
}
const describeColony = async (client: colonyV1.ColonyServiceClient, metadata = new Metadata()): Promise<string> =>
  (await callUnary(client, client.describeColony, {}, { metadata })).colonyId;

describe('gRPC over the mesh', () => {
  it('says whose key is at the far end, and believes nothing the client says about it', async () => {
    const { server, seen } = identifyingServer();
    await serve(server);
    const metadata = new Metadata();
    metadata.add(peerMetadataKey, 'someone-else');
    metadata.add(peerMetadataKey, keyIdOf(randomBytes(32)));
    expect(await describeColony(colony(), metadata)).toBe('c');
    expect(seen).toEqual([{ peer: ends.cli.keyId, claimed: [ends.cli.keyId], from: cliAddress }]);
  });

  it('keeps 20 peers at once apart', async () => {
    const { server } = identifyingServer({
      describe: (call, callback) =>
        callback(null, { colonyId: peerOf(call.metadata) ?? '', version: '', userId: '', roles: [], permissions: [] }),
    });
    await serve(server);
    const all = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const other = await openEnds();
        cleanup.push(() => other.close());
        // Each pair's own colony end serves the same grpc server, as many peers of one colony would use it.
        await other.colony.listen(9_000, (socket) => serveConnection(server, socket));
        const own = await openMeshChannel(other.cli, colonyAddress, 9_000);
        cleanup.push(() => own.close());
        const client = new colonyV1.ColonyServiceClient(own.target, credentials.createInsecure(), grpcClientOptions);
        cleanup.push(() => client.close());
        const answers = await Promise.all(Array.from({ length: 5 }, () => describeColony(client)));
        return [i, new Set(answers), other.cli.keyId] as const;
      }),
    );
    for (const [, answers, keyId] of all) expect(answers).toEqual(new Set([keyId]));
  });

  it('has no peer in metadata that no door of ours marked', () => {
    const metadata = new Metadata();
    metadata.set(peerMetadataKey, keyIdOf(randomBytes(32)));
    expect(peerOf(metadata)).toBeUndefined();
    const call = { metadata, getPeer: () => '192.0.2.7:4711' };
    expect(remoteAddressOf(call)).toBe('192.0.2.7');
    expect(peerOf(setOrigin(metadata, { peer: ends.cli.keyId, remoteAddress: cliAddress }))).toBe(ends.cli.keyId);
    expect(metadata.get(peerMetadataKey)).toEqual([ends.cli.keyId]);
    expect(remoteAddressOf(call)).toBe(cliAddress);
    expect(setOrigin(metadata, undefined).get(peerMetadataKey)).toEqual([]);
    expect(peerOf(metadata)).toBeUndefined();
  });

  it('streams 3 MB, in order and whole', async () => {
    const sent = Array.from({ length: 48 }, () => randomBytes(64 * 1024));
    const { server } = identifyingServer({
      exchange: (call) => {
        for (const json of sent) call.write({ json });
        call.end();
      },
    });
    await serve(server);
    const client = mcp();
    const got: Buffer[] = [];
    for await (const { json } of callServerStream(client, client.exchange, { json: Buffer.alloc(0) })) got.push(json);
    expect(Buffer.concat(got).equals(Buffer.concat(sent))).toBe(true);
    expect(got).toHaveLength(48);
  });

  it('carries one message up to the limit, and names the limit beyond it, in both directions', async () => {
    const { server } = identifyingServer({
      exchange: (call) => {
        const asked = Number(call.metadata.get('size')[0] ?? 0);
        call.write({ json: asked > 0 ? Buffer.alloc(asked) : call.request.json });
        call.end();
      },
    });
    await serve(server);
    const client = mcp();
    const exchange = async (bytes: number, size = 0): Promise<number> => {
      const metadata = new Metadata();
      if (size > 0) metadata.set('size', String(size));
      let length = 0;
      for await (const { json } of callServerStream(
        client,
        client.exchange,
        { json: Buffer.alloc(bytes) },
        { metadata },
      ))
        length = json.length;
      return length;
    };
    const overhead = 16;
    expect(await exchange(maxMessageBytes - overhead)).toBe(maxMessageBytes - overhead);
    const tooLarge = { kind: 'resource_exhausted', reason: 'message_too_large' };
    await expect(exchange(maxMessageBytes + 1)).rejects.toMatchObject(tooLarge);
    await expect(exchange(1, maxMessageBytes + 1)).rejects.toMatchObject(tooLarge);
  });

  it('refuses a small message that unpacks into a giant', async () => {
    const { server, seen } = identifyingServer();
    await serve(server);
    const client = new colonyV1.McpServiceClient(channel.target, credentials.createInsecure(), {
      ...grpcClientOptions,
      'grpc.max_send_message_length': -1,
      // gzip
      'grpc.default_compression_algorithm': 2,
    });
    cleanup.push(() => client.close());
    const bomb = { json: Buffer.alloc(64 * 1024 * 1024) };
    const read = async (): Promise<void> => {
      for await (const _ of callServerStream(client, client.exchange, bomb));
    };
    await expect(read()).rejects.toMatchObject({
      kind: 'resource_exhausted',
      reason: 'message_too_large',
    });
    expect(seen).toEqual([]);
  });

  it('refuses more headers than the limit and lives on', async () => {
    const { server, seen } = identifyingServer();
    await serve(server);
    const client = colony();
    const filled = (bytes: number): Metadata => {
      const metadata = new Metadata();
      for (let i = 0; i < bytes / 1_000; i++) metadata.set(`filler-${i}`, '~'.repeat(1_000));
      return metadata;
    };
    expect(await describeColony(client, filled(maxHeaderListBytes - 3_000))).toBe('c');
    const refusal = await describeColony(client, filled(maxHeaderListBytes + 1_000)).catch((e: unknown) => e);
    expect(refusal).toMatchObject({ kind: 'resource_exhausted', reason: 'headers_too_large' });
    // Far beyond it HTTP/2 itself gives the connection up; the server stays.
    await expect(describeColony(client, filled(400_000))).rejects.toBeInstanceOf(CoralError);
    expect(seen).toHaveLength(1);
    expect(await describeColony(colony())).toBe('c');
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
    await serve(server);
    const client = mcp();
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
    await serve(server);
    const client = colony();
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
    await serve(server);
    const client = mcp();
    const reading = (async () => {
      for await (const _ of callServerStream(client, client.exchange, { json: Buffer.alloc(0) }));
    })();
    const outcome = reading.catch((error: unknown) => error);
    await started.promise;
    ends.colony.removePeer(ends.cli.keyId);
    await over.promise;
    expect(await outcome).toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
    await expect(describeColony(colony())).rejects.toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
    expect(channel.lastDialError()).toMatchObject({ kind: 'unavailable', reason: 'mesh_refused' });
  });

  it('reconnects by itself after the server was away', async () => {
    const first = identifyingServer();
    const firstServer = new MeshGrpcServer(first.server);
    const firstListener = await ends.colony.listen(9_000, firstServer.serve);
    const client = colony();
    expect(await describeColony(client)).toBe('c');
    await firstListener.close();
    await firstServer.close(0);
    await shutDown(first.server);
    await expect(describeColony(client)).rejects.toMatchObject({ reason: 'colony_unreachable' });
    expect(channel.lastDialError()).toMatchObject({ reason: 'mesh_refused' });
    const second = identifyingServer();
    await serve(second.server);
    const metadata = new Metadata();
    metadata.setOptions({ waitForReady: true });
    expect(await describeColony(client, metadata)).toBe('c');
    expect(second.seen).toHaveLength(1);
    expect(channel.lastDialError()).toBeUndefined();
  });

  it('lets running calls finish when it closes, then takes no more', async () => {
    const started = Promise.withResolvers<() => void>();
    const { server } = identifyingServer({
      describe: (_call, callback) =>
        started.resolve(() =>
          callback(null, { colonyId: 'late', version: '', userId: '', roles: [], permissions: [] }),
        ),
    });
    const meshServer = await serve(server);
    const client = colony();
    const running = describeColony(client);
    const finish = await started.promise;
    const closing = meshServer.close(5_000);
    // Only once the client has heard of it: a call that merely wins a race proves nothing.
    await expect(describeColony(colony())).rejects.toMatchObject({ reason: 'colony_unreachable' });
    finish();
    expect(await running).toBe('late');
    await closing;
    await expect(describeColony(client)).rejects.toMatchObject({ reason: 'colony_unreachable' });
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
    await serve(server);
    const client = colony();
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
  it('cuts what does not finish in time, and the caller knows that it was not his own doing', async () => {
    const { server, seen } = identifyingServer({ describe: () => undefined, exchange: () => undefined });
    const meshServer = await serve(server);
    const unary = describeColony(colony()).catch((error: unknown) => error);
    const client = mcp();
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
    await serve(server);
    const unary = describeColony(colony()).catch((error: unknown) => error);
    await expect.poll(() => seen.length).toBe(1);
    server.forceShutdown();
    expect(await unary).toMatchObject({ kind: 'unavailable', reason: 'colony_unreachable' });
  });
});

describe('the local socket of a mesh channel', () => {
  it('is in a directory that only its owner enters, and leaves nothing behind', async () => {
    const path = channel.target.slice('unix:'.length);
    expect((await stat(dirname(path))).mode & 0o777).toBe(0o700);
    expect(await readdir(dirname(path))).toEqual(['s']);
    await channel.close();
    await channel.close();
    await expect(stat(dirname(path))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('refuses a temporary directory whose path no socket can have', async () => {
    const before = process.env['TMPDIR'];
    const directory = await mkdtemp(join(tmpdir(), 'coral-'));
    const deep = join(directory, 'd'.repeat(maxSocketPathBytes));
    await mkdir(deep);
    process.env['TMPDIR'] = deep;
    try {
      await expect(openMeshChannel(ends.cli, colonyAddress, 9_000)).rejects.toMatchObject({
        kind: 'failed_precondition',
        reason: 'temp_path_too_long',
      });
      expect(await readdir(deep)).toEqual([]);
    } finally {
      await rm(directory, { recursive: true });
      if (before === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = before;
    }
  });
});
