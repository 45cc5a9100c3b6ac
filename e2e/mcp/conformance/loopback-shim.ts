import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent, request as requestTls } from 'node:https';
import type { AddressInfo } from 'node:net';

interface Behind {
  /** host:port of the TLS port. */
  endpoint: string;
  caPem: string;
  token: string;
}

/**
 * A plain HTTP port on loopback in front of a colony's TLS port: the conformance suite has no option for a token or a CA.
 * Adds those two; a Host or Origin that is the shim's own becomes the colony's, every other one goes through as it came,
 * because scenarios lie about them.
 */
export class LoopbackShim implements AsyncDisposable {
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  #behind: Behind | undefined;

  private constructor(server: Server) {
    this.#server = server;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => this.#pass(request, response));
  }

  static async open(): Promise<LoopbackShim> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new LoopbackShim(server);
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** As a web page behind the shim would name itself: what a colony must allow so that scenarios may send it. */
  get origin(): string {
    return `http://${this.host}`;
  }

  get url(): string {
    return `${this.origin}/mcp`;
  }

  leadTo(behind: Behind): void {
    this.#behind = behind;
  }

  #pass(request: IncomingMessage, response: ServerResponse): void {
    const { endpoint, caPem: ca, token } = this.#behind ?? missing();
    const [hostname, port] = endpoint.split(':');
    const host = request.headers.host === this.host ? endpoint : request.headers.host;
    const headers = { ...request.headers, host, authorization: `Bearer ${token}` };
    const { method, url: path } = request;
    // Named here, or Node would ask the certificate for whatever the Host header says.
    const tls = { ca, servername: 'localhost', agent: this.#agent };
    const onward = requestTls({ hostname, port, method, path, headers, ...tls }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function missing(): never {
  throw new Error('the shim was called before it led anywhere');
}
