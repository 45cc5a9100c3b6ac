import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** One request as it came, refused ones included. */
export interface RecordedRequest {
  method: string;
  /** Path and query. */
  path: string;
  headers: IncomingHttpHeaders;
  /** Names and values as they came, in turn. */
  rawHeaders: string[];
  body: string;
  /** Resolves when the exchange is over or the peer has gone: `true` when the whole answer went out. */
  over: Promise<boolean>;
  /** Resolves when that many bytes of the answer are on their way. */
  sent: (bytes: number) => Promise<void>;
}

export type WireHandler = (request: RecordedRequest, response: ServerResponse) => Promise<void>;

/** An HTTP server on a free port of the loopback that keeps every request it got. */
export class WireServer {
  readonly requests: RecordedRequest[] = [];
  /** Connections that were ever made. */
  connectionsSeen = 0;
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((request, response) => void this.serve(request, response));
  private waiting: { count: number; resolve: () => void }[] = [];
  /** A handler that threw: a defect of the test, told when the server stops. */
  private broken: unknown;

  constructor(private readonly handle: WireHandler) {
    this.server.on('connection', (socket: Socket) => {
      this.connectionsSeen += 1;
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      socket.on('error', () => socket.destroy());
    });
  }

  async start(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  /** `http://127.0.0.1:port`. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.sockets.size;
  }

  /** Resolves with the n-th request, counted from 1, when it has come. */
  async request(n: number): Promise<RecordedRequest> {
    if (this.requests.length < n) {
      await new Promise<void>((resolve) => this.waiting.push({ count: n, resolve }));
    }
    return this.requests[n - 1] as RecordedRequest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
    if (this.broken !== undefined) throw this.broken;
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const over = new Promise<boolean>((resolve) => {
      response.once('close', () => resolve(response.writableFinished));
    });
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      // It went before it had asked: there is nothing to answer.
      return;
    }
    const recorded: RecordedRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      body: Buffer.concat(chunks).toString('utf8'),
      over,
      sent: (bytes) => onTheWay(response, bytes),
    };
    this.requests.push(recorded);
    const due = this.waiting.filter(({ count }) => count <= this.requests.length);
    this.waiting = this.waiting.filter((one) => !due.includes(one));
    for (const { resolve } of due) resolve();
    try {
      await this.handle(recorded, response);
    } catch (thrown) {
      this.broken ??= thrown;
      response.destroy();
    }
  }
}

/** Looks again with each turn of the event loop: a response tells nobody what it wrote. */
async function onTheWay(response: ServerResponse, bytes: number): Promise<void> {
  const socket = response.socket;
  while (socket !== null && !socket.destroyed && socket.bytesWritten < bytes) await new Promise(setImmediate);
}
