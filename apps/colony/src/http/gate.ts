// What is looked at before anything else of a request: for whom it is (DNS rebinding), which web page sent it, and whether
// its URL carries a secret. Read first: the security section of the MCP transports page, RFC 6750 §2.3 and §5.3, RFC 6454.
import type { IncomingMessage } from 'node:http';
import { HostRefused, OriginRefused, TokenInQuery } from './http.errors.js';

export interface Entrance {
  /** Which tokens count behind it. */
  readonly audience: 'mesh' | 'public';
  /** Names and addresses this door is called by, lower case, IPv6 without brackets. */
  readonly hosts: ReadonlySet<string>;
  /** Web pages that may call, as browsers name them. */
  readonly origins: ReadonlySet<string>;
}

export interface Passed {
  path: string;
  /** The web page that calls, when one does. */
  origin: string | undefined;
}

/** Throws {@link HostRefused}, {@link OriginRefused} or {@link TokenInQuery}. */
export function passGate(request: IncomingMessage, { hosts, origins }: Entrance): Passed {
  const { host = [], origin = [] } = request.headersDistinct;
  const name = host.length === 1 ? hostnameOf(host[0] ?? '') : undefined;
  if (name === undefined || !hosts.has(name)) throw new HostRefused([...hosts]);
  if (origin.length > 1 || origin.some((one) => !origins.has(one))) throw new OriginRefused();
  const { path, query } = split(request.url ?? '');
  if (query !== undefined && carriesCredential(query)) throw new TokenInQuery();
  return { path, origin: origin[0] };
}

/** The path of a request target, for rows and logs: what stands behind it may be secret. */
export function pathOf(target: string): string {
  return split(target).path;
}

function split(target: string): { path: string; query: string | undefined } {
  const at = target.search(/[?#]/);
  return at < 0 ? { path: target, query: undefined } : { path: target.slice(0, at), query: target.slice(at + 1) };
}

const hostShape = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i;

/** The port is no part of the name: there may be another one in front of the colony. */
function hostnameOf(host: string): string | undefined {
  const parts = hostShape.exec(host);
  return (parts?.[1] ?? parts?.[2])?.toLowerCase();
}

const secretName = /token|auth|bearer|api[_-]?key|secret|password|jwt|credential/i;
const secretValue = /^(bearer\s+)?(coral_(pat|join)_|ey[\w-]+\.ey)/i;

function carriesCredential(query: string): boolean {
  return [...new URLSearchParams(query)].some(([name, value]) => secretName.test(name) || secretValue.test(value));
}
