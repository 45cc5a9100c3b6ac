import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket, type SecureContext } from 'node:tls';
import { CertificateAuthority } from '@coral/auth';

/**
 * Host names of others, with certificates of an authority that only the program under test trusts: it speaks TLS to the
 * true name and reaches a server of the test's.
 */
export class BorrowedNames {
  private constructor(
    private readonly caFile: string,
    private readonly context: SecureContext,
  ) {}

  /** Writes the authority into the folder. */
  static async issue(folder: string, names: readonly string[]): Promise<BorrowedNames> {
    const authority = await CertificateAuthority.openOrCreate(folder);
    const { keyPem, certPem } = await authority.issueServer([...names]);
    const caFile = join(folder, 'borrowed-names.crt');
    await writeFile(caFile, authority.caPem);
    return new BorrowedNames(caFile, createSecureContext({ key: keyPem, cert: certPem }));
  }

  /** `routes`: from a host name to the URL of a plain server; every other name leads nowhere. */
  async lead(routes: Readonly<Record<string, string>>): Promise<Detour> {
    return await new Detour(routes, this.caFile, this.context).start();
  }
}

/** An HTTPS proxy on the loopback through which one program reaches the names. */
export class Detour implements AsyncDisposable {
  /** `host:port` of everything else that was asked for. */
  readonly strangers: string[] = [];
  private readonly open = new Set<Duplex>();
  private readonly server = createServer();

  constructor(
    private readonly routes: Readonly<Record<string, string>>,
    private readonly caFile: string,
    private readonly context: SecureContext,
  ) {
    this.server.on('connect', (request, socket, head) => this.tunnel(request, socket, head));
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  /** For the program's environment. Node knows these variables; what is on the loopback is reached without the proxy. */
  get environment(): NodeJS.ProcessEnv {
    return {
      NODE_USE_ENV_PROXY: '1',
      HTTPS_PROXY: `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`,
      NO_PROXY: '127.0.0.1,localhost',
      NODE_EXTRA_CA_CERTS: this.caFile,
    };
  }

  private tunnel(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const asked = request.url ?? '';
    const name = asked.replace(/:443$/, '');
    const to = Object.hasOwn(this.routes, name) ? this.routes[name] : undefined;
    if (to === undefined) {
      this.strangers.push(asked);
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    socket.unshift(head);
    const near = new TLSSocket(socket as never, { isServer: true, secureContext: this.context });
    const far = connect(Number(new URL(to).port), '127.0.0.1');
    for (const one of [socket, near, far]) {
      this.open.add(one);
      one.on('error', () => one.destroy());
      one.on('close', () => this.open.delete(one));
    }
    // Whichever end goes, however it goes, takes the other along; what the server said before still arrives.
    socket.on('close', () => near.destroy());
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroySoon());
    near.pipe(far).pipe(near);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    for (const one of this.open) one.destroy();
    await closed;
  }
}
