// For the specs of the relay: an HTTP proxy that tunnels, or fails in a way of its own.
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Proxy } from '../proxy.js';
import type { Credentials } from './open-relay.js';

export interface TestProxy extends AsyncDisposable {
  readonly proxy: Proxy;
  /** What was asked for: `host:port`, and the credentials that came with it. */
  readonly asked: { to: string; authorization: string | undefined }[];
}

/** `answer`: what is written in place of a tunnel; nothing is said at all when it is ''. */
export async function openProxy(o: { answer?: string; tls?: Credentials; password?: string } = {}): Promise<TestProxy> {
  const asked: TestProxy['asked'] = [];
  const sockets = new Set<Duplex>();
  const server = o.tls ? createHttpsServer({ key: o.tls.keyPem, cert: o.tls.certPem }) : createHttpServer();
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => socket.destroy())));
  server.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const authorization = request.headers['proxy-authorization'];
    asked.push({ to: request.url ?? '', authorization });
    socket.on('error', () => socket.destroy());
    const wanted = o.password && `Basic ${Buffer.from(o.password).toString('base64')}`;
    const answer =
      wanted && authorization !== wanted ? 'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n' : o.answer;
    if (answer !== undefined) {
      if (answer !== '') socket.end(answer);
      return;
    }
    const to = new URL(`http://${request.url}`);
    const onward = connect(Number(to.port), to.hostname, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    sockets.add(onward.on('error', () => socket.destroy()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    proxy: { secure: o.tls !== undefined, host: '127.0.0.1', port },
    asked,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Accepts, says `greeting` to whatever comes first, and nothing more. Hangs up at once when that is undefined. */
export async function openTcp(greeting: string | undefined): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket.on('error', () => socket.destroy()));
    if (greeting === undefined) socket.destroy();
    else socket.once('data', () => socket.write(greeting));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
