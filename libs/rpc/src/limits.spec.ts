import { Metadata } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoralError } from '@coral/errors';
import { callServerStream, maxHeaderListBytes, maxMessageBytes } from './index.js';
import { describeColony, identifyingServer, openRig, type Rig } from './rpc.fixture.js';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());

describe('the limits of a call', () => {
  it('carries one message up to the limit, and names the limit beyond it, in both directions', async () => {
    const { server } = identifyingServer({
      exchange: (call) => {
        const asked = Number(call.metadata.get('size')[0] ?? 0);
        call.write({ json: asked > 0 ? Buffer.alloc(asked) : call.request.json });
        call.end();
      },
    });
    await rig.serve(server);
    const client = rig.mcp();
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
    await rig.serve(server);
    // 2 is gzip.
    const client = rig.mcp({ 'grpc.max_send_message_length': -1, 'grpc.default_compression_algorithm': 2 });
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
    await rig.serve(server);
    const client = rig.colonyClient();
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
    expect(await describeColony(rig.colonyClient())).toBe('c');
  });
});
