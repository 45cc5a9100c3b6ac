import { connect } from 'node:tls';
import type { CoralError } from '@coral/errors';
import { DirectSocket } from './direct-socket.js';
import { accepted, alpnFor, certificateHash, parseEndpoint, tlsOptions } from './direct-wire.js';
import { meshDialCancelled, meshDialTimeout, meshRefused, meshUnknownPeer, meshUnreachable } from '../mesh.errors.js';
import type { PeerEntry } from '../peer-table.js';

export interface DirectIdentity {
  keyPem: string;
  certPem: string;
  sha256: Uint8Array;
}

/**
 * Connects to the peer's endpoint, compares its certificate with the table, then waits to be accepted. `cuts` gets a
 * way to end the dial from outside and loses it when the dial is over.
 */
export async function dialDirect(o: {
  entry: PeerEntry;
  identity: DirectIdentity;
  address: string;
  port: number;
  timeoutMs: number;
  signal: AbortSignal | undefined;
  cuts: Set<(error: CoralError) => void>;
}): Promise<DirectSocket> {
  const { entry, address, port, signal } = o;
  const over = entry.over();
  if (over) throw over;
  if (signal?.aborted) throw meshDialCancelled(address, port, signal.reason);
  const direct = entry.peer.direct;
  const endpoint = direct?.endpoint === undefined ? undefined : parseEndpoint(direct.endpoint);
  if (!direct || !endpoint) throw meshUnreachable(address, 'it accepts no connections');

  const tls = connect({
    ...tlsOptions,
    ...endpoint,
    key: o.identity.keyPem,
    cert: o.identity.certPem,
    ALPNProtocols: [alpnFor(port)],
    checkServerIdentity: () => undefined,
  });
  const expected = Buffer.from(direct.certificateSha256).toString('hex');
  let connected = false;
  let proven = false;
  const onAbort = (): void => fail(meshDialCancelled(address, port, signal?.reason));
  let fail: (error: CoralError) => void = () => undefined;
  const timer = setTimeout(() => fail(meshDialTimeout(address, port, o.timeoutMs)), o.timeoutMs);
  try {
    return await new Promise<DirectSocket>((resolve, reject) => {
      fail = reject;
      entry.cuts.add(fail);
      o.cuts.add(fail);
      signal?.addEventListener('abort', onAbort, { once: true });
      tls.once('error', (cause: NodeJS.ErrnoException) => {
        if (!connected) return reject(meshUnreachable(address, `nothing answers at ${direct.endpoint}`, cause));
        const noPort = cause.code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL';
        const problem = noPort ? 'nothing listens on that port' : 'it closed the connection';
        reject(meshRefused(address, port, problem, cause));
      });
      tls.once('connect', () => {
        connected = true;
      });
      const onClosed = (): void => reject(meshRefused(address, port, 'it does not know this peer (any more)'));
      tls.once('end', onClosed).once('close', onClosed);
      tls.once('secureConnect', () => {
        proven = certificateHash(tls) === expected && tls.alpnProtocol === alpnFor(port);
        if (!proven) reject(meshUnknownPeer(address, `${direct.endpoint} showed another certificate`));
      });
      tls.once('data', (chunk: Buffer) => {
        tls.pause();
        if (!proven) return;
        if (chunk[0] !== accepted[0]) return reject(meshRefused(address, port, 'it speaks another protocol'));
        const gone = entry.over();
        if (gone) return reject(gone);
        resolve(new DirectSocket({ entry, tls, remotePort: port, first: chunk.subarray(accepted.length) }));
      });
    });
  } catch (error) {
    tls.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    entry.cuts.delete(fail);
    o.cuts.delete(fail);
  }
}
