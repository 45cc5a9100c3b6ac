// HTTP/1.1 over connections that somebody else accepted: streams of the mesh, sockets of the TLS port.
import { createServer, STATUS_CODES } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { CoralError, toCoralError } from '@coral/errors';
import { maxHeaderListBytes } from '@coral/rpc';
import type { JsonLogger } from '../edge/json-logger.js';
import { corsHeaders, preflight } from './cors.js';
import { passGate, pathOf } from './gate.js';
import type { Entrance, Passed } from './gate.js';
import { BodyTooLarge, HttpRefusal, MethodNotAllowed, NoSuchPath, TooBusy } from './http.errors.js';
import type { HttpRefusals } from './http-refusals.js';
import type { HttpOrigin, HttpReply, HttpRoute } from './http-route.js';
import { bearerOf, readBody, sayProblem, writeReply } from './messages.js';

/** A client has this long to send the head of a request, and as long again for the rest. */
export const headTimeoutMs = 10_000;
export const requestTimeoutMs = 20_000;
/** How often slow clients are looked for. */
const slownessCheckMs = 500;
/** A connection without a request is kept this long. */
export const keepAliveMs = 60_000;
/** Longer than the longest tool call may take: a connection on which nothing moves for this long is cut. */
export const silenceMs = 6 * 60_000;
/** Requests in progress at one door; more are refused, and say so. */
export const maxConcurrentRequests = 256;

export interface HttpDoorOptions {
  entrance: Entrance;
  /** By exact path. */
  routes: ReadonlyMap<string, HttpRoute>;
  refusals: HttpRefusals;
  logger: Pick<JsonLogger, 'failure'>;
}

/** One HTTP entrance: gate, limits, routes. Nothing is refused here without a row. */
export class HttpDoor {
  private readonly options: HttpDoorOptions;
  private readonly server: Server;
  /** Only {@link accept} writes here, so that nobody can claim to be somebody else's connection. */
  private readonly origins = new WeakMap<Duplex, HttpOrigin>();
  private readonly serving = new Map<Promise<void>, Duplex>();

  constructor(options: HttpDoorOptions) {
    this.options = options;
    this.server = createServer({
      maxHeaderSize: maxHeaderListBytes,
      headersTimeout: headTimeoutMs,
      requestTimeout: requestTimeoutMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: slownessCheckMs,
    });
    this.server.timeout = silenceMs;
    this.server.on('request', (request, response) => this.begin(request, response));
    this.server.on('connect', (request: IncomingMessage, socket: Duplex) => void this.refuseTunnel(request, socket));
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket) => void this.refuseBroken(error, socket));
    // Node looks for slow clients only on servers that listen; this one is given its connections.
    this.server.emit('listening');
  }

  /** From here on the connection is this door's. */
  accept(socket: Duplex, origin: HttpOrigin): void {
    this.origins.set(socket, origin);
    socket.on('error', () => socket.destroy());
    this.server.emit('connection', socket);
  }

  /** Requests in progress have `graceMs`; resolves when none is left, and their rows are on the way. */
  async close(graceMs: number): Promise<void> {
    // Also ends the search for slow clients; it complains that the server never listened, which is so.
    this.server.close(() => undefined);
    this.server.closeIdleConnections();
    const late = setTimeout(() => {
      for (const socket of this.serving.values()) socket.destroy();
    }, graceMs);
    await Promise.allSettled(this.serving.keys());
    clearTimeout(late);
    this.server.closeAllConnections();
  }

  private begin(request: IncomingMessage, response: ServerResponse): void {
    const work = this.serve(request, response)
      .catch((thrown: unknown) => {
        this.options.logger.failure('an HTTP request failed', thrown);
        response.destroy();
      })
      .finally(() => this.serving.delete(work));
    this.serving.set(work, request.socket);
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) gone.abort();
    });
    const route = this.options.routes.get(pathOf(request.url ?? ''));
    let passed: Passed | undefined;
    let reply: HttpReply;
    try {
      passed = passGate(request, this.options.entrance);
      reply = await this.answer(request, route, passed, gone.signal);
    } catch (thrown) {
      reply = await this.refuse(thrown, request, route);
    }
    await writeReply(response, reply, corsHeaders(passed?.origin));
  }

  private async answer(
    request: IncomingMessage,
    route: HttpRoute | undefined,
    { origin }: Passed,
    signal: AbortSignal,
  ): Promise<HttpReply> {
    if (this.serving.size > maxConcurrentRequests) throw new TooBusy(maxConcurrentRequests);
    if (route === undefined) throw new NoSuchPath();
    if (request.method === 'OPTIONS' && origin !== undefined) return preflight(route.methods);
    if (!route.methods.includes(request.method ?? '')) throw new MethodNotAllowed(route.methods);
    const body = await readBody(request, route.maxBodyBytes);
    return await route.answer({
      ...this.originOf(request.socket),
      method: request.method ?? '',
      headers: request.headers,
      token: bearerOf(request),
      userAgent: request.headers['user-agent'] ?? '',
      body,
      signal,
    });
  }

  /** The row first; when it cannot be written, that is what is told. */
  private async refuse(thrown: unknown, request: IncomingMessage, route: HttpRoute | undefined): Promise<HttpReply> {
    let error: CoralError = toCoralError(thrown);
    if (error.kind === 'internal') this.options.logger.failure('an HTTP request failed', error);
    const { method = '', url = '', headers } = request;
    try {
      const { reason } = error;
      await this.record({ reason, method, path: pathOf(url), userAgent: headers['user-agent'] ?? '' }, request.socket);
    } catch (failed) {
      error = toCoralError(failed);
    }
    // What was not read of the body must not be taken for the next request.
    if (!(error instanceof BodyTooLarge)) request.resume();
    const reply = route === undefined ? sayProblem(error) : route.say(error);
    if (!(error instanceof HttpRefusal)) return reply;
    return { ...reply, status: error.status, headers: { ...reply.headers, ...error.headers } };
  }

  private async refuseTunnel(request: IncomingMessage, socket: Duplex): Promise<void> {
    const { headers, method = '' } = request;
    await this.refuseRaw(socket, { reason: 'method_not_allowed', method, userAgent: headers['user-agent'] ?? '' }, 405);
  }

  /** What the parser gave up on. A request that had begun is refused by {@link serve}, which sees it cut off. */
  private async refuseBroken(error: NodeJS.ErrnoException, socket: Duplex): Promise<void> {
    const status = brokenStatus(error.code ?? '');
    if (status === undefined || [...this.serving.values()].includes(socket)) {
      socket.destroy();
      return;
    }
    const reason = status === 408 ? 'request_timeout' : status === 431 ? 'headers_too_large' : 'malformed_http';
    await this.refuseRaw(socket, { reason, method: '', userAgent: '' }, status);
  }

  private async refuseRaw(
    socket: Duplex,
    facts: { reason: string; method: string; userAgent: string },
    status: number,
  ): Promise<void> {
    try {
      await this.record({ ...facts, path: '' }, socket);
      if (socket.writable)
        socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    } catch (thrown) {
      this.options.logger.failure('a refused request could not be audited', thrown, { reason: facts.reason });
    } finally {
      setImmediate(() => socket.destroy());
    }
  }

  private async record(
    facts: { reason: string; method: string; path: string; userAgent: string },
    socket: Duplex,
  ): Promise<void> {
    const { audience } = this.options.entrance;
    await this.options.refusals.record({ ...facts, audience, ...this.originOf(socket) });
  }

  private originOf(socket: Duplex): HttpOrigin {
    const origin = this.origins.get(socket);
    if (origin === undefined) throw new TypeError('an HTTP request came over a connection that no door accepted');
    return origin;
  }
}

/** What to say of an error of Node's parser; undefined when the connection just broke. */
function brokenStatus(code: string): number | undefined {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 408;
  if (code === 'HPE_HEADER_OVERFLOW') return 431;
  return code.startsWith('HPE_') ? 400 : undefined;
}
