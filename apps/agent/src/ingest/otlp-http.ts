import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CoralError, toCoralError } from '@coral/errors';
import type { Limits } from '../agent.config.js';
import { cannotListen } from '../agent.errors.js';
import { describeError, type AgentLog } from '../log.js';
import type { AgentMetrics } from '../ops/agent-metrics.js';
import { readBody } from './body-reader.js';
import { isRetryable, retryAfterMs } from './ingest.errors.js';
import type { Intake } from './intake.js';
import { encodeAccepted, encodeStatus, otlpHttpStatus } from './otlp-answers.js';
import type { Encoding, Signal } from './request-reader.js';

export interface OtlpServerOptions {
  listen: { host: string; port: number };
  limits: Limits;
  intake: Intake;
  metrics: AgentMetrics;
  log: AgentLog;
}

/** Longest a client may take to send one request. */
const requestTimeoutMs = 30_000;

const paths: Record<string, Signal> = { '/v1/traces': 'traces', '/v1/metrics': 'metrics', '/v1/logs': 'logs' };
const contentTypes: Record<Encoding, string> = { json: 'application/json', protobuf: 'application/x-protobuf' };

/** OTLP/HTTP (OTLP 1.9): POST /v1/{traces,metrics,logs}, protobuf or JSON, plain or gzip. */
export class OtlpHttpServer {
  readonly #options: OtlpServerOptions;
  readonly #server: Server;

  constructor(options: OtlpServerOptions) {
    this.#options = options;
    this.#server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
      void this.#answer(request, response);
    });
  }

  /** Resolves with host:port once it accepts connections. */
  async start(): Promise<string> {
    const { host, port } = this.#options.listen;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => reject(cannotListen('otlp.http.listen', { host, port }, error)));
      this.#server.listen(port, host, () => resolve());
    });
    const address = this.#server.address() as AddressInfo;
    return `${host}:${address.port}`;
  }

  /** Takes no new connection; requests under way are answered first. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Refusals of the envelope are answered in the request's encoding when it is known, else in JSON.
    const encoding = encodingOf(request) ?? 'json';
    try {
      const signal = paths[new URL(request.url ?? '/', 'http://agent').pathname];
      const refusal = signal === undefined ? refuse(404, 'no such path') : checkEnvelope(request);
      if (signal === undefined || refusal !== undefined) {
        this.#refuse(response, encoding, refusal?.error as CoralError, refusal?.status as number);
        return;
      }
      const { limits, intake } = this.#options;
      const gzip = contentEncoding(request) === 'gzip';
      const body = await readBody(request, gzip, limits.max_body, intake.budget);
      const accepted = await intake.accept(signal, encoding, body);
      send(response, 200, encoding, encodeAccepted(signal, encoding, accepted));
    } catch (thrown) {
      const error = toCoralError(thrown);
      if (error.kind === 'internal') this.#options.log.error('a request failed', describeError(thrown));
      this.#refuse(response, encoding, error, otlpHttpStatus(error));
    }
  }

  #refuse(response: ServerResponse, encoding: Encoding, error: CoralError, status: number): void {
    this.#options.metrics.refused(error.reason);
    if (response.destroyed || response.headersSent) return;
    if (isRetryable(error)) response.setHeader('retry-after', String(retryAfterMs / 1_000));
    // What is left of an oversized body must not be taken for the next request.
    if (!response.req.complete) response.setHeader('connection', 'close');
    send(response, status, encoding, encodeStatus(encoding, error));
  }
}

function send(response: ServerResponse, status: number, encoding: Encoding, body: Buffer): void {
  response.writeHead(status, { 'content-type': contentTypes[encoding], 'content-length': body.length });
  response.end(body);
}

function checkEnvelope(request: IncomingMessage): { status: number; error: CoralError } | undefined {
  if (request.method !== 'POST') return refuse(405, `${request.method} is not allowed; exports are POSTed`);
  if (encodingOf(request) === undefined) {
    const type = request.headers['content-type'] ?? 'none';
    return refuse(415, `Content-Type ${type.slice(0, 80)}: use application/x-protobuf or application/json`);
  }
  const encoding = contentEncoding(request);
  if (encoding !== 'gzip' && encoding !== 'identity') {
    return refuse(415, `Content-Encoding ${encoding.slice(0, 80)}: use gzip or none`);
  }
  return undefined;
}

function refuse(status: 404 | 405 | 415, problem: string): { status: number; error: CoralError } {
  const reasons = { 404: 'no_such_path', 405: 'method_not_allowed', 415: 'unsupported_media_type' } as const;
  return {
    status,
    error: new CoralError({
      kind: status === 404 ? 'not_found' : 'invalid_argument',
      reason: reasons[status],
      message: `Not an OTLP request: ${problem}.`,
      next: 'POST to /v1/traces, /v1/metrics or /v1/logs.',
    }),
  };
}

function encodingOf(request: IncomingMessage): Encoding | undefined {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type === 'application/json') return 'json';
  return type === 'application/x-protobuf' || type === 'application/protobuf' ? 'protobuf' : undefined;
}

function contentEncoding(request: IncomingMessage): string {
  return request.headers['content-encoding']?.trim().toLowerCase() || 'identity';
}
