import { CoralError, httpStatusFor, toCoralError } from '@coral/errors';
import { HttpRefusal } from '../http/http.errors.js';
import type { HttpReply, HttpRequest, HttpRoute } from '../http/http-route.js';
import type { JsonLogger } from '../edge/json-logger.js';
import { maxFrameBytes } from './json-frame.js';
import { ScopeMissing } from './mcp-door.js';
import type { McpDoor } from './mcp-door.js';

export interface McpHttpOptions {
  door: McpDoor;
  audience: 'mesh' | 'public';
  /** Where a client learns how to get a token (RFC 9728); in the mesh there is no such place: tokens come with leases. */
  resourceMetadata: (() => string) | undefined;
  logger: Pick<JsonLogger, 'failure'>;
}

/** What the tool path says of leases is meant for the mesh. */
const newPublicToken = 'Exchange an API token for an access token: POST /oauth/token (RFC 8693).';

/** The statuses for which JSON-RPC has a word of its own: "Invalid Request". */
const malformed = new Map([
  [400, -32_600],
  [413, -32_600],
]);

/** MCP over Streamable HTTP, stateless: each POST is one message, and there is nothing to GET or DELETE. */
export class McpHttp implements HttpRoute {
  readonly methods = ['POST'];
  readonly maxBodyBytes = maxFrameBytes;
  private readonly options: McpHttpOptions;

  constructor(options: McpHttpOptions) {
    this.options = options;
  }

  async answer(request: HttpRequest): Promise<HttpReply> {
    const { door, audience, logger } = this.options;
    const { token, peer, remoteAddress, headers, userAgent, signal } = request;
    const key = headers['idempotency-key'];
    const idempotencyKey = typeof key === 'string' && key !== '' ? key : undefined;
    const caller = {
      token,
      peer,
      audience,
      door: 'http' as const,
      remoteAddress,
      idempotencyKey,
      ...(userAgent === '' ? {} : { userAgent }),
    };
    try {
      const { json, events, ...reply } = await door.respond(request.body, headers, caller, signal);
      const body = json ?? events;
      return body === undefined ? reply : { ...reply, body };
    } catch (thrown) {
      const error = toCoralError(thrown);
      if (error.kind === 'internal') logger.failure('an MCP request failed', error);
      return this.say(error);
    }
  }

  /** JSON-RPC has no words for HTTP's refusals: the code is HTTP's, outside the range JSON-RPC keeps for itself. */
  say(error: CoralError): HttpReply {
    const { kind, reason, message, where } = error;
    const isOutside = kind === 'unauthenticated' && this.options.audience === 'public';
    const next = isOutside ? newPublicToken : error.next;
    const status = error instanceof HttpRefusal ? error.status : httpStatusFor(kind);
    const challenge = this.challengeOf(error);
    const data = { error: { kind, reason, message, ...(next && { next }), ...(where && { where }) } };
    return {
      status,
      headers: {
        'content-type': 'application/json',
        ...(challenge === undefined ? {} : { 'www-authenticate': challenge }),
        ...(kind === 'unavailable' ? { 'retry-after': '1' } : {}),
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: null,
        error: { code: malformed.get(status) ?? status, message, data },
      }),
    };
  }

  /** RFC 6750 §3: no error code for who brought nothing, `insufficient_scope` only where another token would help. */
  private challengeOf(error: CoralError): string | undefined {
    const { resourceMetadata } = this.options;
    const where = resourceMetadata === undefined ? [] : [`resource_metadata="${resourceMetadata()}"`];
    if (error instanceof ScopeMissing) {
      return `Bearer ${['error="insufficient_scope"', `scope="${error.scope}"`, ...where].join(', ')}`;
    }
    if (error.kind !== 'unauthenticated') return undefined;
    const what = error.reason === 'token_missing' ? [] : ['error="invalid_token"'];
    const parameters = [...what, ...where];
    return parameters.length === 0 ? 'Bearer realm="coral"' : `Bearer ${parameters.join(', ')}`;
  }
}
