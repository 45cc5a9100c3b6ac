import { newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { openUserspaceMesh } from '@coral/mesh';
import { keyIdOf, systemClock } from '@coral/model';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import type * as colonyV1 from './colony-v1.js';
import { joinMesh } from './join-mesh.js';

const colonyAddress = '10.137.0.1';
const ownAddress = '10.137.128.0';

function settings(colonyPublicKey: Buffer, port: number): colonyV1.MeshSettings {
  return {
    colonyPublicKey,
    addressV4: ownAddress,
    addressV6: '',
    colonyAddressV4: colonyAddress,
    colonyAddressV6: '',
    endpoint: `:${port}`,
    direct: undefined,
    mtu: 0,
    persistentKeepaliveSeconds: 0,
    routes: ['10.137.0.0/16'],
  };
}

describe('joinMesh', () => {
  it('finds the colony at the host it was reached by, and speaks to it', async () => {
    const [colonyKeys, keyPair] = [newWireGuardKeyPair(), newWireGuardKeyPair()];
    const listen = { host: '127.0.0.1', port: 0 };
    await using colony = await openUserspaceMesh({
      keyPair: colonyKeys,
      addresses: [colonyAddress],
      udp: listen,
      clock: systemClock,
    });
    const keyId = keyIdOf(keyPair.publicKey);
    colony.addPeer({ keyId, publicKey: keyPair.publicKey, addresses: [ownAddress] });
    await colony.listen(9_000, (socket) => socket.end(`${socket.peer} from ${socket.remoteAddress}`));
    await using mesh = await joinMesh({
      settings: settings(colonyKeys.publicKey, colony.udpPort),
      keyPair,
      colonyEndpoint: '127.0.0.1:443',
      clock: systemClock,
    });
    expect(mesh.driver).toBe('userspace');
    expect(await text(await mesh.dial(colonyAddress, 9_000))).toBe(`${keyId} from ${ownAddress}`);
  });

  it('opens nothing for a colony that describes no mesh of ours', async () => {
    const keyPair = newWireGuardKeyPair();
    const odd = { ...settings(newWireGuardKeyPair().publicKey, 1), routes: ['0.0.0.0/0'] };
    const joining = joinMesh({ settings: odd, keyPair, colonyEndpoint: '127.0.0.1:443', clock: systemClock });
    await expect(joining).rejects.toMatchObject({ reason: 'mesh_unsupported' });
  });

  it.each([
    ['in production', true, 'direct_driver_forbidden'],
    ['without a certificate', undefined, 'mesh_unsupported'],
  ])('does not join a mesh with the driver direct %s', async (_when, production, reason) => {
    const keyPair = newWireGuardKeyPair();
    const certificate = await newSelfSigned('spec');
    const told: colonyV1.MeshSettings = {
      ...settings(newWireGuardKeyPair().publicKey, 1),
      direct: { endpoint: '127.0.0.1:1', certificateSha256: certificate.sha256 },
    };
    const joining = joinMesh({
      settings: told,
      keyPair,
      colonyEndpoint: '127.0.0.1:443',
      clock: systemClock,
      ...(production === undefined ? {} : { direct: { certificate, production } }),
    });
    await expect(joining).rejects.toMatchObject({ reason });
  });
});
