import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { newWireGuardKeyPair } from '@coral/auth';
import { keyIdOf, systemClock } from '@coral/model';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Peer } from '../mesh.js';
import type { FarEndData, FarEndReport } from './far-end.fixture.js';
import { cliAddress, colonyAddress, loopback } from './userspace.fixture.js';
import { openUserspaceMesh } from './userspace-mesh.js';
import type { UserspaceMesh } from './userspace-mesh.types.js';

/** How long a peer may go on after its end, as promised; aimed at is a twentieth of it. */
const worstMs = 1_000;
const stallMs = 1_500;

describe('while the main thread stands still', () => {
  let colony: UserspaceMesh;
  let peer: Peer;
  let far: Worker;
  const reports: FarEndReport[] = [];

  const report = async <K extends FarEndReport['kind']>(kind: K): Promise<Extract<FarEndReport, { kind: K }>> => {
    for (;;) {
      const found = reports.find((one) => one.kind === kind);
      if (found) return found as Extract<FarEndReport, { kind: K }>;
      await once(far, 'message');
    }
  };

  beforeEach(async () => {
    reports.length = 0;
    const [colonyKeys, keys] = [newWireGuardKeyPair(), newWireGuardKeyPair()];
    peer = { keyId: keyIdOf(keys.publicKey), publicKey: keys.publicKey, addresses: [cliAddress] };
    colony = await openUserspaceMesh({
      keyPair: colonyKeys,
      addresses: [colonyAddress],
      clock: systemClock,
      udp: loopback,
    });
    colony.addPeer(peer);
    await colony.listen(9_000, (socket) => socket.resume());
    const workerData: FarEndData = {
      ...keys,
      address: cliAddress,
      colony: { publicKey: colonyKeys.publicKey, address: colonyAddress, udpPort: colony.udpPort, port: 9_000 },
    };
    far = new Worker(new URL('./far-end-from-source.mjs', import.meta.url), { workerData, execArgv: [] });
    far.on('message', (one: FarEndReport) => reports.push(one));
    await report('connected');
  });
  afterEach(async () => {
    const exited = once(far, 'exit');
    far.postMessage('close');
    await colony.close();
    await exited;
  });

  it('cuts a peer that was removed just before', async () => {
    const removedAt = Date.now();
    colony.removePeer(peer.keyId);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stallMs);
    const cut = await report('cut');
    expect(cut.reason).toBe('mesh_peer_gone');
    expect(cut.at - removedAt).toBeLessThan(worstMs);
    expect(await report('pinged')).toMatchObject({ ok: false });
  });

  it('cuts a peer whose time runs out', async () => {
    const expiresAt = Date.now() + 200;
    colony.addPeer({ ...peer, expiresAt });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200 + stallMs);
    const cut = await report('cut');
    expect(cut.reason).toBe('mesh_peer_gone');
    expect(cut.at - expiresAt).toBeGreaterThanOrEqual(0);
    expect(cut.at - expiresAt).toBeLessThan(worstMs);
    expect(await report('pinged')).toMatchObject({ ok: false });
  });
});
