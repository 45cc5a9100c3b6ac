/**
 * What OpenTelemetry's semantic conventions mean to Coral. Stable names first, then the ones they replaced
 * (semantic-conventions 1.20 and before), so services instrumented years apart meet in one table.
 */
import { numberAttribute, textAttribute, type Attributes } from './attributes.js';

export const spanKinds = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'] as const;
export type SpanKindName = (typeof spanKinds)[number];
export const statusCodes = ['UNSET', 'OK', 'ERROR'] as const;
export type StatusName = (typeof statusCodes)[number];

export const maxNameLength = 256;

export interface Identity {
  service: string;
  version: string;
  instance: string;
  host: string;
}

/** OpenTelemetry's own fallback for a resource without `service.name`. */
export const unknownService = 'unknown_service';

export function identityOf(resource: Attributes): Identity {
  const host = textAttribute(resource, 'host.name', 'k8s.node.name', 'host.id');
  const process = textAttribute(resource, 'process.pid');
  // Without an instance id, what distinguishes two lives of a service: its pod, its container, or its process.
  const instance =
    textAttribute(resource, 'service.instance.id', 'k8s.pod.uid', 'container.id') ||
    (process === '' ? '' : `${host}/${process}`);
  return {
    service: short(textAttribute(resource, 'service.name')) || unknownService,
    version: short(textAttribute(resource, 'service.version')),
    instance: short(instance),
    host: short(host),
  };
}

/** The low-cardinality name of what was asked for: `http.route`, the RPC method, the queue, else the span's name. */
export function routeOf(kind: SpanKindName, name: string, attributes: Attributes): string {
  if (kind !== 'SERVER' && kind !== 'CONSUMER') return '';
  const route = textAttribute(attributes, 'http.route');
  if (route !== '') return short(route);
  const method = textAttribute(attributes, 'rpc.method');
  if (method === '') return short(name);
  const rpcService = textAttribute(attributes, 'rpc.service');
  return short(rpcService === '' || method.includes('/') ? method : `${rpcService}/${method}`);
}

/** Status ERROR, or an HTTP answer of 5xx whatever the status says. */
export function isFailed(status: StatusName, attributes: Attributes): boolean {
  if (status === 'ERROR') return true;
  const http = numberAttribute(attributes, 'http.response.status_code', 'http.status_code');
  return http !== undefined && http >= 500 && http <= 599;
}

export type OutgoingKind = 'request' | 'database' | 'queue';

/** Where an outgoing call went; becomes one edge. */
export interface Outgoing {
  kind: OutgoingKind;
  address: string;
  system: string;
  name: string;
}

/**
 * Whether a span is one outgoing call, and to where. One call must be counted once although instrumentations of several
 * layers see it. The rule, in this order, for CLIENT and PRODUCER spans only (so `tcp.connect` and `tls.connect`, which are
 * INTERNAL, never count):
 * 1. It names a database system: one database call if it also says what was asked (query text, operation, collection,
 *    procedure), else it only opens or borrows a connection (`pg.connect`, `redis-connect`) and is none.
 * 2. It names a messaging system: one call to the queue, unless it receives, settles or only creates a message.
 * 3. It names an HTTP method or an RPC system: one request.
 * 4. It names nothing of these: one request if it says where it went; so `dns.lookup` and `pg-pool.connect` are none.
 * A client library that wraps another instrumented one (an ORM over its driver) shows as two edges of different systems.
 */
export function outgoingOf(kind: SpanKindName, attributes: Attributes): Outgoing | undefined {
  if (kind !== 'CLIENT' && kind !== 'PRODUCER') return undefined;
  const address = addressOf(attributes);
  const database = textAttribute(attributes, 'db.system.name', 'db.system');
  if (database !== '') return isDatabaseCall(attributes) ? databaseCall(attributes, address, database) : undefined;
  if (hasPoolName(attributes)) return undefined;

  const messaging = textAttribute(attributes, 'messaging.system');
  if (messaging !== '') return queueCall(attributes, address, messaging, kind);

  const rpc = textAttribute(attributes, 'rpc.system.name', 'rpc.system');
  if (rpc !== '') return { kind: 'request', address, system: short(rpc), name: '' };
  if (textAttribute(attributes, 'http.request.method', 'http.method') !== '') {
    return { kind: 'request', address, system: 'http', name: '' };
  }
  return address === '' || kind === 'PRODUCER' ? undefined : { kind: 'request', address, system: '', name: '' };
}

function isDatabaseCall(attributes: Attributes): boolean {
  const asked = [
    'db.query.text',
    'db.statement',
    'db.query.summary',
    'db.operation.name',
    'db.operation',
    'db.collection.name',
    'db.stored_procedure.name',
  ];
  return asked.some((key) => textAttribute(attributes, key) !== '');
}

function databaseCall(attributes: Attributes, address: string, system: string): Outgoing {
  const name = textAttribute(attributes, 'db.namespace', 'db.name', 'db.redis.database_index');
  return { kind: 'database', address, system: short(system), name: short(name) };
}

function hasPoolName(attributes: Attributes): boolean {
  return textAttribute(attributes, 'db.client.connection.pool.name') !== '';
}

const notSending = new Set(['receive', 'process', 'deliver', 'settle', 'create', 'ack', 'nack', 'reject']);

function queueCall(attributes: Attributes, address: string, system: string, kind: SpanKindName): Outgoing | undefined {
  const operation = textAttribute(attributes, 'messaging.operation.type', 'messaging.operation');
  if (notSending.has(operation) || (kind === 'CLIENT' && operation === '')) return undefined;
  const name = textAttribute(attributes, 'messaging.destination.name', 'messaging.destination');
  return { kind: 'queue', address, system: short(system), name: short(name) };
}

/** `host:port` as the client knew it. */
function addressOf(attributes: Attributes): string {
  const host = textAttribute(
    attributes,
    'server.address',
    'net.peer.name',
    'peer.service',
    'net.peer.ip',
    'network.peer.address',
    'net.sock.peer.addr',
  );
  const port = textAttribute(attributes, 'server.port', 'net.peer.port', 'network.peer.port', 'net.sock.peer.port');
  if (host !== '') return short(joinAddress(host, port));
  const url = textAttribute(attributes, 'url.full', 'http.url');
  if (!URL.canParse(url)) return '';
  const parsed = new URL(url);
  return short(joinAddress(parsed.hostname, parsed.port || (parsed.protocol === 'https:' ? '443' : '80')));
}

function joinAddress(host: string, port: string): string {
  // host:port may already stand in one attribute (net.peer.name of old instrumentations); IPv6 needs its brackets.
  const isV6 = host.split(':').length > 2 && !host.startsWith('[');
  const named = isV6 ? `[${host}]` : host;
  return port === '' || /:\d+$/.test(named) ? named : `${named}:${port}`;
}

function short(text: string): string {
  return text.length > maxNameLength ? text.slice(0, maxNameLength).toWellFormed() : text;
}
