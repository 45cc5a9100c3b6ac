import { describe, expect, it } from 'vitest';
import type { Attributes } from './attributes.js';
import { identityOf, isFailed, outgoingOf, routeOf, type SpanKindName } from './semantics.js';

type Sketch = [name: string, kind: SpanKindName, attributes: Attributes, expected: unknown];

const stable = { 'server.address': 'db', 'server.port': 5432 };

describe('outgoingOf counts one call once', () => {
  it.each<Sketch>([
    [
      'pg.query',
      'CLIENT',
      { ...stable, 'db.system.name': 'postgresql', 'db.query.text': 'select 1', 'db.namespace': 'shop' },
      ['database', 'db:5432', 'postgresql', 'shop'],
    ],
    ['pg.connect', 'CLIENT', { ...stable, 'db.system.name': 'postgresql', 'db.namespace': 'shop' }, undefined],
    [
      'pg-pool.connect',
      'CLIENT',
      { 'db.client.connection.pool.name': 'db:5432/shop', 'server.address': 'db' },
      undefined,
    ],
    [
      'redis GET, old names',
      'CLIENT',
      { 'net.peer.name': 'cache', 'net.peer.port': 6379, 'db.system': 'redis', 'db.statement': 'GET k' },
      ['database', 'cache:6379', 'redis', ''],
    ],
    [
      'mongodb, old names',
      'CLIENT',
      {
        'net.peer.name': 'm',
        'net.peer.port': '27017',
        'db.system': 'mongodb',
        'db.operation': 'find',
        'db.name': 'a',
      },
      ['database', 'm:27017', 'mongodb', 'a'],
    ],
    [
      'undici GET',
      'CLIENT',
      { 'http.request.method': 'GET', 'server.address': 'pay', 'server.port': 80 },
      ['request', 'pay:80', 'http', ''],
    ],
    [
      'http GET, old names',
      'CLIENT',
      { 'http.method': 'GET', 'net.peer.name': 'pay', 'net.peer.port': 80 },
      ['request', 'pay:80', 'http', ''],
    ],
    [
      'http GET with a URL only',
      'CLIENT',
      { 'http.method': 'GET', 'http.url': 'https://pay.example/x?y' },
      ['request', 'pay.example:443', 'http', ''],
    ],
    [
      'grpc call',
      'CLIENT',
      { 'rpc.system': 'grpc', 'rpc.method': 'Pay', 'server.address': 'fd00::1', 'server.port': 50051 },
      ['request', '[fd00::1]:50051', 'grpc', ''],
    ],
    ['dns.lookup', 'CLIENT', { 'peer[0].ipv4': '10.0.0.1' }, undefined],
    ['tcp.connect', 'INTERNAL', { 'network.transport': 'tcp', 'server.address': 'db', 'server.port': 5432 }, undefined],
    ['express middleware', 'INTERNAL', { 'http.route': '/x', 'express.type': 'middleware' }, undefined],
    ['incoming request', 'SERVER', { 'http.request.method': 'GET', 'server.address': 'me' }, undefined],
    [
      'kafka send',
      'PRODUCER',
      {
        'messaging.system': 'kafka',
        'messaging.destination.name': 'orders',
        'messaging.operation.type': 'send',
        'server.address': 'k',
        'server.port': 9092,
      },
      ['queue', 'k:9092', 'kafka', 'orders'],
    ],
    [
      'amqp publish, old names',
      'PRODUCER',
      { 'messaging.system': 'rabbitmq', 'messaging.destination': 'ex', 'net.peer.name': 'r', 'net.peer.port': 5672 },
      ['queue', 'r:5672', 'rabbitmq', 'ex'],
    ],
    [
      'kafka poll',
      'CLIENT',
      { 'messaging.system': 'kafka', 'messaging.operation.type': 'receive', 'server.address': 'k' },
      undefined,
    ],
    ['kafka process', 'CONSUMER', { 'messaging.system': 'kafka', 'messaging.destination.name': 'orders' }, undefined],
    ['a call nobody named', 'CLIENT', { 'peer.service': 'legacy' }, ['request', 'legacy', '', '']],
    ['a client span without an address', 'CLIENT', {}, undefined],
  ])('%s', (_name, kind, attributes, expected) => {
    const found = outgoingOf(kind, attributes);
    expect(found && [found.kind, found.address, found.system, found.name]).toEqual(expected);
  });
});

describe('isFailed', () => {
  it.each([
    ['ERROR', {}, true],
    ['UNSET', { 'http.response.status_code': 503 }, true],
    ['OK', { 'http.status_code': '500' }, true],
    ['UNSET', { 'http.response.status_code': 404 }, false],
    ['UNSET', {}, false],
  ] as const)('%s with %j: %s', (status, attributes, expected) => {
    expect(isFailed(status, attributes as Attributes)).toBe(expected);
  });
});

describe('routeOf', () => {
  it.each<[SpanKindName, Attributes, string]>([
    ['SERVER', { 'http.route': '/a/:id', 'rpc.method': 'M' }, '/a/:id'],
    ['SERVER', { 'rpc.system': 'grpc', 'rpc.service': 'shop.Cart', 'rpc.method': 'Add' }, 'shop.Cart/Add'],
    ['SERVER', { 'rpc.method': 'shop.Cart/Add', 'rpc.service': 'shop.Cart' }, 'shop.Cart/Add'],
    ['CONSUMER', {}, 'the name'],
    ['CLIENT', { 'http.route': '/a' }, ''],
  ])('%s %j: %s', (kind, attributes, expected) => {
    expect(routeOf(kind, 'the name', attributes)).toBe(expected);
  });
});

describe('identityOf', () => {
  it('tells two lives of a service apart without an instance id', () => {
    const resource = { 'service.name': 'cart', 'host.name': 'h', 'process.pid': 7 };
    expect(identityOf(resource)).toEqual({ service: 'cart', version: '', instance: 'h/7', host: 'h' });
    expect(identityOf({ ...resource, 'service.instance.id': 'i' }).instance).toBe('i');
    expect(identityOf({}).service).toBe('unknown_service');
  });
});
