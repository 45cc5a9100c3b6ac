// Cross-origin requests of the web pages in mcp_server.allowed_origins. Read first: the Fetch standard, "CORS protocol".
import type { HttpReply } from './http-route.js';

/** What a client of ours or of the MCP SDKs sends. */
const requestHeaders = [
  'authorization',
  'content-type',
  'idempotency-key',
  'last-event-id',
  'mcp-method',
  'mcp-name',
  'mcp-protocol-version',
  'mcp-session-id',
];
const preflightSeconds = 600;

/** `origin` passed the gate; undefined for clients that are no web pages. */
export function corsHeaders(origin: string | undefined): Readonly<Record<string, string>> {
  if (origin === undefined) return {};
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'www-authenticate, retry-after',
    vary: 'origin',
  };
}

export function preflight(methods: readonly string[]): HttpReply {
  return {
    status: 204,
    headers: {
      'access-control-allow-methods': methods.join(', '),
      'access-control-allow-headers': requestHeaders.join(', '),
      'access-control-max-age': String(preflightSeconds),
    },
  };
}
