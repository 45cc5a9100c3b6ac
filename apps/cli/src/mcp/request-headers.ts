// The headers of MCP's Streamable HTTP, from the body they belong to. Read first: modelcontextprotocol.io/specification/
// 2026-07-28, "Transports", "Standard Request Headers" (SEP-2243); for older clients the same page of 2025-11-25.
import { isObject, type ClientMessage } from './mcp-message.js';

const protocolVersionKey = 'io.modelcontextprotocol/protocolVersion';

/** Where the thing that a request is about has its name (SEP-2243; `tasks/…`: SEP-2663). */
const nameSources: ReadonlyMap<string, string> = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri'],
  ['tasks/get', 'taskId'],
  ['tasks/update', 'taskId'],
  ['tasks/cancel', 'taskId'],
]);

/**
 * A message that names its revision is of 2026 and says it again in its headers. All others are of the eras before: they carry
 * the revision that `initialize` agreed on (`agreed`), once it has.
 */
export function headersFor(message: ClientMessage, agreed: string | undefined): Record<string, string> {
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  const legacy = agreed === undefined ? headers : { ...headers, 'mcp-protocol-version': agreed };
  if (message.kind !== 'request' && message.kind !== 'notification') return legacy;
  const { method, params } = message;
  const meta = params['_meta'];
  const revision = isObject(meta) ? meta[protocolVersionKey] : undefined;
  if (typeof revision !== 'string') return method === 'initialize' ? headers : legacy;
  const name = params[nameSources.get(method) ?? ''];
  return {
    ...headers,
    'mcp-protocol-version': fieldValue(revision),
    'mcp-method': fieldValue(method),
    ...(typeof name === 'string' ? { 'mcp-name': fieldValue(name) } : {}),
  };
}

/** Plain where a header can carry it (RFC 9110, 5.5), else as `=?base64?…?=` of its UTF-8. */
export function fieldValue(text: string): string {
  const isPlain = /^[\x20-\x7e\t]+$/.test(text) && text.trim() === text;
  const looksEncoded = text.startsWith('=?base64?') && text.endsWith('?=');
  return isPlain && !looksEncoded ? text : `=?base64?${Buffer.from(text).toString('base64')}?=`;
}
