import { hostname } from 'node:os';
import { isAnyAddress } from '../colony.config.js';
import type { ColonyConfig } from '../colony.config.js';
import { mcpPath } from '../mcp/mcp-path.js';

/** What clients outside the mesh call the colony, and what its certificate says. */
export class PublicAddress {
  private readonly configured: string | undefined;
  private announced: string | undefined;
  /** For the certificate and for `Host`: DNS names and addresses without brackets or ports, lower case. */
  readonly names: readonly string[];

  constructor({ listen, mcp_server: { public_url: url } }: Pick<ColonyConfig, 'listen' | 'mcp_server'>) {
    this.configured = url;
    const own = /^[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(hostname()) ? [hostname()] : [];
    const chosen = url === undefined ? [] : [new URL(url).hostname.replace(/^\[|\]$/g, '')];
    const listening = isAnyAddress(listen.host) ? [] : [listen.host];
    const names = [...chosen, ...listening, 'localhost', '127.0.0.1', '::1', ...own];
    this.names = [...new Set(names.map((name) => name.toLowerCase()))];
  }

  /** host:port of the open door: its port may have been chosen by the system. */
  announce(endpoint: string): void {
    this.announced = `https://${endpoint}`;
  }

  /** Without a slash at the end. RFC 8414 calls it the issuer. */
  get url(): string {
    const url = this.configured ?? this.announced;
    if (url === undefined) throw new TypeError('the public door is not open yet');
    return url;
  }

  /** The canonical URI of the MCP endpoint (RFC 8707): the audience of its tokens. */
  get resource(): string {
    return `${this.url}${mcpPath}`;
  }
}
