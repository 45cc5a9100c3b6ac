import { randomBytes } from 'node:crypto';
import { credentials, Metadata } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keyIdOf } from '@coral/model';
import {
  colonyV1,
  grpcClientOptions,
  openMeshChannel,
  peerMetadataKey,
  peerOf,
  serveConnection,
  remoteAddressOf,
  setOrigin,
} from './index.js';
import {
  cliAddress,
  colonyAddress,
  describeColony,
  identifyingServer,
  openEnds,
  openRig,
  type Rig,
} from './rpc.fixture.js';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());

describe('the origin of a call', () => {
  it('says whose key is at the far end, and believes nothing the client says about it', async () => {
    const { server, seen } = identifyingServer();
    await rig.serve(server);
    const metadata = new Metadata();
    metadata.add(peerMetadataKey, 'someone-else');
    metadata.add(peerMetadataKey, keyIdOf(randomBytes(32)));
    expect(await describeColony(rig.colonyClient(), metadata)).toBe('c');
    expect(seen).toEqual([{ peer: rig.cli.keyId, claimed: [rig.cli.keyId], from: cliAddress }]);
  });

  it('keeps 20 peers at once apart', async () => {
    const { server } = identifyingServer({
      describe: (call, callback) =>
        callback(null, { colonyId: peerOf(call.metadata) ?? '', version: '', userId: '', roles: [], permissions: [] }),
    });
    await rig.serve(server);
    const all = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const other = await openEnds();
        rig.cleanup.push(() => other.close());
        // Each pair's own colony end serves the same grpc server, as many peers of one colony would use it.
        await other.colony.listen(9_000, (socket) => serveConnection(server, socket));
        const own = await openMeshChannel(other.cli, colonyAddress, 9_000);
        rig.cleanup.push(() => own.close());
        const client = new colonyV1.ColonyServiceClient(own.target, credentials.createInsecure(), grpcClientOptions);
        rig.cleanup.push(() => client.close());
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
    expect(peerOf(setOrigin(metadata, { peer: rig.cli.keyId, remoteAddress: cliAddress }))).toBe(rig.cli.keyId);
    expect(metadata.get(peerMetadataKey)).toEqual([rig.cli.keyId]);
    expect(remoteAddressOf(call)).toBe(cliAddress);
    expect(setOrigin(metadata, undefined).get(peerMetadataKey)).toEqual([]);
    expect(peerOf(metadata)).toBeUndefined();
  });
});
