import { Agent as HttpAgent, request as requestHttp, type IncomingMessage } from 'node:http';
import { globalAgent as httpsAgent, request as requestHttps } from 'node:https';
import { ReadableStream } from 'node:stream/web';
import { CoralError } from '@coral/errors';
import { ProviderFailed, type ProviderFailure } from './llm.errors.js';
import { plainText } from './provider-http-failure.js';

export { toProviderFailed } from './provider-http-failure.js';

/** Bytes of one streamed answer. The longest that a model gives is some 20 MB, with an event around each token. */
export const maxStreamBytes = 64 * 1024 * 1024;

/** Bytes of an error's body; what follows is not read. */
export const maxErrorBytes = 64 * 1024;

/** What an SDK says about a request and we let through; the rest would tell a server about the laptop, or the environment decide. */
const passed = ['accept', 'content-type', 'user-agent'];

/** How long the end of a body is waited for whose last event has been read. */
const lingerMs = 250;

/** Plain HTTP stays on this machine: never through a proxy, whatever Node was told. HTTPS may: a tunnel sees no key. */
const httpAgent = new HttpAgent({ keepAlive: true });

export interface ProviderHttp {
  /** `anthropic`, `openai`. */
  provider: string;
  /** The only place that requests go: this origin, at or below this path. */
  endpoint: URL;
  /** Sent with every request in place of what the SDK or the environment would send: the key, the API's version. */
  headers: () => Record<string, string>;
}

/** The SDKs' `fetch` option. */
export type ProviderFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/**
 * How a model's API is reached. The key is set here and nowhere else, so that it goes to one place only: SDKs get a
 * placeholder, redirects are refused, an environment that names other servers, keys or headers changes nothing. A 2xx must
 * be an event stream; every body is bounded. Errors: {@link ProviderFailed}, or an AbortError when the signal aborted.
 */
export function providerFetch(http: ProviderHttp): ProviderFetch {
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (!isBelow(url, http.endpoint)) throw new ProviderElsewhere(http.provider);
    if (init.body !== undefined && init.body !== null && typeof init.body !== 'string') {
      throw new TypeError('A request to a model has a text as its body.');
    }
    const message = await send(url, http, init, init.body ?? undefined);
    try {
      return toResponse(message, http);
    } catch (thrown) {
      message.destroy();
      throw thrown;
    }
  };
}

function isBelow(url: URL, endpoint: URL): boolean {
  const root = endpoint.pathname.endsWith('/') ? endpoint.pathname : `${endpoint.pathname}/`;
  return url.origin === endpoint.origin && url.pathname.startsWith(root);
}

function send(url: URL, http: ProviderHttp, init: RequestInit, body: string | undefined): Promise<IncomingMessage> {
  const isTls = url.protocol === 'https:';
  const options = {
    method: init.method ?? 'GET',
    headers: headersFor(http, init, body),
    agent: isTls ? httpsAgent : httpAgent,
    // Said, since NODE_TLS_REJECT_UNAUTHORIZED would otherwise decide who gets the key.
    rejectUnauthorized: true,
  };
  return new Promise((resolve, reject) => {
    let message: IncomingMessage | undefined;
    const take = (came: IncomingMessage): void => {
      message = came;
      resolve(came);
    };
    const request = isTls ? requestHttps(url, options, take) : requestHttp(url, options, take);
    request.on('error', (error) => reject(isAbort(error) ? error : unreachable(http, error)));
    // Not the request's own `signal`: once the whole body is here the socket is on its way back to the agent, and an
    // abort in that moment would be an error of the socket that nobody listens to.
    const { signal } = init;
    const abort = (): void => {
      const error = new DOMException('The request was aborted.', 'AbortError');
      if (message?.complete === true) message.destroy(error);
      else request.destroy(error);
    };
    if (signal?.aborted === true) abort();
    signal?.addEventListener('abort', abort, { once: true });
    request.once('close', () => signal?.removeEventListener('abort', abort));
    request.end(body);
  });
}

function headersFor(http: ProviderHttp, init: RequestInit, body: string | undefined): Record<string, string> {
  const given = new Headers(init.headers);
  const headers: Record<string, string> = {};
  for (const name of passed) {
    const value = given.get(name);
    if (value !== null) headers[name] = value;
  }
  // No compression: what is counted is what was sent.
  headers['accept-encoding'] = 'identity';
  if (body !== undefined) headers['content-length'] = String(Buffer.byteLength(body));
  return { ...headers, ...http.headers() };
}

function toResponse(message: IncomingMessage, http: ProviderHttp): Response {
  const status = message.statusCode ?? 0;
  if (status >= 300 && status < 400) throw redirected(http, status, message.headers.location);
  const isOk = status >= 200 && status < 300;
  if (isOk) checkIsStream(http, message);
  else if (status < 200 || status > 599) throw protocol(http, `answered with HTTP status ${status}, which is none`);
  const body = isOk ? streamOf(message, http) : firstOf(message);
  return new Response(ReadableStream.from(body), { status, headers: headersOf(message) });
}

function checkIsStream(http: ProviderHttp, message: IncomingMessage): void {
  const type = (message.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (type !== 'text/event-stream') {
    const what = type === '' ? 'without a content type' : `with ${plainText(type, 80)}`;
    throw protocol(http, `answered ${what} where a stream of events was asked for`);
  }
  const encoding = message.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding !== 'identity') throw protocol(http, `answered in the encoding ${plainText(encoding, 40)}, unasked`);
}

async function* streamOf(message: IncomingMessage, http: ProviderHttp): AsyncGenerator<Uint8Array> {
  let seen = 0;
  try {
    for await (const chunk of message.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      seen += chunk.length;
      if (seen > maxStreamBytes) throw protocol(http, `sent more than ${maxStreamBytes >> 20} MiB in one answer`);
      yield chunk;
    }
  } catch (thrown) {
    if (isAbort(thrown) || thrown instanceof CoralError) throw thrown;
    throw failed(http, 'provider_stream_cut', 'broke off the connection in the middle of its answer', thrown);
  } finally {
    leave(message);
  }
}

/**
 * Protocols say their end before the connection does. The rest is read for a moment, so that the connection can serve the
 * next request; a peer that goes on is left.
 */
function leave(message: IncomingMessage): void {
  if (message.destroyed) return;
  message.on('error', () => message.destroy());
  message.resume();
  const timer = setTimeout(() => message.destroy(), lingerMs);
  message.once('close', () => clearTimeout(timer));
}

/** An error's body counts only as far as it is read: one that breaks off leaves the status, which says more. */
async function* firstOf(message: IncomingMessage): AsyncGenerator<Uint8Array> {
  let left = maxErrorBytes;
  try {
    for await (const chunk of message as AsyncIterable<Buffer>) {
      yield chunk.subarray(0, left);
      left -= chunk.length;
      if (left <= 0) return;
    }
  } catch (thrown) {
    if (isAbort(thrown)) throw thrown;
  } finally {
    message.destroy();
  }
}

function headersOf(message: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  return headers;
}

function isAbort(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === 'AbortError';
}

function unreachable(http: ProviderHttp, error: Error & { code?: string }): ProviderFailed {
  const why = words[error.code ?? ''] ?? (isCertificate(error.code) ? 'its certificate is not trusted' : undefined);
  return failed(
    http,
    'provider_unreachable',
    `is not reached at ${http.endpoint.host}: ${why ?? 'the connection failed'}${error.code === undefined ? '' : ` (${error.code})`}`,
    error,
  );
}

const words: Record<string, string> = {
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'names are not resolved here just now',
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was closed before an answer',
  EPIPE: 'the connection was closed before an answer',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to the network',
  ETIMEDOUT: 'nothing came back',
  EPROTO: 'it does not speak TLS',
};

function isCertificate(code: string | undefined): boolean {
  return code !== undefined && /CERT|SELF_SIGNED|ERR_TLS/.test(code);
}

function redirected(http: ProviderHttp, status: number, location: string | undefined): ProviderFailed {
  const to = location === undefined ? '' : ` to ${plainText(location, 120)}`;
  return protocol(http, `answered ${status}, a redirect${to}; a key follows none`);
}

function protocol(http: ProviderHttp, what: string): ProviderFailed {
  return failed(http, 'provider_protocol', what);
}

function failed(http: ProviderHttp, failure: ProviderFailure, what: string, cause?: unknown): ProviderFailed {
  return new ProviderFailed({
    provider: http.provider,
    failure,
    message: `The API of ${http.provider} ${what}.`,
    cause,
  });
}

/** A defect of ours or of the SDK: nothing was sent. */
class ProviderElsewhere extends CoralError {
  constructor(provider: string) {
    super({
      kind: 'internal',
      reason: 'provider_elsewhere',
      where: provider,
      message: `A request to ${provider} would have gone to another address than the configured one; it was not sent.`,
      next: 'Report this as a defect of coral.',
    });
  }
}
