import type { TLSSocket } from 'node:tls';
import type { Server } from '@grpc/grpc-js';
import type { CertificateAuthority } from '@coral/auth';
import { serveTls } from '@coral/rpc';
import type { TlsServer } from '@coral/rpc';
import type { HttpDoor } from '../http/http-door.js';
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
    /** For the certificate: what clients may call this machine. */
    names: readonly string[];
    /** Absent: HTTP/1.1 is refused. */
    http: HttpDoor | undefined;
    announce(endpoint: string): void;
  },
): Promise<PublicDoor> {
  const { listen, ports, ca, http } = options;
  const names = [...options.names];
  const onHttp1 = (socket: TLSSocket): void =>
    http?.accept(socket, { peer: undefined, remoteAddress: socket.remoteAddress ?? '' });
  const tls: TlsServer = await ports.bind('listen', listen, async ({ host, port }) =>
    serveTls(server, { ...(await ca.issueServer(names)), host, port, ...(http === undefined ? {} : { onHttp1 }) }),
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
      await Promise.all([tls.close(graceMs), http?.close(graceMs)]);
    },
  };
}
