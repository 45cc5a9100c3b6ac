import { request, type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import type { Leased } from './start-colony.js';

type Json = Record<string, unknown>;

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** The JSON-RPC messages in it, however they were sent. */
  messages: Json[];
}

export interface Sent {
  method?: string;
  path?: string;
  headers?: OutgoingHttpHeaders;
  body?: unknown;
  signal?: AbortSignal;
}

/** One way into the colony over HTTP/1.1: each request has a connection of its own, and says exactly what the test says. */
export class HttpEntrance {
  readonly name: string;
  /** As the `Host` header names it. */
  readonly host: string;
  readonly token: string;
  readonly connect: () => Promise<Duplex>;

  constructor(name: string, host: string, token: string, open: () => Promise<Duplex>) {
    this.name = name;
    this.host = host;
    this.token = token;
    this.connect = open;
  }

  /** Through the mesh, under a lease. */
  static inMesh(lease: Leased): HttpEntrance {
    const open = (): Promise<Duplex> => lease.mesh.dial(lease.colonyAddress, 9_080);
    return new HttpEntrance('mesh', `${lease.colonyAddress}:9080`, lease.answer.accessToken, open);
  }

  /** Through the public port. */
  static inPublic(endpoint: string, caPem: string, token = ''): HttpEntrance {
    const [host = '', port] = endpoint.split(':');
    const open = (): Promise<Duplex> =>
      new Promise((resolve, reject) => {
        const socket = connect({ host, port: Number(port), ca: caPem, ALPNProtocols: ['http/1.1'] });
        socket.once('secureConnect', () => resolve(socket)).once('error', reject);
      });
    return new HttpEntrance('public', endpoint, token, open);
  }

  with(token: string): HttpEntrance {
    return new HttpEntrance(this.name, this.host, token, this.connect);
  }

  async open({ method = 'POST', path = '/mcp', headers = {}, body, signal }: Sent): Promise<IncomingMessage> {
    const socket = await this.connect();
    const bytes = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const length = bytes === undefined ? {} : { 'content-length': Buffer.byteLength(bytes) };
    try {
      return await new Promise((resolve, reject) => {
        const all = { host: this.host, connection: 'close', ...length, ...headers };
        const sent = request({ createConnection: () => socket, method, path, headers: all, signal });
        sent.once('response', resolve).once('error', reject);
        sent.end(bytes);
      });
    } catch (thrown) {
      socket.destroy();
      throw thrown;
    }
  }

  async send(what: Sent): Promise<HttpAnswer> {
    const response = await this.open(what);
    const body = await text(response);
    const { statusCode = 0, headers } = response;
    return { status: statusCode, headers, text: body, messages: messagesIn(headers['content-type'] ?? '', body) };
  }

  /** Bytes as they are, on a connection of their own; everything that came back until it was closed. */
  async raw(bytes: string | Buffer): Promise<string> {
    const socket = await this.connect();
    socket.on('error', () => socket.destroy());
    socket.write(bytes);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    // A stream of the mesh may stay half open; the colony has said all it had to say.
    await new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
    socket.destroy();
    return Buffer.concat(chunks).toString('latin1');
  }

  /** A message of the new era, with the headers that belong to it. */
  async modern(message: Json, headers: OutgoingHttpHeaders = {}, signal?: AbortSignal): Promise<HttpAnswer> {
    const all = { ...commonHeaders(this), ...modernHeaders(message), ...headers };
    return await this.send({ headers: all, body: message, ...(signal === undefined ? {} : { signal }) });
  }

  /** A message as a client of 2025-11-25 sends it after its handshake. */
  async legacy(message: Json, headers: OutgoingHttpHeaders = {}): Promise<HttpAnswer> {
    const all = { ...commonHeaders(this), 'mcp-protocol-version': '2025-11-25', ...headers };
    return await this.send({ headers: all, body: withoutMeta(message) });
  }
}

/** What a client of either era sends beside its message. */
export function commonHeaders({ token }: Pick<HttpEntrance, 'token'>): Record<string, string> {
  return {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
  };
}

/** SEP-2243: what a client of the new era repeats in headers. */
export function modernHeaders(message: Json): Record<string, string> {
  const { name } = (message['params'] ?? {}) as { name?: string };
  return {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': String(message['method']),
    ...(name === undefined ? {} : { 'mcp-name': name }),
  };
}

function withoutMeta(message: Json): Json {
  const { _meta: _, ...params } = (message['params'] ?? {}) as Json;
  return { ...message, params };
}

function messagesIn(type: string, body: string): Json[] {
  if (type.startsWith('application/json')) return [JSON.parse(body) as Json];
  if (!type.startsWith('text/event-stream')) return [];
  const data = body.split('\n').filter((line) => line.startsWith('data: '));
  return data.map((line) => JSON.parse(line.slice('data: '.length)) as Json);
}
