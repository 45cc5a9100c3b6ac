import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Metadata } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { maxSocketPathBytes, MeshGrpcServer, openMeshChannel } from './index.js';
import { colonyAddress, describeColony, identifyingServer, openRig, shutDown, type Rig } from './rpc.fixture.js';

let rig: Rig;
beforeEach(async () => {
  rig = await openRig();
});
afterEach(() => rig.close());

describe('a mesh channel', () => {
  it('reconnects by itself after the server was away', async () => {
    const first = identifyingServer();
    const firstServer = new MeshGrpcServer(first.server);
    const firstListener = await rig.colony.listen(9_000, firstServer.serve);
    const client = rig.colonyClient();
    expect(await describeColony(client)).toBe('c');
    await firstListener.close();
    await firstServer.close(0);
    await shutDown(first.server);
    await expect(describeColony(client)).rejects.toMatchObject({ reason: 'colony_unreachable' });
    expect(rig.channel.lastDialError()).toMatchObject({ reason: 'mesh_refused' });
    const second = identifyingServer();
    await rig.serve(second.server);
    const metadata = new Metadata();
    metadata.setOptions({ waitForReady: true });
    expect(await describeColony(client, metadata)).toBe('c');
    expect(second.seen).toHaveLength(1);
    expect(rig.channel.lastDialError()).toBeUndefined();
  });

  it('is in a directory that only its owner enters, and leaves nothing behind', async () => {
    const path = rig.channel.target.slice('unix:'.length);
    expect((await stat(dirname(path))).mode & 0o777).toBe(0o700);
    expect(await readdir(dirname(path))).toEqual(['s']);
    await rig.channel.close();
    await rig.channel.close();
    await expect(stat(dirname(path))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('refuses a temporary directory whose path no socket can have', async () => {
    const before = process.env['TMPDIR'];
    const directory = await mkdtemp(join(tmpdir(), 'coral-'));
    const deep = join(directory, 'd'.repeat(maxSocketPathBytes));
    await mkdir(deep);
    process.env['TMPDIR'] = deep;
    try {
      await expect(openMeshChannel(rig.cli, colonyAddress, 9_000)).rejects.toMatchObject({
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
