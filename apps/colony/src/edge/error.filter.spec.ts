import 'reflect-metadata';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Controller, Get, Module, NotFoundException, Param } from '@nestjs/common';
import type { INestApplication } from '@nestjs/common';
import { APP_FILTER, NestFactory } from '@nestjs/core';
import { GrpcMethod, Payload } from '@nestjs/microservices';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { Observable, throwError } from 'rxjs';
import { CoralError, errorKinds, grpcCodeFor, httpStatusFor } from '@coral/errors';
import type { ErrorKind } from '@coral/errors';
import { callServerStream, callUnary, colonyV1 } from '@coral/rpc';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ErrorFilter } from './error.filter.js';
import { GrpcStrategy } from './grpc-strategy.js';
import { JsonLogger } from './json-logger.js';

const secret = 'the password is swordfish';

function failureOf(what: string): unknown {
  if (what === 'unknown') return new Error(secret);
  if (what === 'not_even_an_error') return secret;
  return new CoralError({
    kind: what as ErrorKind,
    reason: `reason_of_${what}`,
    message: `It failed: ${what}.`,
    next: 'Do this.',
    where: 'argument',
    cause: new Error(secret),
  });
}

@Controller()
class FailingController {
  @Get('fail/:what')
  http(@Param('what') what: string): never {
    throw failureOf(what);
  }

  @Get('lost')
  lost(): never {
    throw new NotFoundException('no such thing');
  }

  @GrpcMethod('EphemeralAgentService', 'releaseEphemeralAccess')
  unary(@Payload() { agentId }: colonyV1.ReleaseEphemeralAccessRequest): never {
    throw failureOf(agentId);
  }

  @GrpcMethod('EphemeralAgentService', 'listEphemeralAgents')
  async later(@Payload() { userId }: colonyV1.ListEphemeralAgentsRequest): Promise<never> {
    await Promise.resolve();
    throw failureOf(userId);
  }

  @GrpcMethod('McpService', 'exchange')
  stream(@Payload() { json }: colonyV1.ExchangeRequest): Observable<colonyV1.ExchangeResponse> {
    return throwError(() => failureOf(json.toString()));
  }
}

const logged: string[] = [];
const clock = { now: () => 0, monotonic: () => 0 };
const logger = new JsonLogger(clock, 'info', (line) => logged.push(line));

@Module({
  controllers: [FailingController],
  providers: [{ provide: APP_FILTER, useFactory: () => new ErrorFilter(logger) }],
})
class FailingModule {}

describe('ErrorFilter', () => {
  let app: INestApplication;
  let url: string;
  let door: ReturnType<typeof createServer>;
  const server = new Server();
  let leases: colonyV1.EphemeralAgentServiceClient;
  let mcp: colonyV1.McpServiceClient;

  beforeAll(async () => {
    app = await NestFactory.create(FailingModule, { logger: false });
    const strategy = new GrpcStrategy(server, {
      EphemeralAgentService: colonyV1.EphemeralAgentServiceService,
      McpService: colonyV1.McpServiceService,
    });
    app.connectMicroservice({ strategy }, { inheritAppConfig: true });
    await app.startAllMicroservices();
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    door = createServer((socket) => injector.injectConnection(socket)).listen(0, '127.0.0.1');
    await once(door, 'listening');
    const target = `127.0.0.1:${(door.address() as AddressInfo).port}`;
    leases = new colonyV1.EphemeralAgentServiceClient(target, credentials.createInsecure());
    mcp = new colonyV1.McpServiceClient(target, credentials.createInsecure());
  });

  afterAll(async () => {
    leases.close();
    mcp.close();
    door.close();
    server.forceShutdown();
    await app.close();
  });

  const ways: [string, (what: string) => Promise<unknown>][] = [
    ['unary', (agentId) => callUnary(leases, leases.releaseEphemeralAccess, { agentId })],
    ['unary, later', (userId) => callUnary(leases, leases.listEphemeralAgents, { userId })],
    ['stream', (what) => callServerStream(mcp, mcp.exchange, { json: Buffer.from(what) }).next()],
  ];

  describe.each(ways)('over gRPC, %s', (_name, call) => {
    it.each(errorKinds)('carries %s whole, and its cause not at all', async (kind) => {
      const thrown = await call(kind).catch((error: unknown) => error);
      expect(thrown).toMatchObject({
        kind,
        reason: `reason_of_${kind}`,
        message: `It failed: ${kind}.`,
        next: 'Do this.',
        where: 'argument',
      });
      const { code, details } = (thrown as CoralError).cause as { code: number; details: string };
      // `partial` is an answer; as an error it must not look like success.
      expect(code).toBe(grpcCodeFor(kind) || 2);
      expect(details).not.toContain('swordfish');
    });

    it.each(['unknown', 'not_even_an_error'])('makes `internal` of %s, to be found in the log only', async (what) => {
      logged.length = 0;
      const thrown = (await call(what).catch((error: unknown) => error)) as CoralError;
      expect(thrown).toMatchObject({ kind: 'internal', reason: 'internal' });
      expect(JSON.stringify([thrown, thrown.message, thrown.next])).not.toContain('swordfish');
      const id = /request ([0-9a-f-]{36})/.exec(thrown.message)?.[1];
      expect(logged).toHaveLength(1);
      expect(JSON.parse(logged[0] as string)).toMatchObject({
        level: 'error',
        request_id: id,
        error: expect.stringContaining('swordfish'),
      });
    });
  });

  describe('over HTTP', () => {
    it.each(errorKinds)('says %s as problem+json', async (kind) => {
      const response = await fetch(`${url}/fail/${kind}`);
      const text = await response.text();
      expect(response.status).toBe(httpStatusFor(kind));
      expect(response.headers.get('content-type')).toContain('application/problem+json');
      expect(JSON.parse(text)).toEqual({
        type: `urn:coral:error:reason_of_${kind}`,
        title: kind,
        status: httpStatusFor(kind),
        detail: `It failed: ${kind}.`,
        reason: `reason_of_${kind}`,
        next: 'Do this.',
        where: 'argument',
      });
      expect(text).not.toContain('swordfish');
    });

    it('says an unknown throw with an id only', async () => {
      const response = await fetch(`${url}/fail/unknown`);
      const text = await response.text();
      expect([response.status, text.includes('swordfish')]).toEqual([500, false]);
      expect(JSON.parse(text)).toMatchObject({
        title: 'internal',
        detail: expect.stringMatching(/request [0-9a-f-]{36}/),
      });
    });

    it("says Nest's own errors in the same form", async () => {
      const response = await fetch(`${url}/lost`);
      expect([response.status, await response.json()]).toEqual([
        404,
        expect.objectContaining({ title: 'not_found', reason: 'no_such_route' }),
      ]);
    });
  });
});
