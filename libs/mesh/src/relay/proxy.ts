// Which proxy leads to a host, by the usual environment variables. There is no RFC; curl and Go are what people expect.
import { BlockList, isIP } from 'node:net';
import { badProxyUrl } from './relay.errors.js';

/** Plain data: it goes to a worker. */
export interface Proxy {
  /** Of the connection to the proxy itself. */
  secure: boolean;
  host: string;
  port: number;
  /** `user:password`, decoded; absent: none. */
  credentials?: string;
}

/** The variables that are looked at; lower case goes first, as with curl. */
export interface ProxyEnvironment {
  [name: string]: string | undefined;
}

/** The proxy to reach `host:port` by HTTPS, undefined for none. Throws `bad_proxy_url`. */
export function proxyFor(host: string, port: number, env: ProxyEnvironment): Proxy | undefined {
  const url = env['https_proxy'] || env['HTTPS_PROXY'];
  if (!url || isExempt(host, port, env['no_proxy'] ?? env['NO_PROXY'] ?? '')) return undefined;
  return parseProxy(url);
}

/** `http://user:password@host:port`; without a scheme, http. Ports default to 80 and 443. Throws `bad_proxy_url`. */
export function parseProxy(text: string): Proxy {
  const trimmed = text.trim();
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`;
  if (!URL.canParse(whole)) throw badProxyUrl('it is not a URL');
  const url = new URL(whole);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw badProxyUrl(`${url.protocol.slice(0, -1)} proxies are not supported`);
  }
  if (url.hostname === '') throw badProxyUrl('it names no host');
  const secure = url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  if (port === 0) throw badProxyUrl('port 0 is no port');
  const proxy: Proxy = { secure, host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port };
  if (url.username !== '' || url.password !== '') {
    proxy.credentials = `${decoded(url.username)}:${decoded(url.password)}`;
  }
  return proxy;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw badProxyUrl('a % in user or password is not followed by two hexadecimal digits');
  }
}

/** Entries of NO_PROXY: `*`, a host and all below it (leading dot or not), an address, a range (`10.0.0.0/8`), any with `:port`. */
function isExempt(host: string, port: number, list: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '');
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => entry !== '' && exempts(entry, name, port));
}

function exempts(entry: string, name: string, port: number): boolean {
  if (entry === '*') return true;
  const [, bare = entry, onlyPort] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(entry) ?? [];
  if (onlyPort !== undefined && Number(onlyPort) !== port) return false;
  const pattern = bare.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(name);
  if (family !== 0) return inRange(name, family, pattern);
  const suffix = pattern.replace(/^\*?\.?/, '').replace(/\.$/, '');
  return suffix !== '' && (name === suffix || name.endsWith(`.${suffix}`));
}

function inRange(address: string, family: number, pattern: string): boolean {
  const [base = '', length] = pattern.split('/');
  if (isIP(base) !== family) return false;
  const bits = length === undefined ? (family === 4 ? 32 : 128) : Number(length);
  if (!Number.isInteger(bits) || bits < 0 || bits > (family === 4 ? 32 : 128)) return false;
  const range = new BlockList();
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  range.addSubnet(base, bits, kind);
  return range.check(address, kind);
}
