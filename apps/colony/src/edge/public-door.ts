import { hostname } from 'node:os';
import type { Server } from '@grpc/grpc-js';
import type { CertificateAuthority } from '@coral/auth';
import { serveTls } from '@coral/rpc';
import type { TlsServer } from '@coral/rpc';
import type { BindPort, ListenAddress } from './bind-port.js';

/** A fresh leaf this often; each is good for 90 days, so a colony that never restarts is never without one. */
export const renewCertificateEveryMs = 86_400_000;

/** The colony's one port to the outside. */
export interface PublicDoor {
  /** host:port as clients dial it. */
  endpoint: string;
  close(graceMs: number): Promise<void>;
}

export async function openPublicDoor(
  server: Server,
  options: {
    listen: ListenAddress;
    ports: BindPort;
    ca: CertificateAuthority;
    announce(endpoint: string): void;
  },
): Promise<PublicDoor> {
  const { listen, ports, ca } = options;
  const names = namesOf(listen.host);
  const tls: TlsServer = await ports.bind('listen', listen, async ({ host, port }) =>
    serveTls(server, { ...(await ca.issueServer(names)), host, port }),
  );
  const renewal = setInterval(
    () => void ca.issueServer(names).then((leaf) => tls.renew(leaf)),
    renewCertificateEveryMs,
  );
  renewal.unref();
  const endpoint = `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${tls.port}`;
  options.announce(endpoint);
  return {
    endpoint,
    close: async (graceMs) => {
      clearInterval(renewal);
      await tls.close(graceMs);
    },
  };
}

const anyAddress = new Set(['0.0.0.0', '::']);

/** What clients may call this machine. */
function namesOf(host: string): string[] {
  const own = /^[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(hostname()) ? [hostname()] : [];
  const names = [...(anyAddress.has(host) ? [] : [host]), 'localhost', '127.0.0.1', '::1', ...own];
  return [...new Set(names)];
}
