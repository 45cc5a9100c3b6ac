import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import type { MeshSocket } from '@coral/mesh';

/** One HTTP request as it came, and the way to answer it by hand. */
export interface Post {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** The same for a web-standard handler. */
  request: Request;
  response: ServerResponse;
  /** Aborts when the client goes away. */
  signal: AbortSignal;
}

/** For specs: HTTP/1.1 over streams of the mesh, in front of a web-standard handler. */
export class HttpDoor {
  private readonly server = createServer((incoming, response) => void this.answer(incoming, response));

  constructor(private readonly handle: (post: Post) => Promise<Response | undefined>) {}

  readonly serve = (socket: MeshSocket): void => {
    this.server.emit('connection', socket);
  };

  async close(): Promise<void> {
    this.server.closeAllConnections();
  }

  private async answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const { signal } = gone;
    try {
      const body = Buffer.concat(await incoming.toArray()).toString();
      const headers = new Headers();
      for (const [name, value] of Object.entries(incoming.headers)) headers.set(name, String(value));
      const url = `http://${incoming.headers.host}${incoming.url}`;
      const request = new Request(url, { method: 'POST', headers, body, signal });
      const post = { path: incoming.url ?? '', headers: incoming.headers, body, request, response, signal };
      const answer = await this.handle(post);
      if (!answer) return;
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      if (answer.body) await pipeline(Readable.fromWeb(answer.body as ReadableStream), response);
      else response.end();
    } catch (thrown) {
      // A client that went away in the middle is what some specs are about.
      if (!signal.aborted) response.destroy(thrown as Error);
    }
  }
}
