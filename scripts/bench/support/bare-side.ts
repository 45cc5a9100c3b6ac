import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CertificateAuthority, newSelfSigned, newWireGuardKeyPair } from '@coral/auth';
import { openDirectMesh } from '@coral/mesh';
import { keyIdOf, systemClock } from '@coral/model';
import { projectRoot, start } from '../../demo/processes.js';
import type { BareReady, BareSettings } from './bare-settings.js';
import { overTls, throughMesh, type Side } from './side.js';

/** The bare server in a process of its own, giving the colony's answer over the colony's transports. */
export async function openBare(folder: string, told: Pick<BareSettings, 'tool' | 'body'>): Promise<Side> {
  await using undo = new AsyncDisposableStack();
  const authority = await CertificateAuthority.openOrCreate(join(folder, 'bare-ca'));
  const keyPair = newWireGuardKeyPair();
  const certificate = await newSelfSigned('bench');
  const settings: BareSettings = {
    ...told,
    tls: await authority.issueServer(['127.0.0.1']),
    client: {
      publicKey: keyPair.publicKey.toString('base64'),
      certificateSha256: certificate.sha256.toString('base64'),
    },
  };
  const file = join(folder, 'bare.json');
  await writeFile(file, JSON.stringify(settings), { mode: 0o600 });
  const args = [join(projectRoot, 'dist/bench/bare-mcp-server.js'), file];
  const server = await start<BareReady>({ name: 'bare MCP server', args });
  undo.defer(() => server.stop());
  const { endpoint, mesh: there } = server.ready;
  const mesh = undo.use(await openDirectMesh({ keyPair, certificate, production: false, clock: systemClock }));
  const publicKey = Buffer.from(there.publicKey, 'base64');
  mesh.addPeer({
    keyId: keyIdOf(publicKey),
    publicKey,
    addresses: [there.address],
    direct: { certificateSha256: Buffer.from(there.certificateSha256, 'base64'), endpoint: there.endpoint },
  });
  const opened = undo.move();
  return {
    pid: server.child.pid ?? 0,
    ways: { public: overTls(endpoint, authority.caPem), mesh: throughMesh(mesh, there.address, there.port) },
    // It looks at no token; the requests are as long as the colony's all the same.
    tokens: { public: 'x'.repeat(600), mesh: 'x'.repeat(600) },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
